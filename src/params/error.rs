//! What can be wrong with a parameter, in words that name it and say what would be right.

use super::Bounds;
use thiserror::Error;

#[derive(Debug, Clone, PartialEq, Error)]
pub enum ParamError {
    #[error("unknown parameter `{name}`{}", suggestion(.closest.as_deref()))]
    Unknown { name: String, closest: Option<String> },
    #[error("`{name}` = {value} is out of bounds ({bounds})")]
    OutOfBounds { name: String, value: f64, bounds: Bounds },
    #[error("`{name}` must be {expected}, got {got}")]
    WrongType { name: String, expected: String, got: String },
    #[error("`{name}` = \"{value}\" is not one of {}{}", .options.join(", "), suggestion(.closest.as_deref()))]
    NotAChoice { name: String, value: String, options: Vec<String>, closest: Option<String> },
    #[error("`{name}` has {got} values, expected {expected} ({per})")]
    WrongLength { name: String, got: usize, expected: usize, per: &'static str },
}

fn suggestion(closest: Option<&str>) -> String {
    closest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

impl ParamError {
    /// The parameter that the error is about.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown { name, .. }
            | Self::OutOfBounds { name, .. }
            | Self::WrongType { name, .. }
            | Self::NotAChoice { name, .. }
            | Self::WrongLength { name, .. } => name,
        }
    }
}
