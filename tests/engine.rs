//! The engine on the embedded zoo: events in order, latest wins, cancellation, cache, contained failures.

#[path = "engine/learned.rs"]
mod learned;
#[path = "engine/quality.rs"]
mod quality;

use fusebench::cancel::Cancel;
use fusebench::engine::{
    DeviceRequest, Engine, Event, Job, JobKind, Lessons, Report, RunId, default_job, write_checkpoint,
};
use fusebench::fusion::find;
use fusebench::params::Value;
use fusebench::tasks::Split;
use fusebench::weights::{Checkpoint, StateDict};
use fusebench::zoo::Zoo;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Long enough for a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_mins(2);

fn zoo() -> Arc<Zoo> {
    Arc::new(Zoo::embedded().unwrap())
}

fn start(zoo: &Arc<Zoo>) -> (Engine, Receiver<Event>) {
    let (sender, receiver) = channel();
    let sink = Box::new(move |event| drop(sender.send(event)));
    (Engine::start(Arc::clone(zoo), DeviceRequest::Cpu, sink).unwrap(), receiver)
}

fn job(zoo: &Zoo, scaling: f64, kind: JobKind, limit: Option<usize>) -> Job {
    let mut job = default_job(zoo, find("task_arithmetic").unwrap());
    job.recipe.params.set(find("task_arithmetic").unwrap().specs, "scaling", Value::Float(scaling)).unwrap();
    Job { kind, limit, split: Split::Validation, ..job }
}

/// All events up to and including the last one of `run`.
fn until_over(events: &Receiver<Event>, run: RunId) -> Vec<Event> {
    let mut seen = Vec::new();
    loop {
        let event = events.recv_timeout(PATIENCE).unwrap();
        let over = event.run() == Some(run) && event.is_final();
        seen.push(event);
        if over {
            return seen;
        }
    }
}

fn report(events: &[Event]) -> &Report {
    match events.last().unwrap() {
        Event::Finished { report, .. } => report,
        other => panic!("not finished: {other:?}"),
    }
}

#[test]
fn a_run_reports_every_task_fairly() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    let run = engine.next_id();
    engine.submit(run, job(&zoo, 0.3, JobKind::Run, Some(60)));
    let seen = until_over(&events, run);
    let report = report(&seen);
    assert_eq!(report.tasks.len(), zoo.tasks().len());
    assert!(!report.complete && !report.cached);
    for task in &report.tasks {
        assert_eq!(task.n, 60.min(zoo.task(&task.task).unwrap().len(Split::Validation)) as u64);
        assert_eq!(task.outcomes.iter().filter(|&&correct| correct).count() as u64, task.correct);
        assert!((task.accuracy - task.correct as f64 / task.n as f64).abs() < 1e-12 && task.loss > 0.0);
    }
    let mean = report.tasks.iter().map(|task| task.accuracy).sum::<f64>() / report.tasks.len() as f64;
    assert!((report.average - mean).abs() < 1e-12);
    // Every task is estimated once before any is estimated a third time, and intervals hold the estimate.
    let mut counts = std::collections::HashMap::new();
    for event in &seen {
        if let Event::Estimate { task, correct, seen, low, high, .. } = event {
            *counts.entry(task.clone()).or_insert(0) += 1;
            if counts[task] == 3 {
                assert_eq!(counts.len(), zoo.tasks().len());
            }
            let share = *correct as f64 / *seen as f64;
            assert!(*low <= share && share <= *high);
        }
    }
    assert_eq!(seen.iter().filter(|event| matches!(event, Event::TaskDone { .. })).count(), zoo.tasks().len());
}

#[test]
fn every_task_is_answered_by_its_own_model_and_by_the_base_where_it_has_none() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    let execute = |job: Job| {
        let run = engine.next_id();
        engine.submit(run, job);
        let seen = until_over(&events, run);
        (report(&seen).clone(), seen)
    };
    let emr = |experts: &[&str], limit| {
        let mut job = default_job(&zoo, find("emr").unwrap());
        if !experts.is_empty() {
            job.recipe.experts = experts.iter().map(|&name| name.to_owned()).collect();
        }
        Job { kind: JobKind::Preview, limit, split: Split::Validation, ..job }
    };
    let (all, seen) = execute(emr(&[], Some(100)));
    let models = all.per_task.as_ref().unwrap();
    assert!(models.without_expert.is_empty() && models.storage.own > 0 && models.storage.share() < 0.6, "{models:?}");
    assert!(
        seen.iter()
            .any(|event| matches!(event, Event::Log { text, .. } if text.contains("know the task at test time")))
    );
    let (one, _) = execute(job(&zoo, 0.3, JobKind::Preview, Some(100)));
    assert!(all.average > one.average + 0.05, "{} and {}", all.average, one.average);
    assert!(one.per_task.is_none());

    // One expert alone is itself; all other tasks see the base.
    let (alone, _) = execute(emr(&["mnist"], Some(100)));
    let (base, _) = execute(job(&zoo, 0.0, JobKind::Preview, Some(100)));
    let without = &alone.per_task.as_ref().unwrap().without_expert;
    assert_eq!(without.len(), zoo.tasks().len() - 1);
    for (task, base) in alone.tasks.iter().zip(&base.tasks) {
        assert_eq!(
            task.correct == base.correct && task.outcomes == base.outcomes,
            task.task != "mnist",
            "{}",
            task.task
        );
    }
    // Back at the first setting everything is known; with other samples the networks in hand are used again.
    let (again, _) = execute(emr(&[], Some(100)));
    assert!(again.cached && again.per_task == all.per_task && again.tasks == all.tasks);
    let (more, _) = execute(emr(&[], Some(101)));
    for (more, all) in more.tasks.iter().zip(&all.tasks) {
        assert!(more.correct.abs_diff(all.correct) <= 1, "{}", more.task);
    }
}

#[test]
fn models_of_tasks_are_written_into_a_folder_all_or_none() {
    let zoo = zoo();
    let folder = tempfile::tempdir().unwrap();
    let mut job = default_job(&zoo, find("emr").unwrap());
    job.recipe.experts.truncate(2);
    let write = |name: &str, cancel: &Cancel| {
        write_checkpoint(&zoo, &Lessons::default(), &job, &folder.path().join(name), cancel)
    };
    let entries = |path: &std::path::Path| {
        let mut names: Vec<String> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let error = write("models.safetensors", &Cancel::default()).unwrap_err();
    assert!(error.to_string().contains("one model per task") && error.hint().contains("folder"), "{error}");
    let stopped = Cancel::default();
    stopped.cancel();
    assert!(write("models", &stopped).unwrap_err().is_cancelled());
    assert!(entries(folder.path()).is_empty());

    write("models", &Cancel::default()).unwrap();
    let mut expected: Vec<String> = job.recipe.experts.iter().map(|name| format!("{name}.safetensors")).collect();
    expected.sort();
    assert_eq!(entries(&folder.path().join("models")), expected);
    let read =
        |name: &String| Checkpoint::open(&folder.path().join("models").join(format!("{name}.safetensors"))).unwrap();
    let [a, b] = [0, 1].map(|at| read(&job.recipe.experts[at]));
    assert_eq!(a.metadata()["fusebench.task"], job.recipe.experts[0]);
    assert_ne!(StateDict::load(&a), StateDict::load(&b));
    // What is there is not written over.
    assert!(write("models", &Cancel::default()).is_err());
    assert_eq!(entries(folder.path()), ["models"]);
}

#[test]
fn the_last_nudge_wins_and_known_positions_cost_nothing() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    let runs: Vec<RunId> = (0..5).map(|_| engine.next_id()).collect();
    for (step, &run) in runs.iter().enumerate() {
        engine.submit(run, job(&zoo, 0.1 * step as f64, JobKind::Preview, Some(40)));
    }
    let seen = until_over(&events, runs[4]);
    let first = report(&seen).clone();
    let cancelled = seen.iter().filter(|event| matches!(event, Event::Cancelled { .. })).count();
    let finished = seen.iter().filter(|event| matches!(event, Event::Finished { .. })).count();
    assert_eq!(cancelled + finished, 5);
    assert!(cancelled >= 3, "only {cancelled} outdated previews were cancelled");

    let again = engine.next_id();
    engine.submit(again, job(&zoo, 0.4, JobKind::Preview, Some(40)));
    let seen = until_over(&events, again);
    assert!(report(&seen).cached);
    assert_eq!(report(&seen).tasks, first.tasks);
}

#[test]
fn nudging_back_and_forth_ends_where_a_fresh_fusion_does() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    for scaling in [0.1, 0.9, 0.25, 1.3, 0.3] {
        let run = engine.next_id();
        engine.submit(run, job(&zoo, scaling, JobKind::Preview, Some(50)));
        until_over(&events, run);
    }
    let nudged = engine.next_id();
    engine.submit(nudged, job(&zoo, 0.35, JobKind::Preview, Some(50)));
    let nudged = report(&until_over(&events, nudged)).clone();
    let (fresh_engine, fresh_events) = start(&zoo);
    let fresh = fresh_engine.next_id();
    fresh_engine.submit(fresh, job(&zoo, 0.35, JobKind::Preview, Some(50)));
    let fresh = report(&until_over(&fresh_events, fresh)).clone();
    for (a, b) in nudged.tasks.iter().zip(&fresh.tasks) {
        assert!(a.correct.abs_diff(b.correct) <= 1 && (a.loss - b.loss).abs() < 1e-3, "{a:?} {b:?}");
    }
}

#[test]
fn a_nudge_does_not_wait_for_a_run_and_a_run_can_be_cancelled() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    let (run, waiting, preview) = (engine.next_id(), engine.next_id(), engine.next_id());
    engine.submit(run, Job { split: Split::Test, ..job(&zoo, 0.3, JobKind::Run, None) });
    engine.submit(waiting, job(&zoo, 0.6, JobKind::Run, None));
    engine.submit(preview, job(&zoo, 0.5, JobKind::Preview, Some(20)));
    let seen = until_over(&events, preview);
    assert!(!seen.iter().any(|event| event.run() == Some(run) && event.is_final()), "the nudge came last");
    engine.cancel(waiting);
    engine.cancel(run);
    let mut over = Vec::new();
    while over.len() < 2 {
        let event = events.recv_timeout(PATIENCE).unwrap();
        if event.is_final() {
            assert!(matches!(event, Event::Cancelled { .. }), "{event:?}");
            over.push(event.run().unwrap());
        }
    }
    over.sort();
    assert_eq!(over, [run, waiting]);
}

#[test]
fn impossible_jobs_fail_with_a_hint_and_the_engine_lives_on() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    let good = job(&zoo, 0.3, JobKind::Run, Some(4));
    let mut stranger = good.clone();
    stranger.recipe.experts[0] = "mnis".to_owned();
    let mut typo = good.clone();
    typo.tasks[0] = "fashoin".to_owned();
    let mut method = good.clone();
    method.recipe.method = "task_arithmetics".to_owned();
    let mut slerp = good.clone();
    slerp.recipe = default_job(&zoo, find("slerp").unwrap()).recipe;
    slerp.recipe.experts.truncate(1);
    let nothing = Job { limit: Some(0), ..good.clone() };
    for (job, expected) in [
        (stranger, "did you mean `mnist`?"),
        (typo, "did you mean `fashion`?"),
        (method, "did you mean `task_arithmetic`?"),
        (slerp, "exactly 2 experts"),
        (nothing, "`limit` must be at least 1"),
    ] {
        let run = engine.next_id();
        engine.submit(run, job);
        match until_over(&events, run).last().unwrap() {
            Event::Failed { error, hint, .. } => assert!(error.contains(expected) && !hint.is_empty(), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    let run = engine.next_id();
    engine.submit(run, good);
    report(&until_over(&events, run));
}

#[test]
fn a_panic_on_the_worker_fails_one_job_only() {
    let zoo = zoo();
    let (sender, events) = channel();
    let armed = AtomicBool::new(true);
    let sink = Box::new(move |event: Event| {
        let strikes = matches!(event, Event::Estimate { .. }) && armed.swap(false, Ordering::SeqCst);
        assert!(!strikes, "a worker panicked on purpose");
        let _ = sender.send(event);
    });
    let engine = Engine::start(Arc::clone(&zoo), DeviceRequest::Cpu, sink).unwrap();
    let (first, second) = (engine.next_id(), engine.next_id());
    engine.submit(first, job(&zoo, 0.3, JobKind::Run, Some(8)));
    engine.submit(second, job(&zoo, 0.3, JobKind::Run, Some(8)));
    match until_over(&events, first).last().unwrap() {
        Event::Failed { error, .. } => assert!(error.contains("on purpose"), "{error}"),
        other => panic!("{other:?}"),
    }
    report(&until_over(&events, second));
}

#[test]
fn dropping_the_engine_ends_its_work() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    engine.submit(engine.next_id(), Job { split: Split::Test, ..job(&zoo, 0.3, JobKind::Run, None) });
    drop(engine);
    // The sink, and with it the sender, goes with the engine's threads.
    while events.recv_timeout(PATIENCE).is_ok() {}
    assert!(events.try_recv().is_err());
}
