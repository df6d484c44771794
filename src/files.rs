//! Writing files so that a reader never sees half of one: written beside, flushed, renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Calls `write` with a buffered temporary file beside `path`, then renames it to `path`.
///
/// Missing parent folders are made. If anything fails, the temporary file is removed and `path` is untouched.
///
/// # Errors
/// Whatever the file system or `write` reports.
pub fn write_atomically<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
) -> Result<(), E> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    let temporary = Temporary(beside(path));
    let mut file = BufWriter::new(File::create(&temporary.0)?);
    write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    fs::rename(&temporary.0, path)?;
    Ok(())
}

/// Writes `bytes` to `path` as [`write_atomically`] does.
///
/// # Errors
/// Whatever the file system reports.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomically(path, |file| file.write_all(bytes))
}

/// Calls `fill` with a new folder beside `path`, then renames it to `path`, which must not exist or be an empty folder.
///
/// Missing parent folders are made. If anything fails, the new folder is removed and `path` is untouched.
///
/// # Errors
/// Whatever the file system or `fill` reports.
pub fn write_folder<E: From<io::Error>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let temporary = TemporaryFolder(beside(path));
    fs::create_dir_all(&temporary.0)?;
    fill(&temporary.0)?;
    File::open(&temporary.0)?.sync_all()?;
    fs::rename(&temporary.0, path)?;
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// Removed when dropped; after the rename there is nothing left to remove.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// As [`Temporary`], for a folder with all that is in it.
struct TemporaryFolder(PathBuf);

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        write_bytes(&path, b"old").unwrap();
        let failed = write_atomically(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::Error::other("interrupted"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_there_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/models");
        let fill = |inside: &Path| fs::write(inside.join("a"), b"1");
        let failed = write_folder(&path, |inside| fill(inside).and_then(|()| Err(io::Error::other("interrupted"))));
        assert!(failed.is_err() && fs::read_dir(folder.path().join("new")).unwrap().count() == 0);
        write_folder(&path, fill).unwrap();
        assert_eq!(fs::read(path.join("a")).unwrap(), b"1");
        // What is there already is not touched.
        assert!(write_folder(&path, |inside| fs::write(inside.join("b"), b"2")).is_err());
        assert!(path.join("a").exists() && !path.join("b").exists());
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
    }
}
