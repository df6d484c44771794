//! A one-line text field: an exact value, a filter, a file name.

use crate::tui::effect::Effect;
use crate::tui::model::Model;

/// What happens with the text; an error is shown and leaves the field open.
pub type Done = fn(&mut Model, &str, &mut Vec<Effect>) -> Result<(), String>;

/// A one-line text field over the screen. Open it with `model.overlay = Some(Overlay::Entry(Entry::new(…)))`.
#[derive(Debug)]
pub struct Entry {
    pub title: String,
    /// What is expected, in one line: `0 to 2, or a list with one per expert`.
    pub hint: String,
    pub text: String,
    /// Position of the cursor, in characters.
    pub cursor: usize,
    pub error: Option<String>,
    /// Called on Enter.
    pub done: Done,
    /// Called after every change too, as a filter wants it; Escape then calls it with the text it began with.
    pub live: bool,
    pub before: String,
}

impl Entry {
    #[must_use]
    pub fn new(title: impl Into<String>, hint: impl Into<String>, text: impl Into<String>, done: Done) -> Self {
        let text = text.into();
        Self {
            title: title.into(),
            hint: hint.into(),
            cursor: text.chars().count(),
            before: text.clone(),
            text,
            error: None,
            done,
            live: false,
        }
    }

    /// Calls `done` after every change.
    #[must_use]
    pub fn live(mut self) -> Self {
        self.live = true;
        self
    }
}
