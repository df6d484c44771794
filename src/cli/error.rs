//! How a command fails: what went wrong, where, what to do, and with which exit code.

use crate::engine::document::DocumentError;
use crate::engine::{EngineError, PresetError};
use crate::fusion::FusionError;
use crate::text::printable;
use crate::tui::TuiError;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The reason for a failure, as scripts tell it apart by the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Everything was right, it still did not work: 1.
    Failure,
    /// Wrong arguments or input: 2.
    Input,
    /// Stopped by this signal: 128 + its number.
    Signal(i32),
    /// Nobody reads the output any more; not worth a word.
    ClosedPipe,
}

/// A command that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    kind: Kind,
    message: String,
    place: Option<String>,
    hint: String,
}

impl CliError {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), place: None, hint: String::new() }
    }

    pub fn failure(message: impl Into<String>) -> Self {
        Self::new(Kind::Failure, message)
    }

    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    /// Wrong input if `input`, a failure otherwise.
    pub fn of(input: bool, message: impl Into<String>) -> Self {
        Self::new(if input { Kind::Input } else { Kind::Failure }, message)
    }

    pub fn signal(number: i32) -> Self {
        Self::new(Kind::Signal(number), "interrupted")
    }

    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Something could not be written to `path`.
    pub fn write(path: &Path, source: &dyn fmt::Display) -> Self {
        Self::failure(format!("cannot write: {source}"))
            .at(path.display().to_string())
            .hint("check that the folder exists, is writable and has space left")
    }

    /// Standard output broke: quietly when its reader went away.
    pub fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::new(Kind::ClosedPipe, "")
        } else {
            Self::failure(format!("cannot write to standard output: {error}"))
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::ClosedPipe => 0,
            Kind::Failure => 1,
            Kind::Input => 2,
            Kind::Signal(number) => u8::try_from(128 + number).unwrap_or(1),
        })
    }
}

/// As shown on stderr; nothing for a closed pipe.
impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == Kind::ClosedPipe {
            return Ok(());
        }
        write!(f, "error: {}", printable(&self.message))?;
        if let Some(place) = &self.place {
            write!(f, "\nwhere: {}", printable(place))?;
        }
        if !self.hint.is_empty() {
            write!(f, "\nhint: {}", printable(&self.hint))?;
        }
        Ok(())
    }
}

impl From<PresetError> for CliError {
    fn from(error: PresetError) -> Self {
        Self::input(error.problem.to_string()).at(error.place()).hint(error.hint())
    }
}

impl From<DocumentError> for CliError {
    fn from(error: DocumentError) -> Self {
        Self::input(error.message.clone()).at(error.place()).hint(error.hint)
    }
}

impl From<FusionError> for CliError {
    fn from(error: FusionError) -> Self {
        Self::of(error.is_input(), error.to_string()).hint(error.hint())
    }
}

impl From<TuiError> for CliError {
    fn from(error: TuiError) -> Self {
        Self::of(error.is_input(), error.to_string()).hint(error.hint())
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        Self::of(error.is_input(), error.to_string()).hint(error.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_where_and_what_to_do() {
        let error = CliError::input("unknown key `a\x1b[2J`").at("p.toml:3:1").hint("see the schema");
        assert_eq!(error.to_string(), "error: unknown key `a\u{fffd}[2J`\nwhere: p.toml:3:1\nhint: see the schema");
        assert_eq!(CliError::failure("x").to_string(), "error: x");
        assert_eq!(CliError::stdout(&io::ErrorKind::BrokenPipe.into()).to_string(), "");
    }
}
