//! A scripted engine for the tests of screens: answers submitted jobs with the events that the engine sends, with
//! accuracies that depend on the recipe in a known way.

use crate::engine::{Event, Generalization, Job, Report, RunId, TaskReport};
use crate::tasks::metrics::wilson;
use crate::tui::catalog::{Catalog, fixture};
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::screens;
use std::sync::Arc;
use std::time::Duration;

/// A session on the fixture's zoo with the methods of the registry.
#[must_use]
pub fn model(width: u16, height: u16) -> Model {
    with(fixture::with_methods(crate::fusion::METHODS), width, height)
}

#[must_use]
pub fn with(catalog: Catalog, width: u16, height: u16) -> Model {
    Model::new(Arc::new(catalog), (width, height))
}

/// One event, as the session's update takes it in.
pub fn hear(model: &mut Model, event: &Event, fx: &mut Vec<Effect>) {
    model.runs.apply(event, model.now);
    screens::heard(model, event, fx);
}

/// The jobs among the effects, in order.
pub fn submitted(fx: &mut Vec<Effect>) -> Vec<(RunId, Job)> {
    fx.drain(..)
        .filter_map(|effect| if let Effect::Submit(run, job) = effect { Some((run, job)) } else { None })
        .collect()
}

/// Share of right answers of a recipe: every task has its own best coefficient, from 0.2 for the first task to 0.55
/// for the last but for `fashion` (0.15) and `emoji` (0.6).
pub fn accuracy(model: &Model, job: &Job, task: &str) -> f64 {
    let lambda = job.recipe.params.get("scaling").and_then(crate::params::Value::as_f64).unwrap_or(0.125);
    let at = model.catalog.tasks.iter().position(|other| other.id == task).unwrap();
    let best = match task {
        "fashion" => 0.15,
        "emoji" => 0.6,
        _ => 0.2 + 0.05 * at as f64,
    };
    let recorded = model.catalog.recorded(task, job.split);
    let (base, expert) = (recorded.base.unwrap(), recorded.expert.unwrap());
    let way = 1.0 - (lambda - best).powi(2) * 6.0;
    (base + (expert - base) * 0.8 * way).clamp(0.02, 0.99)
}

/// Everything that the engine says of a job until `share` of the samples is seen, at 10 batches a second.
pub fn play(model: &mut Model, run: RunId, job: &Job, share: f64, fx: &mut Vec<Effect>) {
    let device = "CPU (2 threads)".to_owned();
    hear(model, &Event::Queued { run, kind: job.kind, position: 0 }, fx);
    hear(model, &Event::Started { run, kind: job.kind, device }, fx);
    hear(model, &Event::Phase { run, name: "fuse".into(), total: Some(10), unit: "tensors".into() }, fx);
    model.now += Duration::from_millis(12);
    let n =
        |task: &String| model.catalog.task(task).unwrap().len(job.split).min(job.limit.unwrap_or(usize::MAX)) as u64;
    let totals: Vec<(String, u64)> = job.tasks.iter().map(|task| (task.clone(), n(task))).collect();
    let total = totals.iter().map(|pair| pair.1).sum();
    hear(model, &Event::Phase { run, name: "evaluate".into(), total: Some(total), unit: "images".into() }, fx);
    let steps = (share * 10.0).round() as u64;
    for step in 1..=steps {
        model.now += Duration::from_millis(100);
        for event in estimates(model, run, job, &totals, step) {
            hear(model, &event, fx);
        }
    }
}

/// The estimates of one round over all tasks, a tenth of the samples further than the round before.
#[must_use]
pub fn estimates(model: &Model, run: RunId, job: &Job, totals: &[(String, u64)], step: u64) -> Vec<Event> {
    let mut done = 0;
    let mut events = Vec::new();
    for (task, total) in totals {
        let seen = total * step / 10;
        let correct = (accuracy(model, job, task) * seen as f64).round() as u64;
        let (low, high) = wilson(correct, seen);
        done += seen;
        events.push(Event::Estimate { run, task: task.clone(), correct, seen, total: *total, low, high });
    }
    events.push(Event::Progress { run, done });
    events
}

/// The whole run, to its report.
pub fn finish(model: &mut Model, run: RunId, job: &Job, fx: &mut Vec<Effect>) {
    play(model, run, job, 1.0, fx);
    let event = Event::Finished { run, report: report(model, job) };
    hear(model, &event, fx);
}

#[must_use]
pub fn report(model: &Model, job: &Job) -> Report {
    let task = |task: &String| {
        let n = model.catalog.task(task).unwrap().len(job.split).min(job.limit.unwrap_or(usize::MAX)) as u64;
        let correct = (accuracy(model, job, task) * n as f64).round() as u64;
        let outcomes = (0..n).map(|at| at < correct).collect();
        TaskReport {
            task: task.clone(),
            accuracy: correct as f64 / n as f64,
            loss: 0.71,
            n,
            correct,
            routing: Vec::new(),
            outcomes,
        }
    };
    let tasks: Vec<TaskReport> = job.tasks.iter().map(task).collect();
    let accuracies = tasks.iter().map(|task| (task.task.as_str(), task.accuracy));
    Report {
        generalization: Generalization::of(accuracies, |task| job.recipe.has_seen(task)),
        average: tasks.iter().map(|task| task.accuracy).sum::<f64>() / tasks.len() as f64,
        tasks,
        split: job.split,
        corruption: job.corruption,
        complete: job.limit.is_none(),
        fuse_seconds: 0.012,
        evaluate_seconds: 1.0,
        fuse_memory: None,
        device: "CPU (2 threads)".into(),
        cached: false,
        learned_before: false,
        per_task: None,
        mixture: None,
    }
}

/// Runs the command `id`, which must be enabled.
pub fn command(model: &mut Model, id: &str, fx: &mut Vec<Effect>) {
    let command = crate::tui::command::find(id).unwrap();
    (command.enabled)(model).unwrap_or_else(|reason| panic!("{id}: {reason}"));
    (command.run)(model, fx);
}
