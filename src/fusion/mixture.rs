//! A mixture of experts: one network in which some linear layers keep their experts' changes apart, and routers that
//! weigh those changes for each input.
//!
//! y = W₀x + b₀ + Σᵢ gᵢ(x)(ΔWᵢx + Δbᵢ). Fusion says what is where; whoever knows the network runs it.

use super::{Pool, Storage};
use crate::weights::{Checkpoint, StateDict, Tensor};
use std::sync::Arc;

/// A network with routers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mixture {
    pub body: Arc<Body>,
    /// One for each of the body's places.
    pub routers: Vec<Router>,
}

/// What does not change while routers are trained.
#[derive(Debug, Clone)]
pub struct Body {
    /// Everything the experts are added to.
    pub backbone: StateDict,
    /// Names of the experts, in the order of all that is kept of them.
    pub experts: Vec<String>,
    pub places: Vec<Place>,
}

/// Layers that share a router, which sees what the first of them is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The name that these layers' tensors begin with.
    pub name: String,
    pub layers: Vec<Mixed>,
}

/// A linear layer with experts.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixed {
    /// Name of the backbone's weight, `[outputs, inputs]`.
    pub weight: String,
    pub outputs: usize,
    pub inputs: usize,
    /// One an expert.
    pub changes: Vec<Change>,
}

/// What an expert changes of a linear layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub weight: Matrix,
    /// `[outputs]`; empty for layers without a bias.
    pub bias: Vec<f32>,
}

/// A change of a weight.
#[derive(Debug, Clone, PartialEq)]
pub enum Matrix {
    /// `[outputs, inputs]`
    Dense(Vec<f32>),
    /// left · right.
    LowRank {
        rank: usize,
        /// `[outputs, rank]`
        left: Vec<f32>,
        /// `[rank, inputs]`
        right: Vec<f32>,
    },
}

/// What weighs the experts of a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Router {
    /// Token by token, by the part of the input that lies along each expert's directions.
    Norms(Arc<Norms>),
}

/// The directions of a router without training: gᵢ ∝ exp ‖Dᵢx‖, of which the largest few are kept and made to add up to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Norms {
    /// Directions an expert.
    pub rank: usize,
    pub inputs: usize,
    /// `[expert, rank, inputs]`
    pub directions: Vec<f32>,
    /// How many experts answer for a token; at least 1.
    pub top: usize,
}

impl Matrix {
    fn len(&self) -> usize {
        match self {
            Self::Dense(values) => values.len(),
            Self::LowRank { left, right, .. } => left.len() + right.len(),
        }
    }
}

impl Router {
    /// Numbers it consists of.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Norms(norms) => norms.directions.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Mixture {
    /// What it takes to store it in f32, beside what the pool's experts take.
    #[must_use]
    pub fn storage(&self, pool: &Pool) -> Storage {
        let bytes = |model: &Checkpoint| model.tensors().iter().map(|info| info.bytes() as u64).sum::<u64>();
        let backbone = self.body.backbone.tensors().iter().filter_map(Tensor::values).map(<[f32]>::len).sum::<usize>();
        let changes = self.body.places.iter().flat_map(|place| &place.layers).flat_map(|layer| &layer.changes);
        let own: usize = changes.map(|change| change.weight.len() + change.bias.len()).sum();
        Storage {
            base: 4 * backbone as u64,
            shared: 4 * self.routers.iter().map(Router::len).sum::<usize>() as u64,
            own: 4 * own as u64,
            experts: pool.experts().iter().map(|(_, expert)| bytes(expert)).sum(),
        }
    }
}
