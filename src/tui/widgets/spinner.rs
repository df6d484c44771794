//! The one moving cell: says that work is going on without costing bytes.

use crate::tui::view_cx::Charset;
use std::time::Duration;

/// How long a frame stands.
pub const FRAME: Duration = Duration::from_millis(150);

/// The spinner's character at a moment.
#[must_use]
pub fn glyph(now: Duration, charset: Charset) -> &'static str {
    let frames: &[&str] = match charset {
        Charset::Ascii => &["|", "/", "-", "\\"],
        Charset::Box => &["◐", "◓", "◑", "◒"],
        Charset::Braille => &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"],
    };
    frames[(now.as_millis() / FRAME.as_millis()) as usize % frames.len()]
}
