//! `fusebench run`: one recipe, or a sweep of one parameter, fused and evaluated without a terminal UI.

mod artifacts;
mod plan;
mod progress;
mod report;
mod table;

use super::args::{Global, Run};
use super::error::CliError;
use super::output;
use super::signals::Signals;
use super::zoo::open;
use crate::engine::{Engine, Event, Job, Report};
use crate::zoo::Zoo;
use plan::Plan;
use progress::Progress;
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What happens when neither a terminal nor a command is there.
pub const DEFAULT_PRESET: &str = "merging/task_arithmetic";

/// How long a cancelled run may take to stop before the process ends without it.
const PATIENCE: Duration = Duration::from_secs(5);

/// One job of the plan and what came out of it.
pub struct Outcome {
    /// The swept parameter's value.
    pub value: Option<f64>,
    pub job: Job,
    pub report: Report,
}

enum Message {
    Engine(Event),
    Signal(i32),
}

pub fn run(args: &Run, global: &Global) -> Result<(), CliError> {
    let plan = Plan::read(args)?;
    if let Some(folder) = &args.out {
        artifacts::prepare(folder)?;
    }
    let zoo = open(global)?;
    let jobs = plan.jobs(&zoo)?;

    let (sender, messages) = channel();
    let from_engine = sender.clone();
    let signals = Signals::listen(move |number| {
        let _ = sender.send(Message::Signal(number));
    })?;
    // After an interrupt nobody may be listening; the engine is about to be dropped then.
    let sink = Box::new(move |event| {
        let _ = from_engine.send(Message::Engine(event));
    });
    let mut runner = Runner {
        engine: Engine::start_proved(Arc::clone(&zoo), global.device, sink)?,
        messages,
        events: args.events,
        progress: Progress::new(args.quiet, jobs.len()),
    };
    let mut outcomes = Vec::with_capacity(jobs.len());
    for (value, job) in jobs {
        let report = runner.execute(&job)?;
        outcomes.push(Outcome { value, job, report });
    }
    drop(runner);
    signals.check()?;
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

struct Runner {
    engine: Engine,
    messages: Receiver<Message>,
    events: bool,
    progress: Progress,
}

impl Runner {
    /// Submits one job and waits for its end.
    fn execute(&mut self, job: &Job) -> Result<Report, CliError> {
        let run = self.engine.next_id();
        self.engine.submit(run, job.clone());
        let mut interrupted: Option<(i32, Instant)> = None;
        loop {
            let event = match self.next(interrupted)? {
                Message::Engine(event) => event,
                Message::Signal(number) => {
                    self.engine.cancel(run);
                    interrupted = Some((number, Instant::now()));
                    continue;
                }
            };
            if self.events {
                output::json_line(&event)?;
            }
            self.progress.show(&event);
            if event.run().is_none_or(|id| id != run) {
                continue;
            }
            match (event, interrupted) {
                (Event::Finished { report, .. }, None) => return Ok(report),
                (Event::Failed { error, hint, .. }, None) => return Err(CliError::failure(error).hint(hint)),
                (Event::Cancelled { .. }, None) => return Err(CliError::failure("the run was cancelled")),
                (event, Some((number, _))) if event.is_final() => return Err(CliError::signal(number)),
                _ => {}
            }
        }
    }

    /// The next message. A run that does not stop when asked to is left behind: the files of earlier runs are whole,
    /// and this one has written none.
    fn next(&self, interrupted: Option<(i32, Instant)>) -> Result<Message, CliError> {
        let gone = || {
            CliError::failure("the engine stopped without an answer")
                .hint("this is a bug: please report it with the output of `fusebench doctor`")
        };
        let Some((number, since)) = interrupted else { return self.messages.recv().map_err(|_| gone()) };
        match self.messages.recv_timeout(PATIENCE.saturating_sub(since.elapsed())) {
            Ok(message) => Ok(message),
            Err(RecvTimeoutError::Timeout) => process::exit(128 + number),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }
}
