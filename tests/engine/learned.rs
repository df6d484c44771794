//! Methods that look at data, on the engine: what they are worth, and that nobody waits for them.

use super::{PATIENCE, report, start, until_over, zoo};
use fusebench::engine::{Event, Job, JobKind, default_job};
use fusebench::fusion::find;
use fusebench::tasks::Split;
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
