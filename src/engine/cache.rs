//! Results by what they depend on, so that coming back to a slider position shows its numbers at once.

use super::predictor::Beside;
use super::{Plan, TaskReport};
use std::collections::HashMap;

/// Everything a task's result depends on. The zoo is fixed for an engine's life, so it is not part of the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    recipe: String,
    task: String,
    data: crate::tasks::Data,
    samples: usize,
    device: String,
}

impl Key {
    /// Keys of all tasks of a plan, in its order.
    pub fn all(plan: &Plan, device: &str) -> Vec<Self> {
        let recipe = plan.recipe();
        let key = |(task, samples): &(String, usize)| Self {
            recipe: recipe.clone(),
            task: task.clone(),
            data: plan.data,
            samples: *samples,
            device: device.to_owned(),
        };
        plan.tasks.iter().map(key).collect()
    }
}

/// Results of this engine's life, the oldest forgotten first.
#[derive(Default)]
pub(super) struct Cache {
    reports: HashMap<Key, (TaskReport, Option<Beside>)>,
    order: std::collections::VecDeque<Key>,
}

/// A sweep of 100 positions over 20 tasks fits twice.
const CAPACITY: usize = 4096;

impl Cache {
    pub fn get(&self, key: &Key) -> Option<&TaskReport> {
        self.reports.get(key).map(|(report, _)| report)
    }

    /// What there is to say of what the result is of, where it is not one model.
    pub fn beside(&self, key: &Key) -> Option<Beside> {
        self.reports.get(key)?.1.clone()
    }

    pub fn insert(&mut self, key: Key, report: TaskReport, beside: Option<Beside>) {
        if self.reports.insert(key.clone(), (report, beside)).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.reports.remove(&oldest);
        }
    }
}
