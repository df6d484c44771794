//! Between the records and their rows.

use super::outcomes;
use super::{NewRun, RunRecord, TaskScore};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, named_params};

/// SQLite's integers are signed; a number that does not fit is not one that was counted.
fn signed(n: impl TryInto<i64>) -> i64 {
    n.try_into().unwrap_or(i64::MAX)
}

/// Inserts a run with its scores; the caller holds the transaction.
pub(super) fn insert(db: &Connection, run: &NewRun) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "INSERT INTO run (started, method, method_name, label, tuned_on_test, recipe, device, split, complete, seconds, average)
         VALUES (:started, :method, :method_name, :label, :tuned_on_test, :recipe, :device, :split, :complete, :seconds, :average)",
    )?
    .execute(named_params! {
        ":started": run.started_unix,
        ":method": run.method,
        ":method_name": run.method_name,
        ":label": run.label,
        ":tuned_on_test": run.tuned_on_test,
        ":recipe": run.recipe_toml,
        ":device": run.device,
        ":split": run.split,
        ":complete": run.complete,
        ":seconds": run.seconds,
        ":average": run.average,
    })?;
    let id = db.last_insert_rowid();
    let mut insert_score = db.prepare_cached(
        "INSERT INTO score (run, position, task, accuracy, loss, samples, outcomes, outcome_count)
         VALUES (:run, :position, :task, :accuracy, :loss, :samples, :outcomes, :outcome_count)",
    )?;
    for (position, score) in run.tasks.iter().enumerate() {
        insert_score.execute(named_params! {
            ":run": id,
            ":position": signed(position),
            ":task": score.task,
            ":accuracy": score.accuracy,
            ":loss": score.loss,
            ":samples": signed(score.n),
            ":outcomes": outcomes::pack(&score.outcomes),
            ":outcome_count": signed(score.outcomes.len()),
        })?;
    }
    Ok(id)
}

/// Reads the runs that `selection` (what follows `FROM run`) picks, complete with their scores.
pub(super) fn select(db: &Connection, selection: &str, argument: i64) -> rusqlite::Result<Vec<RunRecord>> {
    let mut records = db
        .prepare_cached(&format!(
            "SELECT id, started, method, method_name, label, tuned_on_test, recipe, device, split, complete, seconds, average, pinned
             FROM run {selection}"
        ))?
        .query_map([argument], record)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut scores = db.prepare_cached(
        "SELECT task, accuracy, loss, samples, outcomes, outcome_count FROM score WHERE run = ? ORDER BY position",
    )?;
    for record in &mut records {
        record.run.tasks = scores.query_map([record.id], score)?.collect::<rusqlite::Result<_>>()?;
    }
    Ok(records)
}

/// The run of one row, its scores still missing.
fn record(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    Ok(RunRecord {
        id: row.get("id")?,
        pinned: row.get("pinned")?,
        run: NewRun {
            started_unix: row.get("started")?,
            method: row.get("method")?,
            method_name: row.get("method_name")?,
            label: row.get("label")?,
            tuned_on_test: row.get("tuned_on_test")?,
            recipe_toml: row.get("recipe")?,
            device: row.get("device")?,
            split: row.get("split")?,
            complete: row.get("complete")?,
            seconds: real(row, "seconds")?,
            average: real(row, "average")?,
            tasks: Vec::new(),
        },
    })
}

fn score(row: &Row<'_>) -> rusqlite::Result<TaskScore> {
    let packed: Vec<u8> = row.get("outcomes")?;
    let count: i64 = row.get("outcome_count")?;
    let outcomes = usize::try_from(count).ok().and_then(|count| outcomes::unpack(&packed, count));
    Ok(TaskScore {
        task: row.get("task")?,
        accuracy: real(row, "accuracy")?,
        loss: real(row, "loss")?,
        n: row.get::<_, i64>("samples")?.try_into().unwrap_or(0),
        outcomes: outcomes.ok_or_else(|| {
            let reason = format!("{} bytes for {count} outcomes", packed.len());
            rusqlite::Error::FromSqlConversionFailure(packed.len(), Type::Blob, reason.into())
        })?,
    })
}

/// NaN went in as NULL.
fn real(row: &Row<'_>, column: &str) -> rusqlite::Result<f64> {
    Ok(row.get::<_, Option<f64>>(column)?.unwrap_or(f64::NAN))
}
