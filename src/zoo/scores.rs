//! The accuracies recorded when the zoo was built, so that nothing has to be evaluated to show what experts are worth.

use crate::tasks::Split;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Shares of 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Accuracy {
    pub validation: f64,
    pub test: f64,
}

impl Accuracy {
    #[must_use]
    pub fn on(&self, split: Split) -> Option<f64> {
        match split {
            Split::Train => None,
            Split::Validation => Some(self.validation),
            Split::Test => Some(self.test),
        }
    }
}

/// What one task's models score with the weights as they are stored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskScores {
    pub base: Accuracy,
    /// The task's own expert.
    pub expert: Accuracy,
}

/// A merge of all experts at the setting that was best on validation; accuracies are means over tasks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Merging {
    pub method: String,
    /// The setting, e.g. `scaling = 0.3`.
    pub setting: String,
    pub accuracy: Accuracy,
}

/// One training run, for the spread over seeds. Accuracies are means over tasks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SeedScores {
    pub seed: u64,
    pub base: Accuracy,
    pub experts: Accuracy,
    pub merging: Vec<Merging>,
}

/// `scores.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Scores {
    pub tasks: BTreeMap<String, TaskScores>,
    /// All seeds that were trained, the shipped one first.
    #[serde(default)]
    pub seeds: Vec<SeedScores>,
}

impl Scores {
    /// The base's accuracy on a task; nothing for unknown tasks and for the training data.
    #[must_use]
    pub fn base(&self, task: &str, split: Split) -> Option<f64> {
        self.tasks.get(task)?.base.on(split)
    }

    /// The accuracy of a task's own expert.
    #[must_use]
    pub fn expert(&self, task: &str, split: Split) -> Option<f64> {
        self.tasks.get(task)?.expert.on(split)
    }
}
