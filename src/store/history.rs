//! The history of runs, in one SQLite file that several processes may use at once.

use super::{NewRun, RunRecord, StoreError, network, paths, rows, schema};
use rusqlite::{Connection, MAIN_DB, OptionalExtension, Transaction, TransactionBehavior};
use rusqlite_migration::{Error as MigrationError, MigrationDefinitionError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait for another process that is writing. A write takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The stored runs and the explorer's remembered state.
#[derive(Debug)]
pub struct History {
    db: Connection,
    /// For messages; `:memory:` where there is no file.
    path: PathBuf,
}

impl History {
    /// Opens the history at `path`; makes it, and missing parent folders, where there is none.
    ///
    /// # Errors
    /// [`StoreError`] says whether it is damaged, locked, not writable or too new.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        paths::make_private(folder)?;
        let mut db = Connection::open(path).map_err(|error| StoreError::from_sqlite(path, &error))?;
        // The write-ahead log lets one process read while another one writes.
        let journal = if network::is_shared_between_hosts(folder) { "DELETE" } else { "WAL" };
        let deadline = Instant::now() + PATIENCE;
        // SQLite does not wait when two processes turn the log on at the same moment, it refuses one of them.
        while let Err(error) = prepare(&mut db, journal, path) {
            if !matches!(error, StoreError::Busy { .. }) || Instant::now() > deadline {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if db.is_readonly(MAIN_DB).map_err(|error| StoreError::from_sqlite(path, &error))? {
            return Err(StoreError::ReadOnly { path: path.to_owned() });
        }
        Ok(Self { db, path: path.to_owned() })
    }

    /// A history that ends with the session.
    ///
    /// # Errors
    /// [`StoreError::Database`] if SQLite has no memory left.
    pub fn in_memory() -> Result<Self, StoreError> {
        let path = Path::new(":memory:");
        let mut db = Connection::open_in_memory().map_err(|error| StoreError::from_sqlite(path, &error))?;
        prepare(&mut db, "MEMORY", path)?;
        Ok(Self { db, path: path.to_owned() })
    }

    /// Where the history is kept; `:memory:` where nowhere.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a run and returns its id.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing of the run is.
    pub fn add(&self, run: &NewRun) -> Result<i64, StoreError> {
        // Immediate: waits for another writer at the start, where waiting helps, instead of failing half-way.
        self.explain(Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate).and_then(|transaction| {
            let id = rows::insert(&transaction, run)?;
            transaction.commit()?;
            Ok(id)
        }))
    }

    /// The latest `limit` runs, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list(&self, limit: usize) -> Result<Vec<RunRecord>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.explain(rows::select(&self.db, "ORDER BY started DESC, id DESC LIMIT ?", limit))
    }

    /// One run, if it is still there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn get(&self, id: i64) -> Result<Option<RunRecord>, StoreError> {
        self.explain(rows::select(&self.db, "WHERE id = ?", id)).map(|mut records| records.pop())
    }

    /// Removes a run; false if there was none of that id.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn remove(&self, id: i64) -> Result<bool, StoreError> {
        self.explain(self.db.execute("DELETE FROM run WHERE id = ?", [id])).map(|rows| rows == 1)
    }

    /// Pins or unpins a run; false if there is none of that id.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_pinned(&self, id: i64, pinned: bool) -> Result<bool, StoreError> {
        self.explain(self.db.execute("UPDATE run SET pinned = ? WHERE id = ?", (pinned, id))).map(|rows| rows == 1)
    }

    /// What was remembered under `key`, as JSON. State that cannot be read is as good as none.
    #[must_use]
    pub fn ui_state(&self, key: &str) -> Option<String> {
        let query = "SELECT json FROM ui_state WHERE key = ?";
        self.db.query_row(query, [key], |row| row.get(0)).optional().ok().flatten()
    }

    /// Remembers `json` under `key`.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_ui_state(&self, key: &str, json: &str) -> Result<(), StoreError> {
        let statement = "INSERT INTO ui_state (key, json) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET json = ?2";
        self.explain(self.db.execute(statement, (key, json))).map(|_| ())
    }

    fn explain<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|error| StoreError::from_sqlite(&self.path, &error))
    }
}

/// Settings, a check for damage, and the newest tables.
fn prepare(db: &mut Connection, journal: &str, path: &Path) -> Result<(), StoreError> {
    let settle = |db: &Connection| {
        db.busy_timeout(PATIENCE)?;
        db.pragma_update(None, "foreign_keys", true)?;
        // With a write-ahead log this loses at most the last runs on a power cut, and never the rest.
        db.pragma_update(None, "synchronous", "NORMAL")?;
        db.pragma_update(None, "journal_mode", journal)?;
        db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    };
    let verdict = settle(db).map_err(|error| StoreError::from_sqlite(path, &error))?;
    if verdict != "ok" {
        return Err(StoreError::Corrupt { path: path.to_owned(), detail: verdict });
    }
    db.set_transaction_behavior(TransactionBehavior::Immediate);
    // Two processes may both find no tables: the one that comes second fails, and finds them when it looks again.
    let migrations = schema::migrations();
    migrations.to_latest(db).or_else(|_| migrations.to_latest(db)).map_err(|error| match error {
        MigrationError::RusqliteError { err, .. } => StoreError::from_sqlite(path, &err),
        MigrationError::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead) => {
            StoreError::TooNew { path: path.to_owned() }
        }
        other => StoreError::Database { path: path.to_owned(), detail: other.to_string() },
    })
}

#[cfg(test)]
mod tests;
