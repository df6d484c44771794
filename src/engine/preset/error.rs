//! What can be wrong with a preset, where it stands and what would be right.

use crate::params::ParamError;
use crate::tasks::corruption::CorruptionError;
use std::fmt;
use thiserror::Error;

/// A place in a text, both counted from 1; columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    /// The place of a byte offset.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A preset that cannot be used: which, where and why.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{}: {problem}", self.place())]
pub struct PresetError {
    /// File or built-in name.
    pub label: String,
    pub at: Option<Position>,
    pub problem: Box<Problem>,
}

impl PresetError {
    pub(super) fn new(label: &str, at: Option<Position>, problem: Problem) -> Self {
        Self { label: label.to_owned(), at, problem: Box::new(problem) }
    }

    /// `file:line:column`, as editors and terminals make it clickable.
    #[must_use]
    pub fn place(&self) -> String {
        self.at.map_or_else(|| self.label.clone(), |at| format!("{}:{at}", self.label))
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match &*self.problem {
            Problem::Unreadable(_) => "built-in presets need no file: `fusebench presets` lists them",
            Problem::NoSuchPreset { .. } => "`fusebench presets` lists the built-in ones; a file is named by its path",
            Problem::Syntax(_) => "a preset is TOML: `fusebench presets ties` shows one",
            Problem::UnknownKey { .. } | Problem::WrongType { .. } | Problem::Empty { .. } | Problem::Twice { .. } => {
                "`fusebench schema` describes every key; `fusebench presets ties` shows an example"
            }
            Problem::NoMethod => "say which: [method] with id = \"task_arithmetic\"; `fusebench methods` lists them",
            Problem::Method(_) => "`fusebench methods` lists the methods and what they need",
            Problem::Param(_) => "`fusebench methods ID` shows a method's parameters and their ranges",
            Problem::Corruption(_) => "such as corruption = \"gaussian_noise:3\"; leave it out for images as they are",
            Problem::NotInZoo { kind: "expert", .. } => "`fusebench checkpoints` lists the experts",
            Problem::NotInZoo { .. } => "`fusebench tasks` lists them",
        }
    }
}

/// The kinds of things that can be wrong with a preset.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Problem {
    #[error(transparent)]
    Corruption(#[from] CorruptionError),
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("no such preset{}", suggestion(.closest.as_deref()))]
    NoSuchPreset { closest: Option<String> },
    #[error("{0}")]
    Syntax(String),
    #[error("unknown key `{key}`{}", suggestion(.closest.as_deref()))]
    UnknownKey { key: String, closest: Option<String> },
    #[error("`{key}` must be {expected}, got {got}")]
    WrongType { key: String, expected: &'static str, got: String },
    #[error("`{key}` is an empty list")]
    Empty { key: String },
    #[error("`{name}` stands twice in `{key}`")]
    Twice { key: String, name: String },
    #[error("no method is named")]
    NoMethod,
    #[error("{0}")]
    Method(String),
    #[error("{0}")]
    Param(ParamError),
    #[error("there is no {kind} `{name}` in this zoo{}", near(.closest.as_deref(), .known))]
    NotInZoo { kind: &'static str, name: String, closest: Option<String>, known: Vec<String> },
}

fn suggestion(closest: Option<&str>) -> String {
    closest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

fn near(closest: Option<&str>, known: &[String]) -> String {
    closest.map_or_else(|| format!("; it has {}", known.join(", ")), |name| format!(", did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let text = "a\nλλ = 1\nend";
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, text.find('=').unwrap()), Position { line: 2, column: 4 });
        assert_eq!(Position::of(text, text.find("end").unwrap()), Position { line: 3, column: 1 });
    }
}
