//! Taking the terminal and giving it back, whatever happens in between.

use super::link::Link;
use super::tty::Tty;
use ratatui::layout::Size;
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

thread_local! {
    /// The terminal that this thread draws on, for the panic hook: only the thread that draws may give it back.
    static TAKEN: RefCell<Option<Rc<Tty>>> = const { RefCell::new(None) };
}

/// Holds the terminal; gives it back when dropped.
#[derive(Debug)]
pub struct Guard(Rc<Tty>);

impl Guard {
    /// Takes the terminal: raw mode, alternate screen, and everything that libraries print goes to the log file.
    ///
    /// # Errors
    /// When there is no terminal, or it does not let itself be configured.
    pub fn take(log: Option<&Path>, mouse: bool) -> io::Result<Self> {
        let guard = Self(Rc::new(Tty::new(log, mouse)?));
        TAKEN.with_borrow_mut(|taken| *taken = Some(Rc::clone(&guard.0)));
        guard.enter()?;
        Ok(guard)
    }

    /// Takes the terminal again.
    ///
    /// # Errors
    /// When it does not let itself be configured.
    pub fn enter(&self) -> io::Result<()> {
        self.0.enter()
    }

    /// What to draw on.
    #[must_use]
    pub fn output(&self) -> Link {
        self.0.output()
    }

    #[must_use]
    pub fn size(&self) -> Size {
        self.0.size()
    }

    /// Reports mouse events, or leaves the mouse to the terminal.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn capture_mouse(&self, on: bool) -> io::Result<()> {
        self.0.capture_mouse(on)
    }

    /// Gives the terminal back, stops all processes of the job as Ctrl-Z does, and takes it again when they go on.
    ///
    /// # Errors
    /// When the terminal cannot be had again.
    pub fn suspend(&self) -> io::Result<()> {
        self.0.leave();
        // The whole group, so that a parent like `cargo run` stops too and the shell gets its terminal back.
        rustix::process::kill_current_process_group(rustix::process::Signal::STOP)?;
        self.0.enter()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.leave();
        let _ = TAKEN.try_with(|taken| taken.borrow_mut().take());
    }
}

/// Gives the terminal back if this thread holds one; for the panic hook. Says whether it did.
pub(super) fn give_back() -> bool {
    let held = TAKEN.try_with(|taken| taken.try_borrow().ok().and_then(|taken| taken.clone())).ok().flatten();
    held.inspect(|tty| tty.leave()).is_some()
}
