//! A program in a pseudo-terminal, with a terminal emulator behind it.

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a program that has to compute something may take; generous, as test machines are busy.
const PATIENCE: Duration = Duration::from_mins(2);

pub struct Pty {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    writer: Box<dyn Write + Send>,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

impl Pty {
    /// Starts a program; the environment holds only what is given, and what a terminal of today says of itself.
    pub fn start(program: &str, arguments: &[&str], environment: &[(&str, &str)], (columns, rows): (u16, u16)) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.env_clear();
        for (name, value) in [("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("LANG", "C.UTF-8")] {
            command.env(name, value);
        }
        for (name, value) in environment {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let parser = vt100::Parser::new(rows.max(1), columns.max(1), 0);
        let seen = Arc::new(Mutex::new(Seen { parser, bytes: Vec::new() }));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let writer = pair.master.take_writer().unwrap();
        let shown = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                let mut seen = shown.lock().unwrap();
                seen.parser.process(&buffer[..count]);
                seen.bytes.extend_from_slice(&buffer[..count]);
            }
        });
        Self { master: pair.master, child, writer, seen }
    }

    pub fn text(&self) -> String {
        self.seen.lock().unwrap().parser.screen().contents()
    }

    /// Everything the program has written so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.lock().unwrap().bytes.clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().bytes.len()
    }

    /// Whether the alternate screen is shown, and whether the cursor is.
    pub fn modes(&self) -> (bool, bool) {
        let seen = self.seen.lock().unwrap();
        (seen.parser.screen().alternate_screen(), !seen.parser.screen().hide_cursor())
    }

    pub fn waits(&self, what: &str, condition: impl Fn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        while !condition(self) {
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what} in\n{}", self.text());
            std::thread::sleep(Duration::from_millis(2));
        }
        began.elapsed()
    }

    pub fn sees(&self, text: &str) -> Duration {
        self.waits(text, |pty| pty.text().contains(text))
    }

    /// Waits until nothing has been written for a while.
    pub fn settles(&self) {
        let mut last = (self.count(), Instant::now());
        self.waits("silence", |_| true);
        let began = Instant::now();
        while last.1.elapsed() < Duration::from_millis(700) {
            assert!(began.elapsed() < PATIENCE, "never silent");
            std::thread::sleep(Duration::from_millis(10));
            if self.count() != last.0 {
                last = (self.count(), Instant::now());
            }
        }
    }

    pub fn types(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).unwrap();
        self.writer.flush().unwrap();
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        self.seen.lock().unwrap().parser.screen_mut().set_size(rows, columns);
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The process's state as the kernel names it: `T` is stopped.
    pub fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid().as_raw_nonzero())).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    }

    /// Whether the terminal echoes and collects lines, as a shell expects it.
    pub fn is_cooked(&self) -> bool {
        let terminal = std::fs::File::open(self.master.tty_name().unwrap()).unwrap();
        let modes = rustix::termios::tcgetattr(&terminal).unwrap().local_modes;
        modes.contains(rustix::termios::LocalModes::ECHO | rustix::termios::LocalModes::ICANON)
    }

    /// Waits for the end; gives the exit code.
    pub fn ends(&mut self) -> u32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What was written last may still be on its way.
                std::thread::sleep(Duration::from_millis(50));
                return status.exit_code();
            }
            assert!(began.elapsed() < PATIENCE, "does not end:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asserts that the terminal is as it was before the program started.
    pub fn is_restored(&self) {
        assert_eq!(self.modes(), (false, true), "alternate screen left, cursor shown");
        assert!(self.is_cooked(), "raw mode left");
        let bytes = String::from_utf8_lossy(&self.bytes()).into_owned();
        for mode in ["1000", "1002", "1006", "2004", "2026"] {
            let (on, off) = (format!("\x1b[?{mode}h"), format!("\x1b[?{mode}l"));
            assert!(bytes.rfind(&off) >= bytes.rfind(&on), "mode {mode} left on");
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.process_id().unwrap().try_into().unwrap()).unwrap()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
