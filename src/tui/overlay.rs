//! What lies above the screen and takes the keys: help, palette and other menus, a text field, a question.

pub mod entry;
pub mod question;

pub use entry::Entry;
pub use question::Question;

/// The topmost layer.
#[derive(Debug)]
pub enum Overlay {
    /// Keys of the visible screen, scrolled by so many lines.
    Help { scroll: usize },
    /// One line of text: an exact value, a filter, a file name.
    Entry(Entry),
    /// Yes or no.
    Question(Question),
}
