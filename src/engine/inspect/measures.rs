//! The numbers of one block, or of all of them.

use crate::fusion::{Divergence, EffectiveRank};
use serde::Serialize;

/// Measures of a base and its experts over the float tensors of a block.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct BlockMeasures {
    pub name: String,
    pub tensors: usize,
    pub parameters: u64,
    /// ‖θ₀‖₂
    pub base_norm: f64,
    /// In the order of [`Diff::experts`](super::Diff::experts).
    pub experts: Vec<ExpertMeasures>,
    /// `[expert][expert]`: cosine of the angle between two task vectors; 0 where one of them is zero.
    pub cosine: Vec<Vec<f64>>,
    /// Of the weights that several experts changed, the share that not all moved in one direction; see
    /// [`Divergence::conflict`].
    pub conflict: f64,
    /// The same by pairs of experts, where independent directions give 0.5; see [`Divergence::pair_conflict`].
    pub pair_conflict: f64,
    /// Share of all movement that is undone when the task vectors are added; see [`Divergence::cancelled`].
    pub cancelled: f64,
}

/// What one expert did to a block.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ExpertMeasures {
    /// ‖τ‖₂
    pub norm: f64,
    /// ‖τ‖/‖θ₀‖
    pub relative: f64,
    /// Cosine of the angle between its weights and the base's.
    pub cosine_to_base: f64,
    /// Share of weights that are not the base's.
    pub changed: f64,
    /// Of the block's matrices, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<Rank>,
}

/// Effective ranks of an expert's task vector, summed over matrices.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Rank {
    pub rank: f64,
    /// The most that it could be.
    pub full: f64,
    /// Whether some of the matrices were so large that it was estimated.
    pub estimated: bool,
}

impl Rank {
    /// Share of the full rank; nothing without matrices.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.full > 0.0).then(|| self.rank / self.full)
    }

    /// Those of the matrices of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            rank: self.rank + other.rank,
            full: self.full + other.full,
            estimated: self.estimated || other.estimated,
        }
    }
}

impl From<EffectiveRank> for Rank {
    fn from(found: EffectiveRank) -> Self {
        Self { rank: found.rank, full: found.full as f64, estimated: found.estimated }
    }
}

impl BlockMeasures {
    pub(super) fn of(name: &str, tensors: usize, measured: &Divergence, experts: usize) -> Self {
        let expert = |at: usize| ExpertMeasures {
            norm: measured.norm(at),
            relative: measured.relative(at),
            cosine_to_base: measured.cosine_to_base(at),
            changed: measured.changed(at),
            rank: None,
        };
        Self {
            name: name.to_owned(),
            tensors,
            parameters: measured.parameters(),
            base_norm: measured.base_norm(),
            experts: (0..experts).map(expert).collect(),
            cosine: (0..experts).map(|a| (0..experts).map(|b| measured.cosine(a, b)).collect()).collect(),
            conflict: measured.conflict(),
            pair_conflict: measured.pair_conflict(),
            cancelled: measured.cancelled(),
        }
    }
}
