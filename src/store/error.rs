//! What can go wrong with the history and with the folders that fusebench keeps.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum StoreError {
    #[error("there is no home folder to keep the history in")]
    NoHome,
    #[error("cannot make the folder {}: {source}", .path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("the history {} is damaged: {detail}", .path.display())]
    Corrupt { path: PathBuf, detail: String },
    #[error("the history {} is locked by another process", .path.display())]
    Busy { path: PathBuf },
    #[error("the history {} cannot be written", .path.display())]
    ReadOnly { path: PathBuf },
    #[error("the disk that holds the history {} is full", .path.display())]
    Full { path: PathBuf },
    #[error("the history {} was written by a newer fusebench", .path.display())]
    TooNew { path: PathBuf },
    #[error("cannot set the damaged history {} aside: {source}", .path.display())]
    SetAside { path: PathBuf, source: io::Error },
    #[error("history {}: {detail}", .path.display())]
    Database { path: PathBuf, detail: String },
}

impl StoreError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoHome => "set FUSEBENCH_HOME to a folder that you can write".into(),
            Self::Folder { .. } | Self::ReadOnly { .. } => {
                "make it writable, or set FUSEBENCH_HOME to a folder that is".into()
            }
            Self::Corrupt { path, .. } => {
                format!("move {} away; a new history is started when it is missing", path.display())
            }
            Self::Busy { .. } => "close the program that holds it, or set FUSEBENCH_HOME to another folder".into(),
            Self::Full { .. } => "free some space, or set FUSEBENCH_HOME to a folder on another disk".into(),
            Self::TooNew { .. } => "update fusebench, or set FUSEBENCH_HOME to another folder".into(),
            Self::SetAside { path, .. } => format!("move {} away yourself", path.display()),
            Self::Database { .. } => "`fusebench doctor` shows where the history is kept".into(),
        }
    }

    /// Sorts SQLite's own errors by what a person can do about them.
    pub(super) fn from_sqlite(path: &std::path::Path, error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(Code::NotADatabase | Code::DatabaseCorrupt) => Self::Corrupt { path, detail: error.to_string() },
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Busy { path },
            Some(Code::ReadOnly | Code::PermissionDenied | Code::CannotOpen) => Self::ReadOnly { path },
            Some(Code::DiskFull) => Self::Full { path },
            _ => Self::Database { path, detail: error.to_string() },
        }
    }
}
