//! `fusebench zoo train`: builds base, heads and experts from the training data; resumes at the first unfinished stage.

use super::args::ZooTrain;
use super::error::CliError;
use super::output::{self, Columns};
use super::progress::Line;
use super::signals::Signals;
use crate::cancel::Cancel;
use crate::models::ModelError;
use crate::text::printable;
use crate::zoo::{Scores, TrainEvent, TrainOptions, ZooError, train_seeds};
use std::path::Path;

pub fn run(args: &ZooTrain) -> Result<(), CliError> {
    let mut options = args.options.as_deref().map_or_else(|| Ok(TrainOptions::default()), read_options)?;
    options.seed = args.seed.unwrap_or(options.seed);
    train(&args.data, args.quiet, args.json, |progress, cancel| {
        train_seeds(&args.data, &args.out, &options, &args.further_seeds, progress, cancel)
    })
}

/// Trains on what lies in `data` until it is done or a signal comes; prints the scores.
pub fn train(
    data: &Path,
    quiet: bool,
    json: bool,
    work: impl FnOnce(&mut dyn FnMut(TrainEvent), &Cancel) -> Result<Scores, ZooError>,
) -> Result<(), CliError> {
    let cancel = Cancel::default();
    let stop = cancel.clone();
    let signals = Signals::listen(move |_| stop.cancel())?;
    let mut line = Line::new(quiet);
    let result = work(&mut |event| show(&mut line, &event), &cancel);
    line.clear();
    let scores = match result {
        Ok(scores) => scores,
        Err(ZooError::Cancelled(_)) => {
            signals
                .check()
                .map_err(|error| error.hint("finished stages are kept; the same command goes on after them"))?;
            return Err(CliError::failure("training was cancelled"));
        }
        Err(error) if of_input(&error) => {
            return Err(CliError::input(error.to_string()).at(data.display().to_string()).hint(error.hint()));
        }
        Err(error) => return Err(CliError::failure(error.to_string()).hint(error.hint())),
    };
    if json { output::json(&scores) } else { table(&scores).print() }
}

/// Whether it is what was given that is wrong.
fn of_input(error: &ZooError) -> bool {
    matches!(
        error,
        ZooError::Missing { .. }
            | ZooError::Io { .. }
            | ZooError::Damaged { .. }
            | ZooError::Preprocess(_)
            | ZooError::TaskTaken { .. }
            | ZooError::SameFolder { .. }
    )
}

fn read_options(path: &Path) -> Result<TrainOptions, CliError> {
    let bad = |error: String| CliError::input(error).at(path.display().to_string());
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let options: TrainOptions = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    options.config().check().map_err(|error| match error {
        ModelError::Config { reason } => bad(reason),
        other => bad(other.to_string()),
    })?;
    Ok(options)
}

fn show(line: &mut Line, event: &TrainEvent) {
    match event {
        TrainEvent::Stage { name, kept: true } => line.note(&format!("{}: kept from before", printable(name))),
        TrainEvent::Stage { name, kept: false } => line.note(&format!("{} …", printable(name))),
        TrainEvent::Step { stage, step, steps, loss } => {
            line.draw(&format!("{}  {step} of {steps} steps, loss {loss:.3}", printable(stage)));
        }
        TrainEvent::Accuracy { model, task, accuracy } => {
            let (model, task) = (printable(model), printable(task));
            line.note(&format!("{model} on {task}: {:.1} % of validation", 100.0 * accuracy));
        }
    }
}

fn table(scores: &Scores) -> Columns {
    let mut columns =
        Columns::with_header(["task", "base validation", "base test", "expert validation", "expert test"]);
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    for (task, scores) in &scores.tasks {
        columns.row([
            printable(task).into_owned(),
            percent(scores.base.validation),
            percent(scores.base.test),
            percent(scores.expert.validation),
            percent(scores.expert.test),
        ]);
    }
    columns
}
