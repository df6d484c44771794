//! One job after the other on an engine, with progress, events and signals: what `run` and `zoo verify` have in common.

use super::args::Global;
use super::error::CliError;
use super::output;
use super::progress::Progress;
use super::signals::Signals;
use crate::engine::{Engine, Event, Job, Report};
use crate::params::ParamSet;
use crate::zoo::Zoo;
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a cancelled run may take to stop before the process ends without it.
const PATIENCE: Duration = Duration::from_secs(5);

enum Message {
    Engine(Box<Event>),
    Signal(i32),
}

/// What became of a job.
pub struct Ended {
    pub report: Report,
    /// The parameters that give this result, where they are others than were asked for.
    pub params: Option<ParamSet>,
    /// What was not as it should be.
    pub warnings: Vec<String>,
}

pub struct Runner {
    engine: Engine,
    messages: Receiver<Message>,
    signals: Signals,
    /// Whether every event goes to stdout.
    events: bool,
    progress: Progress,
}

impl Runner {
    /// An engine on the device that was asked for, and ears for signals.
    pub fn start(zoo: &Arc<Zoo>, global: &Global, events: bool, progress: Progress) -> Result<Self, CliError> {
        let (sender, messages) = channel();
        let from_engine = sender.clone();
        // The receiver outlives the engine but for the moments in which the process ends anyway.
        let signals = Signals::listen(move |number| {
            let _ = sender.send(Message::Signal(number));
        })?;
        let sink = Box::new(move |event| {
            let _ = from_engine.send(Message::Engine(Box::new(event)));
        });
        let engine = Engine::start_proved(Arc::clone(zoo), global.device, sink)?;
        Ok(Self { engine, messages, signals, events, progress })
    }

    /// The last word: an error when a signal came after the last job.
    pub fn finish(self) -> Result<(), CliError> {
        self.signals.check()
    }

    /// Submits one job and waits for its end.
    pub fn execute(&mut self, job: &Job) -> Result<Ended, CliError> {
        let run = self.engine.next_id();
        self.engine.submit(run, job.clone());
        let mut interrupted: Option<(i32, Instant)> = None;
        let (mut settled, mut warnings) = (None, Vec::new());
        loop {
            let event = match self.next(interrupted)? {
                Message::Engine(event) => *event,
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
                (Event::Finished { report, .. }, None) => return Ok(Ended { report, params: settled, warnings }),
                (Event::Settled { params, .. }, None) => settled = Some(params),
                (Event::Log { level, text, .. }, None) if level == "warn" => warnings.push(text),
                (Event::Failed { error, hint, input, .. }, None) => {
                    return Err(CliError::of(input, error).hint(hint));
                }
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
