//! Bytes to the terminal from a thread of their own: a slow or stalled link holds up frames, and nothing else.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the terminal has to take what it was sent before that is thrown away.
const PATIENCE: Duration = Duration::from_millis(300);

/// The way to a terminal. Every write is one piece, sent whole and in order.
#[derive(Debug, Clone)]
pub struct Link {
    queue: Sender<Vec<u8>>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// Pieces that the terminal has not taken yet.
    waiting: AtomicUsize,
    failure: Mutex<Option<io::Error>>,
}

impl Link {
    /// Starts the thread that writes to `file`.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn new(file: File) -> io::Result<Self> {
        let (queue, pieces) = channel();
        let state = Arc::new(State { file, waiting: AtomicUsize::new(0), failure: Mutex::default() });
        let writer = Arc::clone(&state);
        std::thread::Builder::new().name("terminal".to_owned()).spawn(move || writer.write(&pieces))?;
        Ok(Self { queue, state })
    }

    /// Whether the terminal has still to take something.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.state.waiting.load(Ordering::Acquire) > 0
    }

    /// Waits until the terminal has taken everything; what it does not take in time is thrown away.
    pub fn settle(&self) {
        let begun = Instant::now();
        while self.is_busy() && begun.elapsed() < 2 * PATIENCE {
            if begun.elapsed() > PATIENCE {
                let _ = rustix::termios::tcflush(&self.state.file, rustix::termios::QueueSelector::OFlush);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl State {
    fn write(&self, pieces: &Receiver<Vec<u8>>) {
        for piece in pieces {
            if let Err(error) = (&self.file).write_all(&piece) {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            self.waiting.fetch_sub(1, Ordering::Release);
        }
    }
}

impl Write for Link {
    /// Never waits. Reports what an earlier piece met with.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(error) = self.state.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        self.state.waiting.fetch_add(1, Ordering::AcqRel);
        self.queue.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_stalled_reader_makes_it_busy_and_not_the_writer() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut link = Link::new(File::from(std::os::fd::OwnedFd::from(writer))).unwrap();
        // More than a pipe holds.
        let much = vec![b'x'; 1 << 20];
        link.write_all(&much).unwrap();
        link.write_all(b"end").unwrap();
        assert!(link.is_busy());
        let mut got = vec![0; much.len() + 3];
        reader.read_exact(&mut got).unwrap();
        assert!(got.ends_with(b"xend"));
        link.settle();
        assert!(!link.is_busy());
    }

    #[test]
    fn a_terminal_that_has_gone_is_reported_by_a_later_write() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut link = Link::new(File::from(std::os::fd::OwnedFd::from(writer))).unwrap();
        link.write_all(b"frame").unwrap();
        link.settle();
        assert_eq!(link.write_all(b"frame").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
