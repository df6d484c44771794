//! The thread that owns the device: one step of the most urgent job, then look for new commands.

use super::cache::Cache;
use super::calibration::{Computer, Memo};
use super::device::OpenDevice;
use super::execution::{Bench, Execution, Step};
use super::lanes::Lanes;
use super::learned::Lessons;
use super::predictor::Predictor;
use super::{EngineError, Event, JobKind, Plan, RunId};
use crate::zoo::Zoo;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

/// What the worker can be told.
pub(super) enum Command {
    Submit(Execution),
    /// Take a job out of the line; a job that is being worked on sees its own flag.
    Withdraw(RunId),
    /// Work on this device from now on.
    Use(OpenDevice),
    /// End the thread.
    Stop,
}

pub(super) type Sink = Box<dyn Fn(Event) + Send + Sync>;

/// All that lives on the engine's thread.
pub(super) struct Worker {
    zoo: Arc<Zoo>,
    device: OpenDevice,
    lanes: Lanes,
    sink: Sink,
    commands: Receiver<Command>,
    cache: Cache,
    runs: VecDeque<Execution>,
    preview: Option<Execution>,
    /// Runs and previews have networks of their own, so that a nudge does not disturb a run in progress.
    for_runs: Predictor,
    for_previews: Predictor,
    /// What methods look at data with, and what they have seen.
    computer: Computer,
    memo: Arc<Memo>,
    lessons: Lessons,
    /// The last finished preview, whose incremental drift is removed when there is nothing else to do.
    settled: Option<Plan>,
}

impl Worker {
    /// What is learned is kept in `lessons`.
    pub fn new(
        zoo: Arc<Zoo>,
        device: OpenDevice,
        (lanes, lessons): (Lanes, Lessons),
        sink: Sink,
        commands: Receiver<Command>,
    ) -> Self {
        Self {
            zoo,
            device,
            lanes,
            sink,
            commands,
            cache: Cache::default(),
            runs: VecDeque::new(),
            preview: None,
            for_runs: Predictor::default(),
            for_previews: Predictor::default(),
            computer: Computer::default(),
            memo: Arc::default(),
            lessons,
            settled: None,
        }
    }

    /// Works until it is told to stop.
    pub fn run(mut self) {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return,
                Ok(command) => {
                    self.obey(command);
                    continue;
                }
                Err(TryRecvError::Empty) => {}
            }
            if self.preview.is_some() {
                self.step_preview();
            } else if !self.runs.is_empty() {
                self.step_run();
            } else if let Some(plan) = self.settled.take() {
                // A failure here is of no consequence: the next preview fuses again and reports it.
                let refresh = || self.for_previews.refresh(&self.zoo, &self.device, &plan);
                if !matches!(catch_unwind(AssertUnwindSafe(refresh)), Ok(Ok(()))) {
                    self.for_previews = Predictor::default();
                }
            } else {
                match self.commands.recv() {
                    Ok(Command::Stop) | Err(_) => return,
                    Ok(command) => self.obey(command),
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Submit(execution) if execution.job.kind == JobKind::Preview => {
                (self.sink)(Event::Queued { run: execution.run, kind: JobKind::Preview, position: 0 });
                self.settled = None;
                if let Some(outdated) = self.preview.replace(execution) {
                    (self.sink)(Event::Cancelled { run: outdated.run });
                }
            }
            Command::Submit(execution) => {
                let position = self.runs.len();
                (self.sink)(Event::Queued { run: execution.run, kind: JobKind::Run, position });
                self.runs.push_back(execution);
            }
            Command::Withdraw(run) => {
                let before = self.runs.len();
                self.runs.retain(|execution| execution.run != run);
                if self.runs.len() < before {
                    (self.sink)(Event::Cancelled { run });
                }
            }
            Command::Use(device) => self.switch(device, None),
            Command::Stop => {}
        }
    }

    fn step_preview(&mut self) {
        let Some(execution) = self.preview.take() else { return };
        match self.advance(execution, |worker| &mut worker.for_previews) {
            Advance::Unfinished(execution) => self.preview = Some(execution),
            Advance::Finished(execution) => self.settled = execution.plan().cloned(),
            Advance::Ended => {}
        }
    }

    fn step_run(&mut self) {
        let Some(execution) = self.runs.pop_front() else { return };
        if let Advance::Unfinished(execution) = self.advance(execution, |worker| &mut worker.for_runs) {
            self.runs.push_front(execution);
        }
    }

    /// Takes a job one step further with the predictor that is kept for its kind.
    fn advance(&mut self, mut execution: Execution, kept: fn(&mut Self) -> &mut Predictor) -> Advance {
        let mut predictor = std::mem::take(kept(self));
        let step = self.step(&mut execution, &mut predictor);
        match step {
            Ok(step) => {
                *kept(self) = predictor;
                if step == Step::Done { Advance::Finished(execution) } else { Advance::Unfinished(execution) }
            }
            Err(error) => match self.give_up(&mut execution, error) {
                Verdict::TryAgain => Advance::Unfinished(execution),
                Verdict::Over => Advance::Ended,
            },
        }
    }

    fn step(&mut self, execution: &mut Execution, predictor: &mut Predictor) -> Result<Step, EngineError> {
        let mut bench = Bench {
            zoo: &self.zoo,
            device: &self.device,
            lanes: &self.lanes,
            cache: &mut self.cache,
            computer: &mut self.computer,
            memo: &self.memo,
            lessons: &self.lessons,
            sink: &*self.sink,
        };
        catch_unwind(AssertUnwindSafe(|| execution.step(predictor, &mut bench)))
            .unwrap_or_else(|panic| Err(EngineError::Panic(panic_text(&*panic))))
    }

    /// Reports a job's end, or moves it to the CPU when its GPU failed. The predictor is not used again: after a
    /// panic or a device failure nothing on it can be trusted.
    fn give_up(&mut self, execution: &mut Execution, error: EngineError) -> Verdict {
        let run = execution.run;
        self.computer = Computer::default();
        if error.is_cancelled() {
            (self.sink)(Event::Cancelled { run });
            return Verdict::Over;
        }
        if error.is_by_device() && self.device.is_gpu {
            let reason = format!("{} failed: {error}", self.device.name);
            (self.sink)(Event::Log { run, level: "warn".into(), text: format!("{reason}; starting again on the CPU") });
            self.switch(OpenDevice::cpu(), Some(reason));
            execution.restart();
            return Verdict::TryAgain;
        }
        (self.sink)(Event::Failed { run, hint: error.hint(), error: error.to_string(), input: error.is_input() });
        Verdict::Over
    }

    fn switch(&mut self, device: OpenDevice, reason: Option<String>) {
        (self.sink)(Event::Device { name: device.name.clone(), reason });
        self.device = device;
        self.for_runs = Predictor::default();
        self.for_previews = Predictor::default();
        self.computer = Computer::default();
        self.memo = Arc::default();
        self.lessons.forget();
        self.settled = None;
        self.preview.iter_mut().chain(&mut self.runs).for_each(Execution::restart);
    }
}

/// What became of a job in one step.
enum Advance {
    Unfinished(Execution),
    Finished(Execution),
    /// Given up and reported.
    Ended,
}

enum Verdict {
    Over,
    TryAgain,
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a worker panicked".to_owned())
}

#[cfg(test)]
mod tests;
