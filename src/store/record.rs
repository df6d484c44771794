//! What the history knows about a run.

use serde::{Deserialize, Serialize};

/// One task's result within a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskScore {
    /// The task's id.
    pub task: String,
    /// Share of right answers, 0 to 1.
    pub accuracy: f64,
    /// Mean cross-entropy in nats; NaN where it was not computed.
    pub loss: f64,
    /// Number of samples evaluated.
    pub n: u64,
    /// Per sample, in data-set order: was the answer right? Empty where unknown. For paired tests between runs.
    pub outcomes: Vec<bool>,
}

/// A finished run that is not in the history yet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NewRun {
    /// Start of the run, seconds since 1970 (UTC).
    pub started_unix: i64,
    /// The method's id in the registry.
    pub method: String,
    /// The method's name for people.
    pub method_name: String,
    /// One line that tells this run from its neighbours: `task_arithmetic λ=0.4`.
    pub label: String,
    /// Its knobs were moved after a test result of the method was seen.
    #[serde(default)]
    pub tuned_on_test: bool,
    /// The preset that reproduces the run.
    pub recipe_toml: String,
    pub device: String,
    /// `train`, `validation` or `test`.
    pub split: String,
    /// False when only a part of the split was evaluated.
    pub complete: bool,
    /// Fusion and evaluation together.
    pub seconds: f64,
    /// Unweighted mean accuracy over tasks, 0 to 1.
    pub average: f64,
    /// In the order shown.
    pub tasks: Vec<TaskScore>,
}

impl NewRun {
    /// The run's result on one task.
    #[must_use]
    pub fn task(&self, id: &str) -> Option<&TaskScore> {
        self.tasks.iter().find(|score| score.task == id)
    }
}

/// A run in the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Given by the history, never used twice.
    pub id: i64,
    pub run: NewRun,
    /// Kept at hand for comparison.
    pub pinned: bool,
}
