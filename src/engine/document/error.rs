//! What is wrong with a document, where it stands and what would be right.

use crate::engine::Position;
use std::fmt;
use thiserror::Error;

/// A document that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {message}", self.place())]
pub struct DocumentError {
    /// The file, as it was named.
    pub label: String,
    pub at: Option<Position>,
    pub message: String,
    pub hint: String,
}

impl DocumentError {
    /// `file:line:column`, as editors and terminals make it clickable.
    #[must_use]
    pub fn place(&self) -> String {
        self.at.map_or_else(|| self.label.clone(), |at| format!("{}:{at}", self.label))
    }
}

/// What is wrong, before it is known in which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub at: Option<Position>,
    pub message: String,
    pub hint: String,
}

impl Fault {
    pub fn at(at: Position, message: impl Into<String>) -> Self {
        Self { at: Some(at), message: message.into(), hint: String::new() }
    }

    pub fn nowhere(message: impl Into<String>) -> Self {
        Self { at: None, message: message.into(), hint: String::new() }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    pub fn within(self, label: &str) -> DocumentError {
        DocumentError { label: label.to_owned(), at: self.at, message: self.message, hint: self.hint }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
