//! What a session draws on: a terminal, or a buffer in a test.

use super::ansi::Ansi;
use super::guard::Guard;
use super::link::Link;
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use std::io;

/// Something that shows frames.
pub trait Surface {
    /// Columns and rows; 0×0 where nobody knows.
    fn size(&self) -> Size;

    /// Whether the last frame is still on its way; the next had better wait.
    fn is_busy(&self) -> bool;

    /// Shows the changed cells, after clearing all if `clear`, and the cursor at a place or not at all.
    ///
    /// # Errors
    /// When the terminal is gone.
    fn frame(
        &mut self,
        size: Size,
        cells: &[(u16, u16, &Cell)],
        clear: bool,
        cursor: Option<Position>,
    ) -> io::Result<()>;

    /// Sends a sequence that draws nothing.
    ///
    /// # Errors
    /// When the terminal is gone.
    fn send(&mut self, sequence: &str) -> io::Result<()>;

    /// Reports mouse events, or leaves the mouse to the terminal.
    ///
    /// # Errors
    /// When the terminal is gone.
    fn capture_mouse(&mut self, on: bool) -> io::Result<()>;

    /// Gives the terminal back, stops the process, and takes the terminal again when it goes on.
    ///
    /// # Errors
    /// When the terminal cannot be had again.
    fn suspend(&mut self) -> io::Result<()>;

    /// Takes the terminal again after somebody else stopped and continued the process.
    ///
    /// # Errors
    /// When the terminal cannot be had again.
    fn resume(&mut self) -> io::Result<()>;
}

/// The terminal that the process was started in.
#[derive(Debug)]
pub struct TtySurface {
    guard: Guard,
    link: Link,
    ansi: Ansi<Link>,
}

impl TtySurface {
    /// Draws on the terminal that `guard` has taken.
    #[must_use]
    pub fn new(guard: Guard) -> Self {
        let link = guard.output();
        Self { guard, ansi: Ansi::new(link.clone()), link }
    }
}

impl Surface for TtySurface {
    fn size(&self) -> Size {
        self.guard.size()
    }

    fn is_busy(&self) -> bool {
        self.link.is_busy()
    }

    fn frame(
        &mut self,
        size: Size,
        cells: &[(u16, u16, &Cell)],
        clear: bool,
        cursor: Option<Position>,
    ) -> io::Result<()> {
        self.ansi.frame(size, cells, clear, cursor)
    }

    fn send(&mut self, sequence: &str) -> io::Result<()> {
        self.ansi.send(sequence)
    }

    fn capture_mouse(&mut self, on: bool) -> io::Result<()> {
        self.guard.capture_mouse(on)
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.guard.suspend()?;
        self.ansi.forget();
        Ok(())
    }

    fn resume(&mut self) -> io::Result<()> {
        self.guard.enter()?;
        self.ansi.forget();
        Ok(())
    }
}
