//! The bar that good fusion has to clear on the zoo, on whole test splits.

use super::{start, zoo};
use fusebench::engine::{Engine, Event, Job, JobKind, RunId, default_job};
use fusebench::fusion::find;
use fusebench::tasks::Split;
use fusebench::zoo::Zoo;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// A method that adapts over whole splits is long at it.
const MINUTES: Duration = Duration::from_mins(10);

/// What a method gets on the whole test split.
struct Bar {
    zoo: Arc<Zoo>,
    engine: Engine,
    events: Receiver<Event>,
}

impl Bar {
    fn new() -> Self {
        let zoo = zoo();
        let (engine, events) = start(&zoo);
        Self { zoo, engine, events }
    }

    /// The mean accuracy over tasks.
    fn accuracy(&self, id: &str, given: &[(&str, &str)]) -> f64 {
        let method = find(id).unwrap();
        let mut job = Job { kind: JobKind::Run, split: Split::Test, ..default_job(&self.zoo, method) };
        for (name, value) in given {
            job.recipe.params.set_text(method.specs, name, value).unwrap();
        }
        let run = self.engine.next_id();
        self.engine.submit(run, job);
        let average = self.wait(run);
        println!("{id} {given:?}: {:.1}, {:.0} % of the gap", 100.0 * average, 100.0 * self.recovered(average));
        average
    }

    /// The share of the way from base to experts.
    fn share(&self, id: &str, given: &[(&str, &str)]) -> f64 {
        self.recovered(self.accuracy(id, given))
    }

    fn recovered(&self, average: f64) -> f64 {
        let seed = &self.zoo.scores().seeds[0];
        (average - seed.base.test) / (seed.experts.test - seed.base.test)
    }

    fn wait(&self, run: RunId) -> f64 {
        loop {
            let event = self.events.recv_timeout(MINUTES).unwrap();
            match event {
                Event::Finished { run: done, report } if done == run => return report.average,
                other if other.run() == Some(run) && other.is_final() => panic!("{other:?}"),
                _ => {}
            }
        }
    }
}

/// Each method at its defaults, which were not chosen on the test split; task arithmetic even at the λ that is best there.
/// `cargo test --release --test engine quality -- --ignored --nocapture`.
#[test]
#[ignore = "adapts and evaluates for minutes"]
fn what_looks_at_data_is_better_than_what_does_not() {
    let bar = Bar::new();
    let arithmetic = (2..=8)
        .map(|tenths| bar.accuracy("task_arithmetic", &[("scaling", &format!("{}", f64::from(tenths) / 20.0))]))
        .fold(0.0f64, f64::max);
    let regmean = bar.accuracy("regmean", &[]);
    let task_wise = bar.accuracy("adamerging_task_wise", &[]);
    let layer_wise = bar.accuracy("adamerging_layer_wise", &[]);
    assert!(regmean > arithmetic, "RegMean {regmean}, task arithmetic at its best {arithmetic}");
    assert!(layer_wise > task_wise, "layer-wise {layer_wise}, task-wise {task_wise}");
    assert!(layer_wise > arithmetic, "layer-wise {layer_wise}, task arithmetic at its best {arithmetic}");
}

/// What keeps experts apart does better than what makes one model of them, and closes nearly all of the gap.
#[test]
#[ignore = "adapts and evaluates for minutes"]
fn keeping_experts_apart_is_better_than_one_model() {
    let bar = Bar::new();
    let merged = [bar.share("ties", &[]), bar.share("regmean", &[]), bar.share("adamerging_layer_wise", &[])];
    let merged = merged.into_iter().fold(f64::MIN, f64::max);
    let (smile, wemoe) = (bar.share("smile", &[]), bar.share("wemoe", &[]));
    assert!(smile > merged && smile >= 0.9, "SMILE {smile}, the best merge {merged}");
    assert!(wemoe > merged && wemoe >= 0.9, "WEMoE {wemoe}, the best merge {merged}");
    let corrected = bar.share("surgery", &[("inner", "task_arithmetic")]);
    assert!(corrected > 0.8, "surgery of task arithmetic {corrected}");
    for method in ["emr", "tall_mask", "bitdelta", "magnitude_diff_pruning"] {
        let told = bar.share(method, &[]);
        assert!(told > merged && told >= 0.9, "{method} knows the task: {told}, the best merge does not: {merged}");
    }
}
