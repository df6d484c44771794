//! The tables, as a list of migrations. A migration that has been released is never changed, only followed by another.

use rusqlite_migration::{M, Migrations};

const MIGRATIONS: &[M<'_>] = &[M::up(
    "CREATE TABLE run (
        -- AUTOINCREMENT: an id that was shown once never means another run.
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        started     INTEGER NOT NULL,
        method      TEXT NOT NULL,
        method_name TEXT NOT NULL,
        label       TEXT NOT NULL,
        recipe      TEXT NOT NULL,
        device      TEXT NOT NULL,
        split       TEXT NOT NULL,
        complete    INTEGER NOT NULL,
        -- SQLite stores NaN as NULL.
        seconds     REAL,
        average     REAL,
        pinned      INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX run_by_start ON run (started DESC, id DESC);
    CREATE TABLE score (
        run         INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        position    INTEGER NOT NULL,
        task        TEXT NOT NULL,
        accuracy    REAL,
        loss        REAL,
        samples     INTEGER NOT NULL,
        -- One bit a sample, the first one lowest.
        outcomes    BLOB NOT NULL,
        outcome_count INTEGER NOT NULL CHECK (length(outcomes) = (outcome_count + 7) / 8),
        PRIMARY KEY (run, position)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ui_state (
        key         TEXT PRIMARY KEY,
        json        TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;",
)];

pub(super) fn migrations() -> Migrations<'static> {
    Migrations::from_slice(MIGRATIONS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_migrations_are_valid() {
        super::migrations().validate().unwrap();
    }
}
