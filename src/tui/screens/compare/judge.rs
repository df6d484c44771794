//! How two runs differ on a task, and whether that can be chance.

use crate::engine::{Generalization, Preset};
use crate::fusion::{Method, find};
use crate::store::{NewRun, TaskScore};
use crate::tasks::Split;
use crate::tasks::metrics::{holm, mcnemar};
use crate::tui::catalog::Catalog;

/// Chance of a difference this large below which it is marked.
pub const SIGNIFICANT: f64 = 0.05;

/// Two runs on one task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Accuracy of the other minus that of the reference, as a share of 1.
    pub delta: f64,
    /// Exact two-sided p of McNemar's test on the samples' outcomes, after Holm's correction for the tasks that both have, or
    /// why it cannot be had.
    pub p: Result<f64, Unpaired>,
}

/// Why two runs cannot be tested against each other on a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpaired {
    /// They were evaluated on other samples.
    OtherSamples,
    /// It was not kept which samples were right.
    NoOutcomes,
}

impl Unpaired {
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::OtherSamples => "not comparable: other samples",
            Self::NoOutcomes => "not comparable: single answers were not kept",
        }
    }
}

/// How `other` differs from `reference`, task by task, where both have a result.
#[must_use]
pub fn differences(reference: &NewRun, other: &NewRun) -> Vec<(String, Difference)> {
    let difference = |a: &TaskScore| {
        let b = other.task(&a.task)?;
        let difference = Difference { delta: b.accuracy - a.accuracy, p: paired(reference, other, a, b) };
        Some((a.task.clone(), difference))
    };
    let mut found: Vec<(String, Difference)> = reference.tasks.iter().filter_map(difference).collect();
    let tested = |(_, difference): &(String, Difference)| difference.p.ok();
    let adjusted = holm(&found.iter().filter_map(tested).collect::<Vec<_>>());
    let tested = found.iter_mut().filter_map(|(_, difference)| difference.p.as_mut().ok());
    tested.zip(adjusted).for_each(|(p, adjusted)| *p = adjusted);
    found
}

fn paired(reference: &NewRun, other: &NewRun, a: &TaskScore, b: &TaskScore) -> Result<f64, Unpaired> {
    if reference.split != other.split || a.n != b.n {
        Err(Unpaired::OtherSamples)
    } else if a.outcomes.is_empty() || a.outcomes.len() != b.outcomes.len() {
        Err(Unpaired::NoOutcomes)
    } else {
        Ok(mcnemar(&a.outcomes, &b.outcomes).p)
    }
}

/// The tasks that any of the runs has a result for, in the order of their first appearance.
#[must_use]
pub fn tasks(runs: &[NewRun]) -> Vec<String> {
    let mut tasks: Vec<String> = Vec::new();
    for score in runs.iter().flat_map(|run| &run.tasks) {
        if !tasks.contains(&score.task) {
            tasks.push(score.task.clone());
        }
    }
    tasks
}

/// Which runs are best on a task; none when all do equally well.
#[must_use]
pub fn best(accuracies: &[Option<f64>]) -> Vec<bool> {
    let known = accuracies.iter().flatten().copied().filter(|share| share.is_finite());
    let (low, high) = known.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    accuracies.iter().map(|share| high > low && *share == Some(high)).collect()
}

/// Share of the way from base to experts that a run has gone, on the mean over its tasks; nothing when the catalogue
/// lacks a score, or there is no way to go.
#[must_use]
pub fn gap_recovered(run: &NewRun, catalog: &Catalog) -> Option<f64> {
    let split = split(run)?;
    let (mut base, mut expert, mut own) = (0.0, 0.0, 0.0);
    for score in &run.tasks {
        base += catalog.base(&score.task, split)?;
        expert += catalog.expert(&score.task, split)?;
        own += score.accuracy;
    }
    (expert > base).then(|| (own - base) / (expert - base))
}

/// Whether every task was answered by a model of its own: not to be taken for one model that knows all tasks.
#[must_use]
pub fn is_per_task(run: &NewRun) -> bool {
    find(&run.method).is_ok_and(Method::is_per_task)
}

/// Averages over seen and unseen tasks of a run, by its recipe; nothing where it has not both.
#[must_use]
pub fn generalization(run: &NewRun) -> Option<Generalization> {
    let experts = Preset::parse(&run.recipe_toml, "stored recipe").ok()?.experts()?;
    let tasks = run.tasks.iter().map(|score| (score.task.as_str(), score.accuracy));
    Generalization::of(tasks, |task| experts.iter().any(|expert| expert == task))
}

/// The split that a run was evaluated on.
#[must_use]
pub fn split(run: &NewRun) -> Option<Split> {
    [Split::Train, Split::Validation, Split::Test].into_iter().find(|split| split.to_string() == run.split)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::catalog::fixture;

    fn run(split: &str, outcomes: &[bool]) -> NewRun {
        let right = outcomes.iter().filter(|&&right| right).count();
        let score = TaskScore {
            task: "mnist".to_owned(),
            accuracy: right as f64 / outcomes.len() as f64,
            n: outcomes.len() as u64,
            outcomes: outcomes.to_vec(),
            ..TaskScore::default()
        };
        NewRun { split: split.to_owned(), tasks: vec![score], ..NewRun::default() }
    }

    #[test]
    fn ten_wins_without_a_loss_are_no_chance_and_one_is() {
        let reference = run("test", &[false; 20]);
        let ten: Vec<bool> = (0..20).map(|at| at < 10).collect();
        let one: Vec<bool> = (0..20).map(|at| at < 1).collect();
        let difference = |other: &NewRun| differences(&reference, other)[0].1;
        let far = difference(&run("test", &ten));
        // Two-sided sign test: 2 / 2^10.
        assert!((far.p.unwrap() - 2.0 / 1024.0).abs() < 1e-12, "{far:?}");
        assert!((far.delta - 0.5).abs() < 1e-12);
        assert_eq!(difference(&run("test", &one)).p, Ok(1.0));
    }

    #[test]
    fn among_many_tasks_one_that_differs_is_less_of_a_surprise() {
        let many = |outcomes: &[bool]| {
            let other =
                |at: usize| TaskScore { task: format!("task {at}"), ..run("test", &[true; 20]).tasks[0].clone() };
            let mut run = run("test", outcomes);
            run.tasks.extend((0..7).map(other));
            run
        };
        let six: Vec<bool> = (0..20).map(|at| at < 6).collect();
        let found = differences(&many(&[false; 20]), &many(&six));
        // Alone it would be 2 / 2^6, which is below 0.05.
        assert!((found[0].1.p.unwrap() - 8.0 * 2.0 / 64.0).abs() < 1e-12 && found.len() == 8, "{found:?}");
    }

    #[test]
    fn other_samples_are_not_compared() {
        let reference = run("test", &[true; 4]);
        let difference = |other: &NewRun| differences(&reference, other)[0].1.p;
        assert_eq!(difference(&run("validation", &[true; 4])), Err(Unpaired::OtherSamples));
        assert_eq!(difference(&run("test", &[true; 5])), Err(Unpaired::OtherSamples));
        let mut bare = run("test", &[true; 4]);
        bare.tasks[0].outcomes.clear();
        assert_eq!(difference(&bare), Err(Unpaired::NoOutcomes));
        assert_eq!(differences(&reference, &NewRun::default()), []);
    }

    #[test]
    fn the_best_is_marked_unless_all_are_equal() {
        assert_eq!(best(&[Some(0.5), Some(0.7), None, Some(0.7)]), [false, true, false, true]);
        assert_eq!(best(&[Some(0.5), Some(0.5)]), [false, false]);
        assert_eq!(best(&[Some(f64::NAN), Some(0.1), Some(0.2)]), [false, false, true]);
    }

    #[test]
    fn the_gap_is_measured_between_base_and_expert_of_the_same_split() {
        let catalog = fixture::catalog();
        let mut half = run("test", &[true; 2]);
        half.tasks[0].accuracy = f64::midpoint(0.87, 0.96);
        assert!((gap_recovered(&half, &catalog).unwrap() - 0.5).abs() < 1e-12);
        half.split = "train".to_owned();
        assert_eq!(gap_recovered(&half, &catalog), None);
    }
}
