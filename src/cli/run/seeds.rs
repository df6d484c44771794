//! The same recipe with several seeds: what of a result is the method, and what is luck.

use super::Outcome;
use super::averages::{Reference, named};
use super::report::about;
use crate::cli::output::Columns;
use crate::zoo::Zoo;
use serde_json::{Map, Value as Json, json};
use std::fmt::Write;

/// How values lie.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    mean: f64,
    /// Standard deviation of a sample: divided by one less than there are.
    deviation: f64,
    low: f64,
    high: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let extreme = |pick: fn(f64, f64) -> f64, from: f64| values.iter().copied().fold(from, pick);
        Self {
            mean,
            deviation: (squares / (n - 1.0).max(1.0)).sqrt(),
            low: extreme(f64::min, f64::INFINITY),
            high: extreme(f64::max, f64::NEG_INFINITY),
        }
    }

    fn json(self) -> Json {
        json!({ "mean": self.mean, "deviation": self.deviation, "low": self.low, "high": self.high })
    }

    fn cells(self) -> [String; 4] {
        [self.mean, self.deviation, self.low, self.high].map(|share| format!("{:.1}", 100.0 * share))
    }
}

/// Each task's accuracies over the seeds, then the averages', of seen and unseen tasks first where there are both.
fn spreads(outcomes: &[Outcome]) -> Vec<(String, Spread)> {
    let Some(first) = outcomes.first() else { return Vec::new() };
    let of = |task: &str| -> Vec<f64> {
        let tasks = outcomes.iter().flat_map(|outcome| &outcome.report.tasks);
        tasks.filter(|report| report.task == task).map(|report| report.accuracy).collect()
    };
    let tasks = first.report.tasks.iter().map(|report| (report.task.clone(), Spread::of(&of(&report.task))));
    let averages = named(&first.report).into_iter().enumerate().map(|(at, (name, _))| {
        let values: Vec<f64> = outcomes.iter().filter_map(|outcome| Some(named(&outcome.report).get(at)?.1)).collect();
        (name.to_owned(), Spread::of(&values))
    });
    tasks.chain(averages).collect()
}

/// `seeds`, one entry each; `spread`, one a task and of the average.
pub fn json(zoo: &Zoo, outcomes: &[Outcome]) -> Json {
    let entry = |outcome: &Outcome| {
        let tasks = outcome.report.tasks.iter().map(|task| (task.task.clone(), Json::from(task.accuracy)));
        json!({
            "seed": outcome.value,
            "average": outcome.report.average,
            "generalization": outcome.report.generalization,
            "gap_recovered": Reference::gap_of(zoo, &outcome.report),
            "tasks": tasks.collect::<Map<_, _>>(),
        })
    };
    let Some(first) = outcomes.first() else { return Json::Null };
    json!({
        "seeds": outcomes.iter().map(entry).collect::<Vec<_>>(),
        "spread": spreads(outcomes).into_iter().map(|(name, spread)| (name, spread.json())).collect::<Map<_, _>>(),
        "fusebench": about(zoo, first, outcomes),
    })
}

/// One row a task, in per cent.
pub fn table(title: &str, outcomes: &[Outcome]) -> String {
    let mut columns = Columns::with_header(["task", "mean", "± sd", "lowest", "highest"]);
    for (name, spread) in spreads(outcomes) {
        let [mean, deviation, low, high] = spread.cells();
        columns.row([name, mean, deviation, low, high]);
    }
    let seeds: Vec<String> = outcomes.iter().filter_map(|outcome| outcome.value).map(|seed| seed.to_string()).collect();
    let mut text = String::new();
    let _ = write!(text, "{title}\nseeds {}\n\n{}\n", seeds.join(", "), columns.render());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_a_sample() {
        let spread = Spread::of(&[0.5, 0.6, 0.7]);
        assert!((spread.mean - 0.6).abs() < 1e-12 && (spread.deviation - 0.1).abs() < 1e-12, "{spread:?}");
        assert_eq!((spread.low, spread.high), (0.5, 0.7));
        assert_eq!(Spread::of(&[0.5]).deviation, 0.0);
    }
}
