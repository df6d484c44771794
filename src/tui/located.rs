//! Where in a text file something is wrong.

use std::fmt;
use std::path::{Path, PathBuf};

/// An error in a configuration file: what, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

impl Located {
    /// An error at a byte of `text`.
    #[must_use]
    pub fn at(path: &Path, text: &str, byte: usize, message: impl Into<String>) -> Self {
        let line = 1 + text.bytes().take(byte).filter(|&b| b == b'\n').count();
        Self { path: path.to_owned(), line, message: message.into() }
    }

    /// What the TOML parser has to say.
    #[must_use]
    pub fn toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        Self::at(path, text, error.span().map_or(0, |span| span.start), error.message())
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}

impl std::error::Error for Located {}
