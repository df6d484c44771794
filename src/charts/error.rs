//! What can go wrong with a chart.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ChartError {
    #[error("cannot draw to {}: the name must end in .svg or .png", .path.display())]
    Extension { path: PathBuf },
    #[error("there is nothing to draw: {what}")]
    Empty { what: &'static str },
    #[error("`{name}` has {got} values, but there are {expected} {of}")]
    Length { name: String, got: usize, expected: usize, of: &'static str },
    #[error("cannot draw the chart: {detail}")]
    Draw { detail: String },
    #[error("cannot write {}: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl ChartError {
    /// What plotters reports.
    pub(super) fn draw(error: impl std::fmt::Display) -> Self {
        Self::Draw { detail: error.to_string() }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Extension { .. } => "SVG suits papers and web pages, PNG suits slides and chats".into(),
            Self::Empty { .. } => "run at least one recipe on at least one task first".into(),
            Self::Length { .. } => "give one value a category, `None` where there is none".into(),
            Self::Draw { .. } => "please report this with the command that led to it".into(),
            Self::Write { .. } => "choose a folder that you can write and that has space left".into(),
        }
    }
}
