//! The reducer, fed with the events that the engine sends.

use super::*;
use crate::engine::{Recipe, Report, TaskReport};
use crate::params::ParamSet;
use crate::tasks::Split;

fn job(kind: JobKind) -> Job {
    let recipe =
        Recipe { method: "task_arithmetic".into(), params: ParamSet::default(), experts: vec!["mnist".into()] };
    Job { kind, recipe, tasks: vec!["mnist".into(), "emoji".into()], split: Split::Test, limit: None, corruption: None }
}

fn runs(kind: JobKind) -> (Runs, RunId) {
    let mut runs = Runs::default();
    runs.add(RunView::new(RunId(1), job(kind), "task_arithmetic λ=0.3".into(), false, Duration::ZERO));
    (runs, RunId(1))
}

fn estimate(run: RunId, task: &str, correct: u64, seen: u64) -> Event {
    let (low, high) = crate::tasks::metrics::wilson(correct, seen);
    Event::Estimate { run, task: task.into(), correct, seen, total: 100, low, high }
}

fn report() -> Report {
    let task = |task: &str, correct| TaskReport {
        task: task.into(),
        accuracy: correct as f64 / 100.0,
        loss: 0.7,
        n: 100,
        correct,
        routing: Vec::new(),
        outcomes: (0..100).map(|i| i < correct).collect(),
    };
    Report {
        tasks: vec![task("mnist", 80), task("emoji", 40)],
        average: 0.6,
        generalization: None,
        split: Split::Test,
        corruption: None,
        complete: true,
        fuse_seconds: 0.5,
        evaluate_seconds: 2.0,
        fuse_memory: None,
        device: "CPU".into(),
        cached: false,
        learned_before: false,
        per_task: None,
        mixture: None,
    }
}

#[test]
fn a_run_goes_from_queued_to_done() {
    let (mut runs, run) = runs(JobKind::Run);
    let at = |ms| Duration::from_millis(ms);
    runs.apply(&Event::Queued { run, kind: JobKind::Run, position: 2 }, at(0));
    assert_eq!(runs.get(run).unwrap().state, RunState::Queued { position: 2 });
    runs.apply(&Event::Started { run, kind: JobKind::Run, device: "CPU".into() }, at(1000));
    runs.apply(&Event::Phase { run, name: "evaluate".into(), total: Some(200), unit: "images".into() }, at(1100));
    for i in 1..=10u64 {
        runs.apply(&estimate(run, "mnist", 8 * i, 10 * i), at(1100 + 100 * i));
        runs.apply(&estimate(run, "emoji", 4 * i, 10 * i), at(1150 + 100 * i));
        runs.apply(&Event::Progress { run, done: 20 * i }, at(1150 + 100 * i));
    }
    let view = runs.get(run).unwrap();
    assert_eq!(view.seen(), (200, 200));
    assert_eq!(view.phases[0].share(), Some(1.0));
    assert!((view.images.speed().unwrap() - 200.0).abs() < 1.0, "{:?}", view.images.speed());
    let (average, margin) = view.average().unwrap();
    assert!((average - 0.6).abs() < 1e-12);
    let single = view.tasks[0].score.unwrap().margin();
    assert!(margin > 0.0 && margin < single, "the average of two tasks is known better than one");
    assert_eq!(view.tasks[0].curve.len(), 10);
    assert!(runs.is_active());

    runs.apply(&Event::Finished { run, report: report() }, at(3000));
    let view = runs.get(run).unwrap();
    assert_eq!(view.state, RunState::Done);
    assert_eq!(view.elapsed(at(9000)), Some(at(2000)));
    assert_eq!(view.images_per_second(), Some(100.0));
    assert_eq!(view.tasks[1].outcomes.iter().filter(|right| **right).count(), 40);
    assert_eq!(view.tasks[1].loss, Some(0.7));
    assert!(!runs.is_active());
    runs.apply(&estimate(run, "mnist", 0, 1), at(4000));
    assert_eq!(runs.get(run).unwrap().tasks[0].score.unwrap().accuracy, 0.8, "nothing changes after the end");
}

#[test]
fn cancelling_is_shown_until_it_has_happened() {
    let (mut runs, run) = runs(JobKind::Run);
    assert_eq!(runs.to_cancel(), Some(run));
    runs.cancelling(run);
    assert_eq!(runs.to_cancel(), None, "it has been asked to stop");
    runs.apply(&Event::Started { run, kind: JobKind::Run, device: "CPU".into() }, Duration::ZERO);
    assert_eq!(runs.get(run).unwrap().state, RunState::Cancelling);
    assert!(runs.is_active());
    runs.apply(&Event::Cancelled { run }, Duration::ZERO);
    assert_eq!(runs.get(run).unwrap().state, RunState::Cancelled);
    runs.cancelling(run);
    assert_eq!(runs.get(run).unwrap().state, RunState::Cancelled);
}

#[test]
fn a_failure_keeps_its_words() {
    let (mut runs, run) = runs(JobKind::Preview);
    let failed = Event::Failed { run, error: "out of memory".into(), hint: "use the CPU".into(), input: false };
    runs.apply(&failed, Duration::ZERO);
    let RunState::Failed { error, hint } = &runs.get(run).unwrap().state else { panic!("not failed") };
    assert_eq!((error.as_str(), hint.as_str()), ("out of memory", "use the CPU"));
}

#[test]
fn old_previews_are_forgotten_and_what_goes_on_is_not() {
    let mut runs = Runs::default();
    for id in 0..200 {
        runs.add(RunView::new(RunId(id), job(JobKind::Preview), String::new(), false, Duration::ZERO));
        if id != 7 {
            runs.apply(&Event::Cancelled { run: RunId(id) }, Duration::ZERO);
        }
    }
    assert!(runs.get(RunId(7)).is_some());
    assert!(runs.get(RunId(8)).is_none());
    assert!(runs.get(RunId(199)).is_some());
    assert!(runs.list.len() <= PREVIEWS_KEPT + 1);
}

#[test]
fn unknown_tasks_and_runs_do_no_harm() {
    let (mut runs, run) = runs(JobKind::Run);
    runs.apply(&estimate(run, "unheard of", 1, 2), Duration::ZERO);
    runs.apply(&estimate(RunId(99), "mnist", 1, 2), Duration::ZERO);
    runs.apply(
        &Event::Estimate { run, task: "mnist".into(), correct: 0, seen: 0, total: 9, low: 0.0, high: 1.0 },
        Duration::ZERO,
    );
    runs.apply(&Event::Progress { run, done: 3 }, Duration::ZERO);
    assert_eq!(runs.get(run).unwrap().seen(), (0, 0));
    assert_eq!(runs.get(run).unwrap().average(), None);
}
