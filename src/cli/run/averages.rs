//! Averages over the tasks of a report: over all, and over those whose expert was merged and those whose expert was not,
//! where there are both.

use super::Outcome;
use crate::engine::{Generalization, Report, TaskReport};
use crate::zoo::Zoo;

/// What accuracies are compared with: unweighted means over tasks that all have a recorded score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference {
    pub base: f64,
    pub expert: f64,
}

impl Reference {
    /// Over all tasks of a report.
    pub fn of(zoo: &Zoo, report: &Report) -> Option<Self> {
        Self::over(zoo, report, &report.tasks.iter().collect::<Vec<_>>())
    }

    /// Over some tasks of a report.
    fn over(zoo: &Zoo, report: &Report, tasks: &[&TaskReport]) -> Option<Self> {
        let mean = |score: &dyn Fn(&str) -> Option<f64>| -> Option<f64> {
            let scores: Vec<f64> = tasks.iter().map(|task| score(&task.task)).collect::<Option<_>>()?;
            (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
        };
        let scores = zoo.scores();
        Some(Self {
            base: mean(&|task| scores.base(task, report.split))?,
            expert: mean(&|task| scores.expert(task, report.split))?,
        })
    }

    /// Which share of the way from the base to the experts the fused model covers.
    #[must_use]
    pub fn gap_recovered(&self, average: f64) -> Option<f64> {
        let gap = self.expert - self.base;
        (gap > 0.0).then(|| (average - self.base) / gap)
    }

    /// As [`Reference::gap_recovered`] of a report. Recorded scores are of whole splits as they are: a part of one, or
    /// corrupted images, cannot be held against them.
    pub fn gap_of(zoo: &Zoo, report: &Report) -> Option<f64> {
        Self::of(zoo, report).filter(|_| report.complete && report.corruption.is_none())?.gap_recovered(report.average)
    }
}

/// The unweighted mean over some tasks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Average {
    /// `seen`, `unseen`, or `all`.
    pub over: &'static str,
    pub accuracy: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Samples.
    pub n: u64,
    pub reference: Option<Reference>,
}

impl Average {
    /// What a row or column of it is called.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self.over {
            "seen" => "seen average",
            "unseen" => "unseen average",
            _ => "average",
        }
    }
}

/// Seen and unseen tasks apart where there are both, then all.
#[must_use]
pub fn averages(zoo: &Zoo, report: &Report) -> Vec<Average> {
    let of = |over: &'static str, accuracy: f64, pick: &dyn Fn(&TaskReport) -> bool| {
        let tasks: Vec<&TaskReport> = report.tasks.iter().filter(|task| pick(task)).collect();
        Average {
            over,
            accuracy,
            loss: tasks.iter().map(|task| task.loss).sum::<f64>() / tasks.len().max(1) as f64,
            n: tasks.iter().map(|task| task.n).sum(),
            reference: Reference::over(zoo, report, &tasks),
        }
    };
    let apart = report.generalization.as_ref().map(|both: &Generalization| {
        let seen = of("seen", both.seen, &|task| both.is_seen(&task.task));
        [seen, of("unseen", both.unseen, &|task| !both.is_seen(&task.task))]
    });
    apart.into_iter().flatten().chain([of("all", report.average, &|_| true)]).collect()
}

/// The same averages by their titles, without what they are compared with: `average`, before it `seen average` and
/// `unseen average` where there are both.
#[must_use]
pub fn named(report: &Report) -> Vec<(&'static str, f64)> {
    let apart = report.generalization.as_ref();
    let apart = apart.map(|both| [("seen average", both.seen), ("unseen average", both.unseen)]);
    apart.into_iter().flatten().chain([("average", report.average)]).collect()
}

/// Tasks that no expert of the recipe was trained on, in words; nothing where there are none beside others.
#[must_use]
pub fn note(outcomes: &[Outcome]) -> Option<String> {
    let both = outcomes.iter().find_map(|outcome| outcome.report.generalization.as_ref())?;
    Some(format!("unseen, as their experts are not in the recipe: {}", both.unseen_tasks.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_what_lies_between_base_and_experts() {
        let reference = Reference { base: 0.5, expert: 0.9 };
        assert!((reference.gap_recovered(0.7).unwrap() - 0.5).abs() < 1e-12);
        assert!(reference.gap_recovered(0.4).unwrap() < 0.0);
        assert_eq!(Reference { base: 0.5, expert: 0.5 }.gap_recovered(0.7), None);
    }
}
