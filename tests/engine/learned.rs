//! Methods that look at data, on the engine: what they are worth, and that nobody waits for them.

use super::{PATIENCE, report, start, until_over, zoo};
use fusebench::cancel::Cancel;
use fusebench::engine::{Event, Job, JobKind, Lessons, default_job, write_checkpoint};
use fusebench::fusion::find;
use fusebench::tasks::Split;
use fusebench::weights::{Checkpoint, StateDict};
use fusebench::zoo::Zoo;
use std::time::{Duration, Instant};

fn job(zoo: &Zoo, method: &str, given: &[(&str, &str)], limit: usize) -> Job {
    let method = find(method).unwrap();
    let mut job = default_job(zoo, method);
    for (name, value) in given {
        job.recipe.params.set_text(method.specs, name, value).unwrap();
    }
    Job { kind: JobKind::Run, limit: Some(limit), split: Split::Validation, ..job }
}

#[test]
fn regmean_is_better_than_the_average_and_looks_at_data_once() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    let mut averages = Vec::new();
    for (method, given) in [
        ("simple_average", &[][..]),
        ("regmean", &[("samples", "48"), ("alpha", "0.9")]),
        ("regmean", &[("samples", "48"), ("alpha", "0.7")]),
        ("regmean", &[("samples", "48"), ("alpha", "0.7"), ("seed", "3")]),
    ] {
        let run = engine.next_id();
        engine.submit(run, job(&zoo, method, given, 60));
        let seen = until_over(&events, run);
        averages.push(report(&seen).average);
        if method == "regmean" {
            let phase =
                |name: &str| seen.iter().any(|event| matches!(event, Event::Phase { name: n, .. } if n == name));
            assert!(phase("look at data") && phase("fuse") && phase("evaluate"));
        }
    }
    assert!(averages[1] > averages[0] + 0.03 && averages[2] > averages[0] + 0.02, "{averages:?}");
    assert!(averages[2] != averages[1] && averages[3] != averages[2], "α and the seed count: {averages:?}");
}

#[test]
fn directions_that_no_input_has_are_reported() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    let run = engine.next_id();
    engine.submit(run, job(&zoo, "regmean", &[("samples", "1"), ("alpha", "1")], 4));
    let seen = until_over(&events, run);
    let warned =
        |event: &Event| matches!(event, Event::Log { level, text, .. } if level == "warn" && text.contains("ridge"));
    assert!(seen.iter().any(warned), "{seen:?}");
    report(&seen);
}

/// A nudge is evaluated while a run looks at data, and the run can be stopped there.
#[test]
fn a_method_that_looks_at_data_keeps_nobody_waiting() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    let run = engine.next_id();
    engine.submit(run, job(&zoo, "regmean", &[("samples", "4096"), ("batch", "8")], 1000));
    while !matches!(events.recv_timeout(PATIENCE).unwrap(), Event::Phase { name, .. } if name == "look at data") {}
    let nudge = engine.next_id();
    engine.submit(nudge, Job { kind: JobKind::Preview, ..job(&zoo, "task_arithmetic", &[], 8) });
    let seen = until_over(&events, nudge);
    report(&seen);
    let fused = |event: &Event| matches!(event, Event::Phase { run: r, name, .. } if *r == run && name == "evaluate");
    assert!(!seen.iter().any(fused), "the nudge came after the run had looked at all data");
    let asked = Instant::now();
    engine.cancel(run);
    assert!(matches!(until_over(&events, run).last().unwrap(), Event::Cancelled { .. }));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[test]
fn layer_wise_adamerging_learns_streams_and_stops_early_when_told_to() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    let given = [("steps", "1000"), ("batch", "4"), ("rate", "0.02")];
    let run = engine.next_id();
    engine.submit(run, job(&zoo, "adamerging_layer_wise", &given, 60));
    let mut losses = Vec::new();
    loop {
        match events.recv_timeout(PATIENCE).unwrap() {
            Event::Adapted { step, loss, blocks, coefficients, exact, .. } => {
                losses.push(loss);
                assert_eq!((coefficients.len(), coefficients[0].len()), (zoo.pool().experts().len(), blocks.len()));
                assert!(!exact && step == losses.len() as u64);
                if losses.len() == 12 {
                    engine.enough(run);
                    break;
                }
            }
            event => assert!(!event.is_final(), "{event:?}"),
        }
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(mean(&losses[8..]) < mean(&losses[..4]) - 0.02, "the entropy falls: {losses:?}");
    let seen = until_over(&events, run);
    let stopped = report(&seen).clone();
    let settled = seen.iter().find_map(|event| match event {
        Event::Settled { params, .. } => params.get("steps").and_then(fusebench::params::Value::as_f64),
        _ => None,
    });
    let settled = settled.unwrap();
    assert!((12.0..40.0).contains(&settled), "{settled}");
    // With that many steps the same model comes out; its results are known by now.
    let again = engine.next_id();
    let steps = settled.to_string();
    engine
        .submit(again, job(&zoo, "adamerging_layer_wise", &[("steps", &steps), ("batch", "4"), ("rate", "0.02")], 60));
    let again = report(&until_over(&events, again)).clone();
    assert!(again.cached && again.tasks == stopped.tasks);
}

#[test]
fn adaptation_can_be_cancelled_in_every_phase() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    for (method, phase) in [
        ("fisher", "look at data"),
        ("adamerging_layer_wise", "adapt"),
        ("adamerging_task_wise", "evaluate"),
        ("regmean", "fuse"),
        ("regmean_plusplus", "look at data"),
        ("tatr", "look at data"),
        ("frank_wolfe_hard", "adapt"),
        ("frank_wolfe_soft", "adapt"),
        ("concrete_task_arithmetic", "adapt"),
        ("concrete_adamerging_layer_wise", "adapt"),
        ("gossip", "adapt"),
    ] {
        let run = engine.next_id();
        let steps: &[(&str, &str)] = if phase == "evaluate" { &[("steps", "1")] } else { &[] };
        engine.submit(run, job(&zoo, method, steps, 1000));
        while !matches!(events.recv_timeout(PATIENCE).unwrap(), Event::Phase { name, .. } if name == phase) {}
        let asked = Instant::now();
        engine.cancel(run);
        assert!(matches!(until_over(&events, run).last().unwrap(), Event::Cancelled { .. }), "{method} {phase}");
        assert!(asked.elapsed() < Duration::from_secs(5), "{method} {phase}: {:?}", asked.elapsed());
    }
}

/// Whatever the method, a step that is far too large is taken back.
#[test]
fn what_goes_wrong_ends_where_it_was_right() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    let average = |method: &str, given: &[(&str, &str)]| {
        let run = engine.next_id();
        engine.submit(run, job(&zoo, method, given, 40));
        let seen = until_over(&events, run);
        let warned = |event: &Event| matches!(event, Event::Log { level, text, .. } if level == "warn" && text.contains("Smaller steps help"));
        let settled = |event: &Event| matches!(event, Event::Settled { .. });
        if seen.iter().any(settled) {
            // What is said to have been kept comes out again.
            let (fresh, events) = start(&zoo);
            let mut job = job(&zoo, method, given, 40);
            job.recipe.params = self::settled(&seen).clone();
            let run = fresh.next_id();
            fresh.submit(run, job);
            let again = until_over(&events, run);
            assert!(report(&again).tasks == report(&seen).tasks && !again.iter().any(warned), "{method} {given:?}");
        }
        (report(&seen).average, seen.iter().any(warned), seen.iter().any(settled))
    };
    let (before, warned, _) = average("task_arithmetic", &[]);
    assert!(before > 0.6 && !warned);
    for (method, rate) in [
        ("adamerging_task_wise", "1000"),
        ("adamerging_layer_wise", "1000"),
        ("adamerging_layer_wise", "1e30"),
        ("frank_wolfe_soft", "1000"),
        ("frank_wolfe_soft", "1e30"),
        ("gossip", "1000"),
        ("concrete_adamerging_layer_wise", "1000"),
        ("wemoe", "1e10"),
        ("pwe_moe", "1000"),
    ] {
        let (ended, warned, settled) = average(method, &[("rate", rate)]);
        assert!(warned && settled, "{method} {rate}: {ended}, warned: {warned}, settled: {settled}");
        assert!(ended > before - 0.1, "{method} {rate}: {ended}, began at {before}");
    }
}

/// The steps of a method until it is told that they are enough, and its events until it is over.
fn stopped_after(
    steps: usize,
    job: Job,
    (engine, events): (&fusebench::engine::Engine, &std::sync::mpsc::Receiver<Event>),
) -> Vec<Event> {
    let run = engine.next_id();
    engine.submit(run, job);
    let mut seen = 0;
    while seen < steps {
        seen += usize::from(matches!(events.recv_timeout(PATIENCE).unwrap(), Event::Adapted { .. }));
    }
    engine.enough(run);
    until_over(events, run)
}

fn settled(events: &[Event]) -> &fusebench::params::ParamSet {
    let mut all = events.iter().rev();
    all.find_map(|event| if let Event::Settled { params, .. } = event { Some(params) } else { None }).unwrap()
}

/// Within a round as well: what there is by then is kept, and comes out again.
#[test]
fn rounds_can_be_stopped_at_any_step() {
    let zoo = zoo();
    for method in ["gossip", "frank_wolfe_soft"] {
        let (engine, events) = start(&zoo);
        let job = job(&zoo, method, &[("steps", "6"), ("batch", "8")], 40);
        let seen = stopped_after(2, job.clone(), (&engine, &events));
        let params = settled(&seen).clone();
        let stopped = report(&seen).clone();
        assert!(["rounds", "last"].iter().all(|name| params.get(name).unwrap().as_f64() > Some(0.0)), "{params:?}");
        let (fresh, events) = start(&zoo);
        let run = fresh.next_id();
        let mut again = job;
        again.recipe.params = params;
        fresh.submit(run, again);
        let again = report(&until_over(&events, run)).clone();
        assert_eq!(again.tasks, stopped.tasks, "{method}");
    }
}

#[test]
fn what_was_learned_is_evaluated_on_other_images_without_learning_it_again() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    let corruption = "contrast:4".parse().unwrap();
    for (method, given) in [("adamerging_layer_wise", &[("batch", "8")][..]), ("wemoe", &[("batch", "4")])] {
        let job = job(&zoo, method, given, 24);
        let seen = stopped_after(3, job.clone(), (&engine, &events));
        let (params, stopped) = (settled(&seen).clone(), report(&seen).clone());
        // Something else in between.
        let between = engine.next_id();
        engine.submit(between, self::job(&zoo, "regmean", &[("samples", "8")], 8));
        report(&until_over(&events, between));
        let mut other = Job { corruption: Some(corruption), ..job };
        other.recipe.params = params;
        let run = engine.next_id();
        engine.submit(run, other.clone());
        let seen = until_over(&events, run);
        let adapts = |event: &Event| matches!(event, Event::Phase { name, .. } if name == "adapt");
        assert!(!seen.iter().any(adapts), "{method}");
        assert!(seen.iter().any(|event| matches!(event, Event::Adapted { .. })), "{method}: its way is shown again");
        let known = report(&seen).clone();
        assert!(!known.cached && (known.fuse_seconds - stopped.fuse_seconds).abs() < 1e-9, "{method}: what it costs");
        let (fresh, anew) = start(&zoo);
        let run = fresh.next_id();
        fresh.submit(run, other.clone());
        assert_eq!(report(&until_over(&anew, run)).tasks, known.tasks, "{method}");
        // What is written is what was evaluated.
        if method == "adamerging_layer_wise" {
            let folder = tempfile::tempdir().unwrap();
            let written = |name: &str, lessons: &Lessons| {
                let path = folder.path().join(name).with_extension("safetensors");
                write_checkpoint(&zoo, lessons, &other, &path, &Cancel::default()).unwrap();
                StateDict::load(&Checkpoint::open(&path).unwrap())
            };
            assert!(written("known", &engine.lessons()) == written("anew", &Lessons::default()));
        }
    }
}
