//! The tables, as a list of migrations. A migration that has been released is never changed, only followed by another.

use rusqlite_migration::{M, Migrations};

const MIGRATIONS: &[M<'_>] = &[
    M::up(
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
    ),
    // Until then it was said at the end of the label.
    M::up(
        "ALTER TABLE run ADD COLUMN tuned_on_test INTEGER NOT NULL DEFAULT 0;
        UPDATE run SET tuned_on_test = 1, label = substr(label, 1, length(label) - length(' (tuned on test)'))
        WHERE label LIKE '% (tuned on test)';",
    ),
];

pub(super) fn migrations() -> Migrations<'static> {
    Migrations::from_slice(MIGRATIONS)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    #[test]
    fn the_migrations_are_valid() {
        super::migrations().validate().unwrap();
    }

    #[test]
    fn what_labels_said_of_tuning_becomes_a_column() {
        let mut db = Connection::open_in_memory().unwrap();
        super::migrations().to_version(&mut db, 1).unwrap();
        for label in ["ties λ=0.4 (tuned on test)", "ties λ=0.3"] {
            let insert = "INSERT INTO run (started, method, method_name, label, recipe, device, split, complete)
                          VALUES (1, 'ties', 'TIES', ?, '', 'cpu', 'test', 1)";
            db.execute(insert, [label]).unwrap();
        }
        super::migrations().to_latest(&mut db).unwrap();
        let mut rows = db.prepare("SELECT label, tuned_on_test FROM run ORDER BY id").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let rows: Vec<(String, bool)> = rows.collect::<Result<_, _>>().unwrap();
        assert_eq!(rows, [("ties λ=0.4".to_owned(), true), ("ties λ=0.3".to_owned(), false)]);
    }
}
