//! The process's terminal and its standard descriptors.

use super::link::Link;
use ratatui::layout::Size;
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?2004h";
const LEAVE: &str = "\x1b[0m\x1b[?2004l\x1b[?25h\x1b[?1049l";
// Presses and drags, not every move: moves would wake the program for nothing.
const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1002h\x1b[?1006h";
const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1002l\x1b[?1000l";

/// The terminal, with what is needed to put everything back.
///
/// While it is taken, descriptors 1 and 2 lead to the log: drivers and libraries print there and would tear the screen.
#[derive(Debug)]
pub(super) struct Tty {
    /// What standard output and standard error were.
    stdout: File,
    link: Link,
    stderr: OwnedFd,
    log: File,
    taken: Cell<bool>,
    mouse: Cell<bool>,
}

impl Tty {
    pub fn new(log: Option<&Path>, mouse: bool) -> io::Result<Self> {
        let log = log.and_then(|path| OpenOptions::new().create(true).append(true).open(path).ok());
        let log = log.map_or_else(|| OpenOptions::new().write(true).open("/dev/null"), Ok)?;
        let stdout = File::from(rustix::io::dup(rustix::stdio::stdout())?);
        Ok(Self {
            link: Link::new(stdout.try_clone()?)?,
            stdout,
            stderr: rustix::io::dup(rustix::stdio::stderr())?,
            log,
            taken: Cell::new(false),
            mouse: Cell::new(mouse),
        })
    }

    pub fn output(&self) -> Link {
        self.link.clone()
    }

    pub fn size(&self) -> Size {
        rustix::termios::tcgetwinsize(&self.stdout)
            .map_or(Size::ZERO, |size| Size { width: size.ws_col, height: size.ws_row })
    }

    pub fn enter(&self) -> io::Result<()> {
        if self.taken.get() {
            // Someone else may have changed the terminal while we were stopped.
            crossterm::terminal::disable_raw_mode()?;
        }
        crossterm::terminal::enable_raw_mode()?;
        self.taken.set(true);
        rustix::stdio::dup2_stdout(&self.log)?;
        rustix::stdio::dup2_stderr(&self.log)?;
        self.write(ENTER)?;
        if self.mouse.get() { self.write(MOUSE_ON) } else { Ok(()) }
    }

    /// Puts everything back. Every step is tried, whatever became of the one before: this also runs after a panic and
    /// after the terminal has gone.
    pub fn leave(&self) {
        if !self.taken.replace(false) {
            return;
        }
        let mouse = if self.mouse.get() { MOUSE_OFF } else { "" };
        // A frame that a stalled terminal does not take must not take the sequences that restore it along.
        self.link.settle();
        let _ = self.write(&format!("{mouse}{LEAVE}"));
        self.link.settle();
        let _ = crossterm::terminal::disable_raw_mode();
        let _ = rustix::stdio::dup2_stdout(&self.stdout);
        let _ = rustix::stdio::dup2_stderr(&self.stderr);
    }

    pub fn capture_mouse(&self, on: bool) -> io::Result<()> {
        self.mouse.set(on);
        self.write(if on { MOUSE_ON } else { MOUSE_OFF })
    }

    fn write(&self, sequence: &str) -> io::Result<()> {
        self.link.clone().write_all(sequence.as_bytes())
    }
}
