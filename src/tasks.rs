//! Data sets: what they are about, their splits, how images become model input, how answers are scored.

pub mod corruption;
pub mod metrics;
pub mod objective;
pub mod preprocess;

pub use corruption::Corruption;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which part of a data set. Choices are made on validation, reports on test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    Train,
    Validation,
    #[default]
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// What a model is evaluated on: a split, as it is or with corrupted images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Data {
    pub split: Split,
    pub corruption: Option<Corruption>,
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.corruption {
            None => self.split.fmt(f),
            Some(corruption) => write!(f, "{}, {}", self.split, corruption.title()),
        }
    }
}

/// An image classification task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub id: String,
    /// One line for people.
    pub title: String,
    /// In label order.
    pub classes: Vec<String>,
    pub train: usize,
    pub validation: usize,
    pub test: usize,
    /// Where the data come from, with the package's name.
    pub source: String,
    pub licence: String,
}

impl Task {
    /// Number of images in a split.
    #[must_use]
    pub fn len(&self, split: Split) -> usize {
        match split {
            Split::Train => self.train,
            Split::Validation => self.validation,
            Split::Test => self.test,
        }
    }
}

/// Images of one split as bytes, row by row, channels last, with their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    pub height: usize,
    pub width: usize,
    /// 1 (gray) or 3 (RGB).
    pub channels: usize,
    /// `[n, height, width, channels]`
    pub pixels: Vec<u8>,
    pub labels: Vec<u16>,
}

impl Images {
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of one image, `[height, width, channels]`.
    #[must_use]
    pub fn image(&self, at: usize) -> &[u8] {
        let size = self.height * self.width * self.channels;
        &self.pixels[at * size..(at + 1) * size]
    }
}
