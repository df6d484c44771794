//! A finished run as the history keeps it.

use super::label::{TUNED_MARK, TUNED_ON_TEST};
use super::run_view::RunView;
use crate::engine::{Job, Preset};
use crate::store::{NewRun, TaskScore};
use crate::tui::catalog::Catalog;
use crate::tui::view_cx::Charset;

/// What the history keeps of a finished run; nothing as long as it is not finished.
/// `started_unix` is the time at which it started, in seconds since 1970 (UTC).
///
/// # Errors
/// The inner result, when no preset can be made of the job.
#[must_use]
pub fn record(run: &RunView, catalog: &Catalog, started_unix: i64) -> Option<Result<NewRun, String>> {
    let report = run.report.as_ref()?;
    let recipe_toml = match recipe_toml(&run.job) {
        Ok(toml) => toml,
        Err(error) => return Some(Err(error)),
    };
    let method = catalog.methods.iter().find(|method| method.id == run.job.recipe.method);
    let score = |task: &crate::engine::TaskReport| TaskScore {
        task: task.task.clone(),
        accuracy: task.accuracy,
        loss: task.loss,
        n: task.n,
        outcomes: task.outcomes.clone(),
    };
    Some(Ok(NewRun {
        started_unix,
        method: run.job.recipe.method.clone(),
        method_name: method.map_or_else(|| run.job.recipe.method.clone(), |method| method.name.to_owned()),
        label: run.label.clone(),
        tuned_on_test: run.tuned_on_test,
        recipe_toml,
        device: report.device.clone(),
        split: report.data().to_string(),
        complete: report.complete,
        seconds: report.fuse_seconds + report.evaluate_seconds,
        average: report.average,
        tasks: report.tasks.iter().map(score).collect(),
    }))
}

/// The preset that reproduces a job.
///
/// # Errors
/// When the job names a method that is not in the registry.
pub fn recipe_toml(job: &Job) -> Result<String, String> {
    Preset::from_job(job).map(|preset| preset.to_toml()).map_err(|error| error.to_string())
}

/// A stored run's label with what has to be known of it, as charts and titles have room for.
#[must_use]
pub fn title(run: &NewRun) -> String {
    let mark = if run.tuned_on_test { format!(" ({TUNED_ON_TEST})") } else { String::new() };
    format!("{}{mark}", run.label)
}

/// The same where there is little room: what may be cut comes last.
#[must_use]
pub fn short_title(run: &NewRun, charset: Charset) -> String {
    let mark = if charset == Charset::Ascii { TUNED_MARK.1 } else { TUNED_MARK.0 };
    if run.tuned_on_test { format!("{mark} {}", run.label) } else { run.label.clone() }
}
