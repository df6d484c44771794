//! How far a result reaches beyond the tasks that it was made of: averages over *seen* tasks, whose expert is in the
//! recipe, and over *unseen* ones apart, as in FusionBench's tables (arXiv:2406.03280, §4).

use serde::{Deserialize, Serialize};

/// Unweighted mean accuracies, as shares of 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generalization {
    /// Over the tasks whose expert is in the recipe.
    pub seen: f64,
    /// Over the others.
    pub unseen: f64,
    pub unseen_tasks: Vec<String>,
}

impl Generalization {
    /// Of tasks with their accuracies, and which of them have an expert in the recipe; nothing unless there are both
    /// kinds.
    #[must_use]
    pub fn of<'a>(tasks: impl Iterator<Item = (&'a str, f64)>, has_expert: impl Fn(&str) -> bool) -> Option<Self> {
        let (seen, unseen): (Vec<_>, Vec<_>) = tasks.partition(|(task, _)| has_expert(task));
        let mean = |tasks: &[(&str, f64)]| tasks.iter().map(|(_, share)| share).sum::<f64>() / tasks.len() as f64;
        (!seen.is_empty() && !unseen.is_empty()).then(|| Self {
            seen: mean(&seen),
            unseen: mean(&unseen),
            unseen_tasks: unseen.iter().map(|(task, _)| (*task).to_owned()).collect(),
        })
    }

    #[must_use]
    pub fn is_seen(&self, task: &str) -> bool {
        self.unseen_tasks.iter().all(|unseen| unseen != task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_and_unseen_tasks_are_averaged_apart() {
        let tasks = [("a", 0.9), ("b", 0.3), ("c", 0.5), ("d", 0.5)];
        let of = |experts: &[&str]| Generalization::of(tasks.into_iter(), |task| experts.contains(&task));
        let both = of(&["c", "a", "mine"]).unwrap();
        assert!((both.seen - 0.7).abs() < 1e-12 && (both.unseen - 0.4).abs() < 1e-12, "{both:?}");
        assert_eq!(both.unseen_tasks, ["b", "d"]);
        assert!(both.is_seen("a") && !both.is_seen("b"));
        assert_eq!((of(&["a", "b", "c", "d"]), of(&["mine"])), (None, None));
    }
}
