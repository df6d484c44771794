//! `fusebench zoo verify`: evaluates base and experts again and compares with the scores recorded beside them.

use super::args::{Global, Listing};
use super::error::CliError;
use super::output::{self, Columns};
use super::progress::Progress;
use super::runner::Runner;
use super::zoo::open;
use crate::engine::{Job, JobKind, Recipe, Report};
use crate::fusion;
use crate::params::{ParamSet, Value};
use crate::tasks::Split;
use crate::zoo::Zoo;
use serde::Serialize;

/// Rounding differs between machines and may tip a sample or two that lie between two classes.
const SAMPLES: f64 = 2.0;

#[derive(Serialize)]
struct Row {
    task: String,
    model: &'static str,
    split: Split,
    recorded: Option<f64>,
    measured: f64,
    n: u64,
    ok: bool,
}

pub fn run(args: &Listing, global: &Global) -> Result<(), CliError> {
    let zoo = open(global)?;
    let splits = [Split::Validation, Split::Test];
    let mut jobs = Vec::new();
    for split in splits {
        jobs.push(("base", base(&zoo, split)?));
        jobs.extend(zoo.tasks().iter().map(|task| ("expert", expert(&task.id, split))));
    }
    let mut runner = Runner::start(&zoo, global, false, Progress::new(args.json, jobs.len()))?;
    let mut rows = Vec::new();
    for (model, job) in &jobs {
        let report = runner.execute(job)?.report;
        rows.extend(judge(&zoo, model, &report));
    }
    runner.finish()?;

    if args.json {
        output::json(&rows)?;
    } else {
        table(&rows).print()?;
    }
    match rows.iter().filter(|row| !row.ok).count() {
        0 => Ok(()),
        wrong => Err(CliError::failure(format!("{wrong} of {} scores are not as recorded", rows.len()))
            .hint("checkpoints, data or scores.json changed: restore them, or record the scores again")),
    }
}

/// The base is what every method that starts from it gives at λ = 0.
fn base(zoo: &Zoo, split: Split) -> Result<Job, CliError> {
    let method = fusion::find("task_arithmetic")?;
    let params = ParamSet::checked(method.specs, [("scaling", Value::Float(0.0))])
        .map_err(|source| fusion::FusionError::Param { method: method.name, source })?;
    let experts = zoo.own_experts().map(str::to_owned).collect();
    let tasks = zoo.tasks().iter().map(|task| task.id.clone()).collect();
    let recipe = Recipe { method: method.id.to_owned(), params, experts };
    Ok(Job { kind: JobKind::Run, recipe, tasks, split, limit: None, corruption: None })
}

/// The average of one expert is that expert.
fn expert(task: &str, split: Split) -> Job {
    let recipe =
        Recipe { method: "simple_average".to_owned(), params: ParamSet::default(), experts: vec![task.to_owned()] };
    Job { kind: JobKind::Run, recipe, tasks: vec![task.to_owned()], split, limit: None, corruption: None }
}

fn judge(zoo: &Zoo, model: &'static str, report: &Report) -> Vec<Row> {
    let row = |task: &crate::engine::TaskReport| {
        let scores = zoo.scores();
        let recorded = if model == "base" {
            scores.base(&task.task, report.split)
        } else {
            scores.expert(&task.task, report.split)
        };
        let off = recorded.map(|recorded| (recorded - task.accuracy).abs() * task.n as f64);
        Row {
            task: task.task.clone(),
            model,
            split: report.split,
            recorded,
            measured: task.accuracy,
            n: task.n,
            ok: off.is_some_and(|samples| samples <= SAMPLES + 0.5),
        }
    };
    report.tasks.iter().map(row).collect()
}

fn table(rows: &[Row]) -> Columns {
    let mut columns = Columns::with_header(["task", "model", "split", "recorded", "measured", "n", ""]);
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    for row in rows {
        columns.row([
            row.task.clone(),
            row.model.to_owned(),
            row.split.to_string(),
            row.recorded.map_or_else(|| "-".to_owned(), percent),
            percent(row.measured),
            row.n.to_string(),
            if row.ok { "ok" } else { "DIFFERS" }.to_owned(),
        ]);
    }
    columns
}
