//! `fusebench run`: one recipe (with several seeds, or against another one), or a sweep of one parameter, fused and evaluated
//! without a terminal UI.

mod against;
mod artifacts;
mod averages;
mod plan;
mod report;
mod robustness;
mod seeds;
mod table;

use super::args::{Global, Run};
use super::error::CliError;
use super::output;
use super::progress::Progress;
use super::runner::{Ended, Runner};
use super::zoo::open;
use crate::engine::{Job, Report};
use crate::zoo::Zoo;
use plan::Plan;

/// What happens when neither a terminal nor a command is there.
pub const DEFAULT_PRESET: &str = "merging/task_arithmetic";

/// One job of the plan and what came out of it.
pub struct Outcome {
    /// The swept parameter's value, or the seed.
    pub value: Option<f64>,
    /// As it was in the end: a method that stopped early took fewer steps than it was asked for.
    pub job: Job,
    pub report: Report,
    pub warnings: Vec<String>,
}

pub fn run(args: &Run, global: &Global) -> Result<(), CliError> {
    let zoo = open(global)?;
    let plan = Plan::read(args, &zoo)?;
    if let Some(folder) = &args.out {
        artifacts::prepare(folder)?;
    }
    let jobs = plan.jobs(&zoo)?;

    let mut runner = Runner::start(&zoo, global, args.events, Progress::new(args.quiet, jobs.len()))?;
    let mut outcomes = Vec::with_capacity(jobs.len());
    for (value, job) in jobs {
        let Ended { report, params, warnings } = runner.execute(&job)?;
        let mut job = job;
        job.recipe.params = params.unwrap_or(job.recipe.params);
        outcomes.push(Outcome { value, job, report, warnings });
    }
    runner.finish()?;
    deliver(args, &plan, &zoo, &outcomes)
}

/// Prints and writes what was asked for.
fn deliver(args: &Run, plan: &Plan, zoo: &Zoo, outcomes: &[Outcome]) -> Result<(), CliError> {
    let json = match (&plan.sweep, outcomes) {
        (Some(sweep), _) => report::sweep(zoo, sweep, outcomes)?,
        (None, _) if !plan.seeds.is_empty() => seeds::json(zoo, outcomes),
        (None, _) if plan.is_robustness() => robustness::json(zoo, outcomes),
        (None, [outcome]) => report::single(zoo, outcome),
        (None, [first, second]) => {
            let mut json = report::single(zoo, first);
            json["against"] = against::json(first, second);
            json
        }
        (None, _) => return Err(CliError::failure("the engine gave no result")),
    };
    if let Some(folder) = &args.out {
        // Of two recipes, the other is what the first is held against; the report has both.
        let own = if plan.against.is_some() { &outcomes[..outcomes.len().min(1)] } else { outcomes };
        artifacts::write(folder, plan, zoo, own, &json)?;
    }
    if args.json {
        output::json(&json)
    } else if args.events {
        // A single run's report is its last event; several have one line more, as no event speaks of all runs.
        if outcomes.len() > 1 || plan.sweep.is_some() { output::json_line(&json) } else { Ok(()) }
    } else {
        output::raw(table::render(zoo, plan, outcomes).as_bytes())
    }
}
