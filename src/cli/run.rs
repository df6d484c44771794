//! `fusebench run`: one recipe, or a sweep of one parameter, fused and evaluated without a terminal UI.

mod artifacts;
mod plan;
mod report;
mod table;

use super::args::{Global, Run};
use super::error::CliError;
use super::output;
use super::progress::Progress;
use super::runner::Runner;
use super::zoo::open;
use crate::engine::{Job, Report};
use crate::zoo::Zoo;
use plan::Plan;

/// What happens when neither a terminal nor a command is there.
pub const DEFAULT_PRESET: &str = "merging/task_arithmetic";

/// One job of the plan and what came out of it.
pub struct Outcome {
    /// The swept parameter's value.
    pub value: Option<f64>,
    pub job: Job,
    pub report: Report,
}

pub fn run(args: &Run, global: &Global) -> Result<(), CliError> {
    let plan = Plan::read(args)?;
    if let Some(folder) = &args.out {
        artifacts::prepare(folder)?;
    }
    let zoo = open(global)?;
    let jobs = plan.jobs(&zoo)?;

    let mut runner = Runner::start(&zoo, global, args.events, Progress::new(args.quiet, jobs.len()))?;
    let mut outcomes = Vec::with_capacity(jobs.len());
    for (value, job) in jobs {
        let report = runner.execute(&job)?;
        outcomes.push(Outcome { value, job, report });
    }
    runner.finish()?;
    deliver(args, &plan, &zoo, &outcomes)
}

/// Prints and writes what was asked for.
fn deliver(args: &Run, plan: &Plan, zoo: &Zoo, outcomes: &[Outcome]) -> Result<(), CliError> {
    let json = match (&plan.sweep, outcomes) {
        (Some(sweep), _) => report::sweep(zoo, sweep, outcomes)?,
        (None, [outcome]) => report::single(zoo, outcome),
        (None, _) => return Err(CliError::failure("the engine gave no result")),
    };
    if let Some(folder) = &args.out {
        artifacts::write(folder, plan, zoo, outcomes, &json)?;
    }
    if args.json {
        output::json(&json)
    } else if args.events {
        // A single run's report is its last event; a sweep has one line more, as no event speaks of all runs.
        if plan.sweep.is_some() { output::json_line(&json) } else { Ok(()) }
    } else {
        output::raw(table::render(zoo, plan.sweep.as_ref(), outcomes).as_bytes())
    }
}
