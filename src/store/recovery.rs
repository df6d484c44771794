//! A history that cannot be used is no reason not to start: set aside if damaged, done without otherwise.

use super::{History, StoreError};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long to wait for another process that is doing the same.
const PATIENCE: Duration = Duration::from_secs(2);

impl History {
    /// Opens the history at `path`, come what may. The text, if any, is a warning for the person.
    ///
    /// A damaged file is never deleted: it gets a new name, which the warning tells, and an empty history takes its
    /// place. Where the history is locked, cannot be written or is too new, the session gets one in memory.
    ///
    /// # Errors
    /// Only if SQLite has no memory left.
    pub fn open_or_recover(path: &Path) -> Result<(Self, Option<String>), StoreError> {
        let problem = match Self::open(path) {
            Ok(history) => return Ok((history, None)),
            Err(StoreError::Corrupt { .. }) => match start_anew(path) {
                Ok(recovered) => return Ok(recovered),
                Err(problem) => problem,
            },
            Err(problem) => problem,
        };
        let warning = format!("{problem}; this session's runs are kept in memory only ({})", problem.hint());
        Ok((Self::in_memory()?, Some(warning)))
    }
}

/// Sets the damaged file aside, unless another process has already done so, and opens a new history.
fn start_anew(path: &Path) -> Result<(History, Option<String>), StoreError> {
    let _lock = lock_folder(path)?;
    match History::open(path) {
        Err(StoreError::Corrupt { .. }) => {}
        other => return other.map(|history| (history, None)),
    }
    let aside = free_name(path);
    let set_aside = |source| StoreError::SetAside { path: path.to_owned(), source };
    fs::rename(path, &aside).map_err(set_aside)?;
    // The log belongs to the file: beside a new history it would be replayed into it.
    for suffix in ["-wal", "-shm"] {
        match fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(set_aside(error)),
            _ => {}
        }
    }
    let warning = format!("the history was damaged and is now {}; a new one was started", aside.display());
    Ok((History::open(path)?, Some(warning)))
}

/// Holds other processes off while the file is replaced; given back when dropped. File systems that cannot lock a
/// folder go without.
fn lock_folder(path: &Path) -> Result<Option<File>, StoreError> {
    let Some(Ok(folder)) = path.parent().map(File::open) else { return Ok(None) };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(Some(folder)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                return Err(StoreError::Busy { path: path.to_owned() });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// `history.db.damaged-SECONDS`, counted up past names that are taken.
fn free_name(path: &Path) -> PathBuf {
    let mut stamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    loop {
        let name = with_suffix(path, &format!(".damaged-{stamp}"));
        if !name.exists() {
            return name;
        }
        stamp += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::NewRun;
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn runs(n: i64) -> impl Iterator<Item = NewRun> {
        (0..n).map(|at| NewRun { started_unix: at, label: "task_arithmetic λ=0.3 ".repeat(40), ..NewRun::default() })
    }

    /// The file set aside has the damaged bytes, the warning names it, and the new history works.
    fn assert_set_aside(path: &Path, damaged: &[u8]) {
        let (history, warning) = History::open_or_recover(path).unwrap();
        let folder = path.parent().unwrap();
        let aside =
            names(folder).into_iter().find(|name| name.contains(".damaged-") && !name.ends_with("-wal")).unwrap();
        assert_eq!(fs::read(folder.join(&aside)).unwrap(), damaged);
        assert!(warning.unwrap().contains(&aside));
        assert_eq!(history.path(), path);
        assert_eq!(history.list(9).unwrap(), []);
        history.add(&NewRun::default()).unwrap();
        assert_eq!(History::open(path).unwrap().list(9).unwrap().len(), 1);
    }

    #[test]
    fn garbage_is_set_aside() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("history.db");
        fs::write(&path, b"this was never a database, but it is long enough for a header ".repeat(99)).unwrap();
        let damaged = fs::read(&path).unwrap();
        assert!(matches!(History::open(&path), Err(StoreError::Corrupt { .. })));
        assert_set_aside(&path, &damaged);
    }

    #[test]
    fn a_truncated_history_is_set_aside() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("history.db");
        let history = History::open(&path).unwrap();
        for run in runs(50) {
            history.add(&run).unwrap();
        }
        drop(history);
        let whole = fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(whole / 2).unwrap();
        let damaged = fs::read(&path).unwrap();
        assert_set_aside(&path, &damaged);
    }

    #[test]
    fn overwritten_pages_are_noticed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("history.db");
        let history = History::open(&path).unwrap();
        for run in runs(50) {
            history.add(&run).unwrap();
        }
        drop(history);
        let file = File::options().write(true).open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        for page in 1..length / 4096 {
            file.write_all_at(&[0x5a; 64], page * 4096).unwrap();
        }
        let damaged = fs::read(&path).unwrap();
        assert_set_aside(&path, &damaged);
    }

    #[test]
    fn setting_aside_twice_keeps_both() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("history.db");
        for _ in 0..2 {
            File::create(&path).unwrap().write_all(&[7; 5000]).unwrap();
            History::open_or_recover(&path).unwrap();
        }
        assert_eq!(names(home.path()).iter().filter(|name| name.contains(".damaged-")).count(), 2);
    }

    #[test]
    fn without_a_writable_folder_the_session_goes_on_in_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().join("fusebench/history.db");
        let (history, warning) = History::open_or_recover(&path).unwrap();
        let warning = warning.unwrap();
        assert!(warning.contains(&path.parent().unwrap().display().to_string()), "{warning}");
        assert!(warning.contains("FUSEBENCH_HOME"), "{warning}");
        let id = history.add(&NewRun { label: "kept".into(), ..NewRun::default() }).unwrap();
        assert_eq!(history.get(id).unwrap().unwrap().run.label, "kept");
    }

    #[test]
    fn a_locked_history_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("history.db");
        let holder = rusqlite::Connection::open(&path).unwrap();
        holder.execute_batch("CREATE TABLE other (x); BEGIN EXCLUSIVE").unwrap();
        let (history, warning) = History::open_or_recover(&path).unwrap();
        assert!(warning.unwrap().contains("locked"));
        assert_eq!(history.path(), Path::new(":memory:"));
        assert!(!names(home.path()).iter().any(|name| name.contains(".damaged-")));
    }

    #[test]
    fn a_newer_history_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("history.db");
        History::open(&path).unwrap().add(&NewRun::default()).unwrap();
        rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
        let before = fs::read(&path).unwrap();
        let (history, warning) = History::open_or_recover(&path).unwrap();
        assert!(warning.unwrap().contains("newer"));
        assert_eq!(history.path(), Path::new(":memory:"));
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}
