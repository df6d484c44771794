//! The bar that good fusion has to clear on the zoo, on whole test splits.

use super::{start, zoo};
use fusebench::engine::{Event, Job, JobKind, RunId, default_job};
use fusebench::fusion::find;
use fusebench::tasks::Split;
use fusebench::zoo::Zoo;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// A method that adapts over whole splits is long at it.
const MINUTES: Duration = Duration::from_mins(10);

fn job(zoo: &Zoo, method: &str, given: &[(&str, &str)]) -> Job {
    let method = find(method).unwrap();
    let mut job = default_job(zoo, method);
    for (name, value) in given {
        job.recipe.params.set_text(method.specs, name, value).unwrap();
    }
    Job { kind: JobKind::Run, split: Split::Test, ..job }
}

fn wait(events: &Receiver<Event>, run: RunId) -> f64 {
    loop {
        let event = events.recv_timeout(MINUTES).unwrap();
        match event {
            Event::Finished { run: done, report } if done == run => return report.average,
            other if other.run() == Some(run) && other.is_final() => panic!("{other:?}"),
            _ => {}
        }
    }
}

/// Each method at its defaults, which were not chosen on the test split; task arithmetic even at the λ that is best there.
/// `cargo test --release --test engine quality -- --ignored --nocapture`.
#[test]
#[ignore = "adapts and evaluates for minutes"]
fn what_learns_is_better_than_what_does_not_and_mixtures_are_best() {
    let zoo = zoo();
    let (engine, events) = start(&zoo);
    let accuracy = |method: &str, given: &[(&str, &str)]| {
        let run = engine.next_id();
        engine.submit(run, job(&zoo, method, given));
        let average = wait(&events, run);
        println!("{method} {given:?}: {:.1}", 100.0 * average);
        average
    };
    let scores = |of: &dyn Fn(&str) -> Option<f64>| {
        let all: Vec<f64> = zoo.tasks().iter().filter_map(|task| of(&task.id)).collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    let base = scores(&|task| zoo.scores().base(task, Split::Test));
    let experts = scores(&|task| zoo.scores().expert(task, Split::Test));
    let recovered = |accuracy: f64| (accuracy - base) / (experts - base);
    let arithmetic = (2..=8)
        .map(|tenths| accuracy("task_arithmetic", &[("scaling", &format!("{}", f64::from(tenths) / 20.0))]))
        .fold(0.0f64, f64::max);
    let regmean = accuracy("regmean", &[]);
    let task_wise = accuracy("adamerging_task_wise", &[]);
    let layer_wise = accuracy("adamerging_layer_wise", &[]);
    assert!(regmean > arithmetic, "RegMean {regmean}, task arithmetic at its best {arithmetic}");
    assert!(layer_wise > task_wise, "layer-wise {layer_wise}, task-wise {task_wise}");
    assert!(layer_wise > arithmetic, "layer-wise {layer_wise}, task arithmetic at its best {arithmetic}");
    for mixture in MIXTURES {
        let share = recovered(accuracy(mixture, &[]));
        assert!(share >= 0.9, "{mixture} recovers {share:.3} of the gap");
    }
}

/// Mixtures that recover nine tenths of what lies between base and experts.
const MIXTURES: &[&str] = &[];
