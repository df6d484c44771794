//! The log file of the explorer: where messages go that must not go to the screen.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tracing_subscriber::EnvFilter;

/// A log larger than this is put aside when the next session starts.
const LARGEST: u64 = 4 << 20;

/// Begins to log into `folder`, as `RUST_LOG` says; gives the file's path, or nothing where it cannot be written.
///
/// The log of all sessions is one file; the one before it is kept.
pub fn start(folder: &Path) -> Option<PathBuf> {
    crate::store::paths::make_private(folder).ok()?;
    let path = folder.join("fusebench.log");
    let file = open(&path).ok()?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,fusebench=info"));
    // In a process that has set up logging already, that stays as it is.
    let _ = tracing_subscriber::fmt().with_writer(Mutex::new(file)).with_ansi(false).with_env_filter(filter).try_init();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), process = std::process::id(), "session begins");
    Some(path)
}

fn open(path: &Path) -> std::io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|facts| facts.len() > LARGEST) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_large_log_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fusebench.log");
        writeln!(open(&path).unwrap(), "first").unwrap();
        writeln!(open(&path).unwrap(), "second").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\nsecond\n");
        File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
        writeln!(open(&path).unwrap(), "third").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third\n");
        assert!(path.with_extension("log.1").exists());
    }
}
