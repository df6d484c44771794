//! One model for each expert, kept as what they share and the little that each has of its own.

mod adapter;
mod own;

use super::kernels::chunks::for_chunks;
use super::kernels::rows::{Row, Scratch, blank, rows};
use super::{Context, FusionError, Pool};
use crate::weights::{Checkpoint, StateDict, Tensor, TensorInfo};
pub use adapter::Adapter;
pub use own::Own;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What is said wherever a result of such a method is shown.
pub const PER_TASK: &str = "one model per task: needs to know the task at test time";

/// A model for each expert of a pool, of which [`model`](PerTask::model) makes one at a time.
///
/// What is not here is read from the pool that it was made of: the base, and changes that a method keeps as they are.
#[derive(Debug, Clone)]
pub struct PerTask {
    /// A vector of the models' size that all tasks share, f32, tensors as in the reference; nothing where there is none.
    shared: Option<StateDict>,
    /// `[expert][tensor]`, tensors as in the reference; what stands for an integer buffer is not looked at.
    own: Vec<Vec<Own>>,
    /// What corrects each expert's task's features, if anything does: then all experts have the same model.
    adapters: Vec<Adapter>,
}

/// What it takes to store a pool's models, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// The base model, which every task's model starts from.
    pub base: u64,
    /// What all tasks share beside it.
    pub shared: u64,
    /// What the tasks have of their own, all together.
    pub own: u64,
    /// All experts as they are, for comparison.
    pub experts: u64,
}

impl Storage {
    /// Bytes from which all tasks' models can be made.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.base + self.shared + self.own
    }

    /// The total as a share of what all experts take.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.total() as f64 / self.experts.max(1) as f64
    }
}

impl PerTask {
    pub(super) fn new(shared: Option<StateDict>, own: Vec<Vec<Own>>) -> Self {
        Self { shared, own, adapters: Vec::new() }
    }

    /// One model, θ₀ + `change`, whose features each expert's task corrects in its own way.
    pub(super) fn corrected(change: StateDict, adapters: Vec<Adapter>) -> Self {
        let own = |source| Own::Flipped { source, signs: Vec::new(), scale: 1.0 };
        let own: Vec<Own> = (0..change.tensors().len()).map(own).collect();
        Self { shared: Some(change), own: vec![own; adapters.len()], adapters }
    }

    /// What corrects the features of an expert's task.
    #[must_use]
    pub fn adapter(&self, expert: usize) -> Option<&Adapter> {
        self.adapters.get(expert)
    }

    /// The vector that all tasks share.
    #[must_use]
    pub fn shared(&self) -> Option<&StateDict> {
        self.shared.as_ref()
    }

    /// What an expert has of its own of every tensor, tensors as in the reference.
    #[must_use]
    pub fn own(&self, expert: usize) -> Option<&[Own]> {
        self.own.get(expert).map(Vec::as_slice)
    }

    /// The model of the expert in slot `expert` of the pool that this was made of, in one pass on all cores.
    ///
    /// # Errors
    /// Another pool, a result that is not finite, cancellation.
    pub fn model(&self, expert: usize, pool: &Pool, cx: &mut Context<'_>) -> Result<StateDict, FusionError> {
        let rows = rows(pool)?;
        self.check(expert, &rows)?;
        let mut model = blank(&rows);
        for_chunks(
            model.tensors_mut(),
            |_| true,
            cx,
            |piece, out, scratch| {
                self.compute_chunk(expert, &rows[piece.tensor], piece.tensor, &piece.range, out, scratch);
                Ok(())
            },
        )?;
        Ok(model)
    }

    /// That there is something of every tensor for the expert.
    pub(super) fn check(&self, expert: usize, rows: &[Row<'_>]) -> Result<(), FusionError> {
        match self.own.get(expert) {
            Some(own) if own.len() == rows.len() => Ok(()),
            _ => {
                let reason = format!("expert {expert} of a pool with {} tensors is not in it", rows.len());
                Err(FusionError::Unusable { method: "one model per task", reason })
            }
        }
    }

    /// Computes the elements `range` of tensor `at` of an expert's model; chunks start at multiples of 32.
    pub(super) fn compute_chunk(
        &self,
        expert: usize,
        row: &Row<'_>,
        at: usize,
        range: &Range<usize>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let own = &self.own[expert][at];
        let slot = [expert];
        let slots = if own.reads_the_expert() { &slot[..] } else { &[] };
        let shared = |source: usize| {
            let tensor = self.shared.as_ref().and_then(|shared| shared.tensors().get(source)).and_then(Tensor::values);
            tensor.and_then(|values| values.get(range.clone())).unwrap_or_default()
        };
        row.read(slots, range, &mut scratch.decode, |base, experts| {
            own.write(at, range.start, base, experts.first().copied().unwrap_or_default(), &shared, out);
        });
    }

    /// What it takes to store the models, beside what the experts take.
    #[must_use]
    pub fn storage(&self, pool: &Pool) -> Storage {
        let tensors = pool.reference().map_or(&[][..], |reference| reference.tensors());
        let floats = |info: &&TensorInfo| info.dtype.is_float();
        let shared = self.shared.iter().flat_map(StateDict::tensors);
        let shared = shared.filter_map(Tensor::values).map(|values| 4 * values.len() as u64).sum();
        let of = |own: &Vec<Own>| -> u64 {
            let pairs = own.iter().zip(tensors).filter(|(_, info)| floats(info));
            pairs.map(|(own, info)| own.bytes(info)).sum()
        };
        let adapters = self.adapters.iter().map(|adapter| 4 * adapter.len() as u64).sum();
        let bytes = |model: &Checkpoint| model.tensors().iter().map(|info| info.bytes() as u64).sum();
        Storage {
            base: pool.base().map_or(0, bytes),
            shared,
            own: if self.adapters.is_empty() { self.own.iter().map(of).sum() } else { adapters },
            experts: pool.experts().iter().map(|(_, expert)| bytes(expert)).sum(),
        }
    }
}
