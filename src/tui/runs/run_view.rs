//! One run as the screens see it, and how an event changes it.

use super::eta::Eta;
use super::label;
use super::task_view::{Score, TaskView};
use crate::engine::{Event, Job, Report, RunId};
use crate::fusion::find;
use crate::tasks::metrics::wilson;
use std::collections::VecDeque;
use std::time::Duration;

/// Log lines kept a run.
const LOG_LINES: usize = 200;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// So many are before it.
    Queued {
        position: usize,
    },
    Running,
    /// Asked to stop, has not stopped yet.
    Cancelling,
    Done,
    Failed {
        error: String,
        hint: String,
    },
    Cancelled,
}

impl RunState {
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Failed { .. } | Self::Cancelled)
    }

    /// One word for lists.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Running => "running",
            Self::Cancelling => "stopping",
            Self::Done => "done",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A stretch of work within a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    pub name: String,
    pub done: u64,
    /// Missing where it cannot be known.
    pub total: Option<u64>,
    pub unit: String,
    pub began: Duration,
    pub eta: Eta,
}

impl Phase {
    /// How much of it is done, if that can be said.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        self.total.filter(|&total| total > 0).map(|total| (self.done as f64 / total as f64).min(1.0))
    }
}

/// One line that the engine logged about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub at: Duration,
    pub level: String,
    pub text: String,
}

/// What a run has learned so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learned {
    /// Mean loss before every step.
    pub losses: Vec<f64>,
    /// Steps taken, and asked for.
    pub step: u64,
    pub steps: u64,
    pub blocks: Vec<String>,
    /// `[expert][block]`; means over a block's tensors unless `exact`; empty where routers are learned.
    pub coefficients: Vec<Vec<f64>>,
    pub exact: bool,
    /// A mask lies on the task vectors as well: no coefficients give the same model.
    pub masked: bool,
}

/// Whom the routers of a mixture ask.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Routing {
    /// Layers with a router.
    pub places: Vec<String>,
    pub experts: Vec<String>,
    /// `[place][expert]` of each task that was seen, means over its images.
    pub tasks: Vec<(String, Vec<Vec<f64>>)>,
}

impl Routing {
    fn see(&mut self, task: &str, weights: &[Vec<f64>]) {
        match self.tasks.iter_mut().find(|(known, _)| known == task) {
            Some((_, known)) => *known = weights.to_vec(),
            None => self.tasks.push((task.to_owned(), weights.to_vec())),
        }
    }
}

/// One run of this session. Times are since the session started.
#[derive(Debug, Clone)]
pub struct RunView {
    pub id: RunId,
    pub job: Job,
    /// One line that tells it from its neighbours: `task_arithmetic λ=0.4`.
    pub label: String,
    /// Its parameters were moved after a test result of the method was seen.
    pub tuned_on_test: bool,
    pub state: RunState,
    /// Empty until the run has started.
    pub device: String,
    /// In the order they began; the last one is going on.
    pub phases: Vec<Phase>,
    /// In the order of the job's tasks.
    pub tasks: Vec<TaskView>,
    pub log: VecDeque<LogLine>,
    pub submitted: Duration,
    pub started: Option<Duration>,
    pub ended: Option<Duration>,
    /// Speed of the evaluation in images a second.
    pub images: Eta,
    pub report: Option<Report>,
    /// For methods that learn step by step, from the first step on.
    pub learned: Option<Learned>,
    /// Where the result is a mixture.
    pub routing: Option<Routing>,
}

impl RunView {
    #[must_use]
    pub fn new(id: RunId, job: Job, label: String, tuned_on_test: bool, now: Duration) -> Self {
        let tasks = job.tasks.iter().map(|task| TaskView::new(task.clone())).collect();
        Self {
            id,
            job,
            label,
            tuned_on_test,
            state: RunState::Queued { position: 0 },
            device: String::new(),
            phases: Vec::new(),
            tasks,
            log: VecDeque::new(),
            submitted: now,
            started: None,
            ended: None,
            images: Eta::default(),
            report: None,
            learned: None,
            routing: None,
        }
    }

    #[must_use]
    pub fn task(&self, id: &str) -> Option<&TaskView> {
        self.tasks.iter().find(|task| task.task == id)
    }

    /// Samples seen so far and to be seen in all, over those tasks of which something is known.
    #[must_use]
    pub fn seen(&self) -> (u64, u64) {
        self.tasks.iter().filter_map(|task| task.score).fold((0, 0), |sum, s| (sum.0 + s.seen, sum.1 + s.total))
    }

    /// Time since it started, up to its end.
    #[must_use]
    pub fn elapsed(&self, now: Duration) -> Option<Duration> {
        self.started.map(|started| self.ended.unwrap_or(now).saturating_sub(started))
    }

    /// Images a second: what the report says of a finished run, or else the speed at present.
    #[must_use]
    pub fn images_per_second(&self) -> Option<f64> {
        match &self.report {
            Some(report) if report.cached || report.evaluate_seconds <= 0.0 => None,
            Some(report) => Some(report.tasks.iter().map(|task| task.n).sum::<u64>() as f64 / report.evaluate_seconds),
            None => self.images.speed(),
        }
    }

    /// Unweighted mean over tasks and the half-width of its 95 % interval, once every task has an estimate.
    #[must_use]
    pub fn average(&self) -> Option<(f64, f64)> {
        self.average_over(|_| true)
    }

    /// The same over some of the tasks.
    #[must_use]
    pub fn average_over(&self, pick: impl Fn(&str) -> bool) -> Option<(f64, f64)> {
        let tasks = self.tasks.iter().filter(|task| pick(&task.task));
        let scores: Vec<Score> = tasks.map(|task| task.score).collect::<Option<_>>()?;
        average(&scores)
    }

    /// Whether experts of some of its tasks are in the recipe, and those of others are not.
    #[must_use]
    pub fn has_unseen(&self) -> bool {
        let seen = |task: &TaskView| self.job.recipe.has_seen(&task.task);
        self.tasks.iter().any(seen) && !self.tasks.iter().all(seen)
    }

    /// Takes in an event about this run. What comes after the end is ignored.
    pub fn apply(&mut self, event: &Event, now: Duration) {
        if self.state.is_over() {
            return;
        }
        match event {
            Event::Device { .. } => {}
            Event::Queued { position, .. } => {
                if self.state != RunState::Cancelling {
                    self.state = RunState::Queued { position: *position };
                }
            }
            Event::Started { device, .. } => {
                self.device.clone_from(device);
                self.started = Some(now);
                if self.state != RunState::Cancelling {
                    self.state = RunState::Running;
                }
            }
            Event::Phase { name, total, unit, .. } => self.phases.push(Phase {
                name: name.clone(),
                done: 0,
                total: *total,
                unit: unit.clone(),
                began: now,
                eta: Eta::default(),
            }),
            Event::Progress { done, .. } => {
                if let Some(phase) = self.phases.last_mut() {
                    phase.done = *done;
                    phase.eta.update(now, *done);
                }
            }
            Event::Estimate { task, correct, seen, total, low, high, .. } => {
                if *seen == 0 {
                    return;
                }
                let accuracy = *correct as f64 / *seen as f64;
                let score = Score { accuracy, low: *low, high: *high, seen: *seen, total: *total };
                self.change(task, |task| task.see(score));
                self.images.update(now, self.seen().0);
            }
            Event::TaskDone { task, loss, .. } => self.change(task, |task| {
                task.loss = Some(*loss);
                task.done = true;
            }),
            Event::Adapted { step, steps, loss, losses, blocks, coefficients, exact, masked, .. } => {
                let learned = self.learned.get_or_insert_with(Learned::default);
                // Without a loss nothing was learned just now, and the coefficients are of something learned before.
                if !losses.is_empty() {
                    learned.losses.push(*loss);
                }
                learned.step = *step;
                learned.steps = *steps;
                learned.blocks.clone_from(blocks);
                learned.coefficients.clone_from(coefficients);
                learned.exact = *exact;
                learned.masked = *masked;
            }
            Event::Routing { task, places, experts, weights, .. } => {
                let routing = self.routing.get_or_insert_with(|| Routing {
                    places: places.clone(),
                    experts: experts.clone(),
                    tasks: Vec::new(),
                });
                routing.see(task, weights);
                // In the order of the run, whichever came first.
                let place = |task: &str| self.tasks.iter().position(|known| known.task == task);
                routing.tasks.sort_by_key(|(task, _)| place(task));
            }
            Event::Settled { params, .. } => {
                self.job.recipe.params.clone_from(params);
                self.label = label::recipe(&self.job.recipe, find(&self.job.recipe.method).ok());
            }
            Event::Log { level, text, .. } => {
                if self.log.len() == LOG_LINES {
                    self.log.pop_front();
                }
                self.log.push_back(LogLine { at: now, level: level.clone(), text: text.clone() });
            }
            Event::Finished { report, .. } => self.finish(report, now),
            Event::Failed { error, hint, .. } => {
                self.state = RunState::Failed { error: error.clone(), hint: hint.clone() };
                self.ended = Some(now);
            }
            Event::Cancelled { .. } => {
                self.state = RunState::Cancelled;
                self.ended = Some(now);
            }
        }
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut TaskView)) {
        if let Some(task) = self.tasks.iter_mut().find(|task| task.task == id) {
            change(task);
        }
    }

    fn finish(&mut self, report: &Report, now: Duration) {
        for done in &report.tasks {
            let (low, high) = wilson(done.correct, done.n);
            let score = Score { accuracy: done.accuracy, low, high, seen: done.n, total: done.n };
            self.change(&done.task, |task| {
                task.see(score);
                task.loss = Some(done.loss);
                task.done = true;
                task.outcomes.clone_from(&done.outcomes);
            });
        }
        if let (Some(mixture), None) = (&report.mixture, &self.routing) {
            let (places, experts) = (mixture.places.clone(), mixture.columns.clone());
            let tasks = report.tasks.iter().map(|task| (task.task.clone(), task.routing.clone())).collect();
            self.routing = Some(Routing { places, experts, tasks });
        }
        self.device.clone_from(&report.device);
        self.state = RunState::Done;
        self.ended = Some(now);
        self.report = Some(report.clone());
    }
}

/// Unweighted mean of `scores` and the half-width of its 95 % interval (the tasks' samples are independent).
#[must_use]
pub fn average(scores: &[Score]) -> Option<(f64, f64)> {
    let n = scores.len() as f64;
    let sum: f64 = scores.iter().map(|score| score.accuracy).sum();
    let variance: f64 = scores.iter().map(|score| score.margin().powi(2)).sum();
    (n > 0.0).then(|| (sum / n, variance.sqrt() / n))
}
