//! What there is to fuse and to evaluate, as plain facts: built once, never changed, free of tensors.
//!
//! Everything here comes from headers and recorded scores, so building it costs microseconds. What needs the
//! weights or the images themselves (norms, cosines, samples) is asked for with an effect.

#[cfg(test)]
pub mod fixture;

use crate::fusion::{Method, Pool};
use crate::tasks::{Split, Task};
use crate::weights::{Checkpoint, DType};

/// All facts of one session. The default is an empty zoo.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub tasks: Vec<Task>,
    /// How the frozen heads were made, where that is known.
    pub heads: Option<String>,
    /// Names of the pool's experts, in pool order.
    pub experts: Vec<String>,
    /// How many of them are combined unless somebody chooses; guests come after them.
    pub usual: usize,
    pub has_base: bool,
    /// The base first, if there is one, then the experts in pool order.
    pub checkpoints: Vec<CheckpointFacts>,
    /// Blocks that layer-wise coefficients speak of, in network order.
    pub groups: Vec<String>,
    /// Fusion methods in menu order.
    pub methods: &'static [&'static Method],
    /// One entry a task: on validation, on test.
    recorded: Vec<[Recorded; 2]>,
}

/// Accuracies of one task on one split, as recorded beside the checkpoints; shares of 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Recorded {
    pub base: Option<f64>,
    /// Of the expert fine-tuned on this very task.
    pub expert: Option<f64>,
}

/// What a checkpoint's header says.
#[derive(Debug, Clone)]
pub struct CheckpointFacts {
    pub name: String,
    pub is_base: bool,
    /// Size of the file in bytes.
    pub bytes: usize,
    /// Number of elements of all float tensors.
    pub parameters: usize,
    /// In file order.
    pub tensors: Vec<TensorFacts>,
    /// Every dtype that occurs, with the number of tensors that have it, in order of first appearance.
    pub dtypes: Vec<(DType, usize)>,
}

/// One tensor's name, shape, dtype and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorFacts {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: DType,
    pub elements: usize,
    /// Index into [`Catalog::groups`].
    pub group: usize,
}

impl Catalog {
    /// Gathers the facts; `recorded` gives what is known of a task on a split.
    #[must_use]
    pub fn new(
        tasks: &[Task],
        pool: &Pool,
        methods: &'static [&'static Method],
        recorded: impl Fn(&str, Split) -> Recorded,
    ) -> Self {
        let base = pool.base().map(|base| CheckpointFacts::of("base", true, base, pool));
        let experts = pool.experts().iter().map(|(name, expert)| CheckpointFacts::of(name, false, expert, pool));
        Self {
            tasks: tasks.to_vec(),
            heads: None,
            experts: pool.experts().iter().map(|(name, _)| name.clone()).collect(),
            usual: pool.experts().len(),
            has_base: base.is_some(),
            checkpoints: base.into_iter().chain(experts).collect(),
            groups: pool.groups().names().to_vec(),
            methods,
            recorded: tasks
                .iter()
                .map(|t| [Split::Validation, Split::Test].map(|split| recorded(&t.id, split)))
                .collect(),
        }
    }

    /// The experts that are combined unless somebody chooses others.
    #[must_use]
    pub fn usual_experts(&self) -> &[String] {
        &self.experts[..self.usual.min(self.experts.len())]
    }

    #[must_use]
    pub fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == id)
    }

    #[must_use]
    pub fn checkpoint(&self, name: &str) -> Option<&CheckpointFacts> {
        self.checkpoints.iter().find(|facts| facts.name == name)
    }

    /// The base model's recorded accuracy on a task.
    #[must_use]
    pub fn base(&self, task: &str, split: Split) -> Option<f64> {
        self.recorded(task, split).base
    }

    /// The recorded accuracy of a task's own expert.
    #[must_use]
    pub fn expert(&self, task: &str, split: Split) -> Option<f64> {
        self.recorded(task, split).expert
    }

    /// What is recorded for a task on a split; nothing for the training split.
    #[must_use]
    pub fn recorded(&self, task: &str, split: Split) -> Recorded {
        let column = match split {
            Split::Train => return Recorded::default(),
            Split::Validation => 0,
            Split::Test => 1,
        };
        let at = self.tasks.iter().position(|entry| entry.id == task);
        at.and_then(|at| self.recorded.get(at)).map_or_else(Recorded::default, |splits| splits[column])
    }
}

impl CheckpointFacts {
    fn of(name: &str, is_base: bool, checkpoint: &Checkpoint, pool: &Pool) -> Self {
        let facts = |info: &crate::weights::TensorInfo| TensorFacts {
            name: info.name.clone(),
            shape: info.shape.clone(),
            dtype: info.dtype,
            elements: info.len(),
            group: pool.groups().index(&info.name),
        };
        let tensors: Vec<TensorFacts> = checkpoint.tensors().iter().map(facts).collect();
        let mut dtypes: Vec<(DType, usize)> = Vec::new();
        for tensor in &tensors {
            match dtypes.iter_mut().find(|(dtype, _)| *dtype == tensor.dtype) {
                Some((_, count)) => *count += 1,
                None => dtypes.push((tensor.dtype, 1)),
            }
        }
        Self {
            name: name.to_owned(),
            is_base,
            bytes: checkpoint.bytes(),
            parameters: checkpoint.parameters(),
            tensors,
            dtypes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_from_headers_and_recorded_scores() {
        let catalog = fixture::catalog();
        assert_eq!(catalog.experts, fixture::TASKS);
        assert!(catalog.has_base);
        let base = &catalog.checkpoints[0];
        assert!(base.is_base);
        assert_eq!(base.parameters, base.tensors.iter().map(|tensor| tensor.elements).sum::<usize>());
        assert_eq!(base.dtypes, [(DType::F16, base.tensors.len())]);
        assert_eq!(catalog.groups, ["embeddings", "layer 0", "layer 1", "head"]);
        let layer = base.tensors.iter().find(|tensor| tensor.name.contains("layers.1.mlp")).unwrap();
        assert_eq!(catalog.groups[layer.group], "layer 1");
        assert_eq!(catalog.expert("fashion", Split::Test), Some(0.79));
        assert_eq!(catalog.recorded("fashion", Split::Train), Recorded::default());
        assert_eq!(catalog.recorded("unheard of", Split::Test), Recorded::default());
    }
}
