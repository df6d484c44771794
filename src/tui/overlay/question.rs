//! A yes/no question before something that cannot be undone.

use crate::tui::effect::Effect;
use crate::tui::model::Model;

/// A question over the screen.
#[derive(Debug)]
pub struct Question {
    pub title: String,
    pub text: String,
    /// Called on yes; no and Escape only close it.
    pub yes: fn(&mut Model, &mut Vec<Effect>),
}

impl Question {
    #[must_use]
    pub fn new(title: impl Into<String>, text: impl Into<String>, yes: fn(&mut Model, &mut Vec<Effect>)) -> Self {
        Self { title: title.into(), text: text.into(), yes }
    }
}
