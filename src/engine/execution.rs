//! One job on its way from a recipe to a report, advanced a small step at a time.

use super::cache::{Cache, Key};
use super::calibration::{Computer, Memo};
use super::device::OpenDevice;
use super::evaluate::Evaluation;
use super::fusing::Fusing;
use super::lanes::Lanes;
use super::learned::{Cost, Lesson, Lessons};
use super::memory::Peak;
use super::news::events;
use super::predictor::{Beside, Predictor};
use super::{EngineError, Event, Generalization, Job, PerTaskReport, Plan, Report, RunId, TaskReport};
use crate::cancel::Cancel;
use crate::fusion::{Context, Examples};
use crate::params::Value;
use crate::tasks::metrics::wilson;
use crate::zoo::Zoo;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often whom routers ask is told, at most.
const ROUTING: Duration = Duration::from_millis(100);

/// What a step needs of the worker.
pub(super) struct Bench<'a> {
    pub zoo: &'a Arc<Zoo>,
    pub device: &'a OpenDevice,
    pub lanes: &'a Lanes,
    pub cache: &'a mut Cache,
    pub computer: &'a mut Computer,
    pub memo: &'a Arc<Memo>,
    pub lessons: &'a Lessons,
    pub sink: &'a (dyn Fn(Event) + Send + Sync),
}

/// A job in progress.
pub(super) struct Execution {
    pub run: RunId,
    pub job: Job,
    pub cancel: Cancel,
    /// Set when the person is content with what has been learned so far.
    pub enough: Cancel,
    stage: Stage,
}

enum Stage {
    Waiting,
    /// The method looks at data, which takes many steps.
    Fusing(Box<(Prepared, Fusing)>),
    Evaluating(Box<Running>),
}

/// What is known before anything is fused.
struct Prepared {
    plan: Plan,
    keys: Vec<Key>,
    /// Reports from the cache, in plan order.
    known: Vec<Option<TaskReport>>,
    /// What there is to say of the result, where it is not one model.
    beside: Option<Beside>,
}

impl Prepared {
    /// The tasks that have to be evaluated, by place in the plan.
    fn wanted(&self) -> Vec<usize> {
        (0..self.known.len()).filter(|&at| self.known[at].is_none()).collect()
    }
}

struct Running {
    plan: Plan,
    keys: Vec<Key>,
    evaluation: Evaluation,
    /// Reports in plan order as they come in.
    reports: Vec<Option<TaskReport>>,
    beside: Option<Beside>,
    fused: Cost,
    evaluating: Duration,
    seen: u64,
    cached: bool,
    learned_before: bool,
    /// When routing was told last.
    routed: Option<Instant>,
}

/// Whether there is more to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Done,
}

impl Execution {
    pub fn new(run: RunId, job: Job, cancel: Cancel, enough: Cancel) -> Self {
        Self { run, job, cancel, enough, stage: Stage::Waiting }
    }

    /// Starts over, for instance on another device. Who had seen enough of what was learned has got it in the job's parameters.
    pub fn restart(&mut self) {
        self.enough.reset();
        self.stage = Stage::Waiting;
    }

    /// Whether the job has been fused and is being evaluated.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.stage {
            Stage::Waiting | Stage::Fusing(_) => None,
            Stage::Evaluating(running) => Some(&running.plan),
        }
    }

    /// Does the next piece of work: fusing, or one round of batches.
    ///
    /// # Errors
    /// Whatever went wrong, or that the job was cancelled.
    pub fn step(&mut self, predictor: &mut Predictor, bench: &mut Bench<'_>) -> Result<Step, EngineError> {
        self.cancel.check()?;
        match std::mem::replace(&mut self.stage, Stage::Waiting) {
            Stage::Waiting => self.begin(predictor, bench),
            Stage::Fusing(mut fusing) => match fusing.1.step(self.run, bench)? {
                None => {
                    self.stage = Stage::Fusing(fusing);
                    Ok(Step::More)
                }
                Some(fused) => {
                    let (mut prepared, fusing) = *fusing;
                    let lesson = Arc::new(fusing.lesson(fused));
                    let asked = prepared.plan.recipe();
                    self.settle(&mut prepared, &lesson.settled, bench);
                    // Who had seen enough has another result than was asked for.
                    let asked = Some(asked).filter(|_| !self.enough.is_cancelled());
                    bench.lessons.keep(asked, &prepared.plan, Arc::clone(&lesson));
                    self.apply(prepared, &lesson, lesson.cost, predictor, bench)
                }
            },
            Stage::Evaluating(mut running) => {
                let step = running.step(self.run, predictor, bench);
                self.stage = Stage::Evaluating(running);
                step
            }
        }
    }

    /// Fuses, unless all is known or the method needs many steps for that.
    fn begin(&mut self, predictor: &mut Predictor, bench: &mut Bench<'_>) -> Result<Step, EngineError> {
        let (run, sink) = (self.run, bench.sink);
        sink(Event::Started { run, kind: self.job.kind, device: bench.device.name.clone() });
        let plan = Plan::new(bench.zoo, &self.job)?;
        let keys = Key::all(&plan, &bench.device.name);
        let known: Vec<Option<TaskReport>> = keys.iter().map(|key| bench.cache.get(key).cloned()).collect();
        let beside = keys.iter().find_map(|key| bench.cache.beside(key));
        let mut prepared = Prepared { plan, keys, known, beside };
        let lesson = bench.lessons.recall(&prepared.plan);
        if let Some(lesson) = &lesson {
            lesson.said.again(run).for_each(sink);
            self.settle(&mut prepared, &lesson.settled, bench);
        }
        if prepared.known.iter().all(Option::is_some) {
            return self.evaluate(prepared, Cost::default(), bench);
        }
        if let Some(lesson) = lesson {
            let text = format!("learned before, in {:.1} s, and used again", lesson.cost.seconds);
            sink(Event::Log { run, level: "info".into(), text });
            return self.apply(prepared, &lesson, Cost { before: true, ..lesson.cost }, predictor, bench);
        }
        let plan = &prepared.plan;
        let tensors = plan.pool.reference().map(|checkpoint| checkpoint.tensors().len() as u64);
        sink(Event::Phase { run, name: "fuse".into(), total: tensors, unit: "tensors".into() });
        if plan.method.needs.data != Examples::None {
            bench.lessons.make_room();
            let fusing = Fusing::start(plan, &self.cancel, &self.enough, bench)?;
            self.stage = Stage::Fusing(Box::new((prepared, fusing)));
            return Ok(Step::More);
        }
        let (started, peak) = (Instant::now(), Peak::begin());
        let mut progress = |done, _| sink(Event::Progress { run, done: done as u64 });
        let mut listener = |news| events(run, news).into_iter().for_each(sink);
        let mut context = Context::new(&self.cancel, &mut progress).with_listener(&mut listener);
        prepared.beside = predictor.prepare(bench.zoo, plan, &prepared.wanted(), bench.device, &mut context)?;
        let seconds = started.elapsed().as_secs_f64();
        self.evaluate(prepared, Cost { seconds, memory: peak.as_ref().and_then(Peak::bytes), before: false }, bench)
    }

    /// Makes what was learned ready to answer, and begins to evaluate it.
    fn apply(
        &mut self,
        mut prepared: Prepared,
        lesson: &Lesson,
        cost: Cost,
        predictor: &mut Predictor,
        bench: &mut Bench<'_>,
    ) -> Result<Step, EngineError> {
        let (plan, wanted, mut silent) = (&prepared.plan, prepared.wanted(), |_, _| ());
        let mut context = Context::new(&self.cancel, &mut silent);
        prepared.beside = predictor.hold(bench.zoo, plan, &wanted, bench.device, &lesson.fused, &mut context)?;
        self.evaluate(prepared, cost, bench)
    }

    /// Makes the job the one that gives this result.
    fn settle(&mut self, prepared: &mut Prepared, settled: &[(&'static str, Value)], bench: &Bench<'_>) {
        let specs = prepared.plan.method.specs;
        for (param, value) in settled {
            // A value that the parameter cannot have stays unsaid.
            if prepared.plan.params.set(specs, param, value.clone()).is_ok() {
                self.job.recipe.params = prepared.plan.params.clone();
                prepared.keys = Key::all(&prepared.plan, &bench.device.name);
                prepared.known = prepared.keys.iter().map(|key| bench.cache.get(key).cloned()).collect();
                prepared.beside = prepared.keys.iter().find_map(|key| bench.cache.beside(key));
                let params = prepared.plan.params.clone();
                (bench.sink)(Event::Settled { run: self.run, params });
            }
        }
    }

    fn evaluate(&mut self, prepared: Prepared, fused: Cost, bench: &mut Bench<'_>) -> Result<Step, EngineError> {
        let mut running = Running::new(self.run, prepared, fused, bench)?;
        let step = running.finish_if_complete(self.run, bench);
        self.stage = Stage::Evaluating(Box::new(running));
        Ok(step)
    }
}

impl Running {
    fn new(run: RunId, prepared: Prepared, fused: Cost, bench: &mut Bench<'_>) -> Result<Self, EngineError> {
        let wanted = prepared.wanted();
        let Prepared { plan, keys, known, beside } = prepared;
        let text = match &beside {
            Some(Beside::PerTask(storage)) => {
                Some(PerTaskReport { storage: *storage, without_expert: plan.without_expert() }.summary())
            }
            Some(Beside::Mixture(mixture)) => Some(mixture.summary()),
            None => None,
        };
        if let Some(text) = text {
            (bench.sink)(Event::Log { run, level: "info".into(), text });
        }
        let total = Some(plan.samples() as u64);
        (bench.sink)(Event::Phase { run, name: "evaluate".into(), total, unit: "images".into() });
        let mut running = Self {
            evaluation: Evaluation::new(bench.zoo, &plan, &wanted, bench.device)?,
            cached: wanted.is_empty(),
            learned_before: fused.before,
            plan,
            keys,
            reports: vec![None; known.len()],
            beside,
            fused,
            evaluating: Duration::ZERO,
            seen: 0,
            routed: None,
        };
        for (at, report) in known.into_iter().enumerate() {
            if let Some(report) = report {
                running.seen += report.n;
                announce(bench, run, &report.task, report.correct, report.n, report.n);
                let task = report.task.clone();
                running.complete(run, at, report, bench);
                running.tell_routing(run, &task, bench);
            }
        }
        Ok(running)
    }

    fn step(&mut self, run: RunId, predictor: &Predictor, bench: &mut Bench<'_>) -> Result<Step, EngineError> {
        let started = Instant::now();
        let standings = self.evaluation.step(predictor, bench.device, bench.lanes)?;
        self.evaluating += started.elapsed();
        for standing in &standings {
            announce(bench, run, &standing.task, standing.correct, standing.seen, standing.total);
            // Each takes as much room as all other events of a step together.
            if standing.seen == standing.total || self.routed.is_none_or(|last| last.elapsed() >= ROUTING) {
                self.tell_routing(run, &standing.task, bench);
            }
        }
        let done: Vec<TaskReport> = self.evaluation.finished().collect();
        for report in done {
            let place = self.plan.tasks.iter().position(|(id, _)| *id == report.task);
            if let Some(at) = place.filter(|&at| self.reports[at].is_none()) {
                self.complete(run, at, report, bench);
            }
        }
        let before: u64 = self.reports.iter().flatten().map(|report| report.n).sum();
        self.seen = before + self.evaluation.seen_in_progress();
        (bench.sink)(Event::Progress { run, done: self.seen });
        Ok(self.finish_if_complete(run, bench))
    }

    /// Says whom a task's images went to so far.
    fn tell_routing(&mut self, run: RunId, task: &str, bench: &Bench<'_>) {
        let Some(Beside::Mixture(mixture)) = &self.beside else { return };
        let known = self.reports.iter().flatten().find(|report| report.task == task);
        let weights = known.map_or_else(|| self.evaluation.routing(task), |report| report.routing.clone());
        if weights.is_empty() {
            return;
        }
        let (places, experts) = (mixture.places.clone(), mixture.columns.clone());
        (bench.sink)(Event::Routing { run, task: task.to_owned(), places, experts, weights });
        self.routed = Some(Instant::now());
    }

    fn complete(&mut self, run: RunId, at: usize, report: TaskReport, bench: &mut Bench<'_>) {
        let TaskReport { task, accuracy, loss, n, .. } = report.clone();
        (bench.sink)(Event::TaskDone { run, task, accuracy, loss, n });
        bench.cache.insert(self.keys[at].clone(), report.clone(), self.beside.clone());
        self.reports[at] = Some(report);
    }

    fn finish_if_complete(&mut self, run: RunId, bench: &mut Bench<'_>) -> Step {
        let Some(tasks) = self.reports.iter().cloned().collect::<Option<Vec<_>>>() else { return Step::More };
        let average = tasks.iter().map(|task| task.accuracy).sum::<f64>() / tasks.len().max(1) as f64;
        let accuracies = tasks.iter().map(|task| (task.task.as_str(), task.accuracy));
        let report = Report {
            generalization: Generalization::of(accuracies, |task| self.plan.expert_of(task).is_some()),
            tasks,
            average,
            split: self.plan.data.split,
            corruption: self.plan.data.corruption,
            complete: self.plan.complete,
            fuse_seconds: self.fused.seconds,
            fuse_memory: self.fused.memory,
            evaluate_seconds: self.evaluating.as_secs_f64(),
            device: bench.device.name.clone(),
            cached: self.cached,
            learned_before: self.learned_before,
            per_task: match &self.beside {
                Some(Beside::PerTask(storage)) => {
                    Some(PerTaskReport { storage: *storage, without_expert: self.plan.without_expert() })
                }
                _ => None,
            },
            mixture: match &self.beside {
                Some(Beside::Mixture(mixture)) => Some(Box::new((**mixture).clone())),
                _ => None,
            },
        };
        (bench.sink)(Event::Finished { run, report });
        Step::Done
    }
}

fn announce(bench: &Bench<'_>, run: RunId, task: &str, correct: u64, seen: u64, total: u64) {
    let (low, high) = wilson(correct, seen);
    (bench.sink)(Event::Estimate { run, task: task.to_owned(), correct, seen, total, low, high });
}
