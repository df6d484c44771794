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
    /// What the body's places point to.
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

/// Layers that are weighed together, by a router that sees what the first of them is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The name that these layers' tensors begin with.
    pub name: String,
    /// Which of the mixture's routers; several places may have the same.
    pub router: usize,
    pub unit: Unit,
    pub layers: Vec<Mixed>,
}

/// What a router weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Every expert's change as a whole.
    Expert,
    /// Every component of every change, expert after expert: all layers of the place have changes of the same ranks.
    Component,
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
    /// Image by image, by a small network that is trained.
    Perceptron(Arc<Perceptron>),
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

/// The mean over an image's tokens of A₂ max(0, A₁x + b₁) + b₂ (Tang et al. 2024, WEMoE), of one layer, or of any number
/// of them; nothing makes its weights add up to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Perceptron {
    pub sees: Sees,
    /// The last one has an output for everything that is weighed.
    pub layers: Vec<Affine>,
    /// If so, only about so many of the weights are let through: g ∘ σ(100 (g − the so-manieth largest)).
    pub select: Option<usize>,
}

/// What a [`Perceptron`] looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    /// All tokens that its place is given.
    Tokens,
    /// The features that the backbone, without any experts, has of the image.
    Features,
}

/// Ax + b; with no inputs at all the constant b.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    pub inputs: usize,
    /// `[outputs, inputs]`
    pub weight: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
}

impl Mixed {
    /// Components of all changes; none of those that are kept as they are.
    #[must_use]
    pub fn components(&self) -> usize {
        let rank = |change: &Change| if let Matrix::LowRank { rank, .. } = change.weight { rank } else { 0 };
        self.changes.iter().map(rank).sum()
    }
}

impl Matrix {
    /// Numbers to keep: zeros of a change that was pruned need no room.
    fn len(&self) -> usize {
        match self {
            Self::Dense(values) => values.iter().filter(|x| **x != 0.0).count(),
            Self::LowRank { left, right, .. } => left.len() + right.len(),
        }
    }
}

impl Perceptron {
    /// How sharply the weights that are let through are told from the others.
    pub const SHARPNESS: f32 = 100.0;

    /// Numbers it consists of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.iter().map(|layer| layer.weight.len() + layer.bias.len()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All numbers: of each layer the weight, then the bias.
    #[must_use]
    pub fn numbers(&self) -> Vec<f32> {
        self.layers.iter().flat_map(|layer| layer.weight.iter().chain(&layer.bias)).copied().collect()
    }

    /// The same network with other numbers, in the order of [`numbers`](Self::numbers); those that are missing stay.
    #[must_use]
    pub fn with_numbers(&self, numbers: impl IntoIterator<Item = f32>) -> Self {
        let mut with = self.clone();
        let places = with.layers.iter_mut().flat_map(|layer| layer.weight.iter_mut().chain(&mut layer.bias));
        places.zip(numbers).for_each(|(place, number)| *place = number);
        with
    }
}

impl Router {
    /// Whether it looks at the backbone's features, not at what its place is given.
    #[must_use]
    pub fn sees_features(&self) -> bool {
        matches!(self, Self::Perceptron(network) if network.sees == Sees::Features)
    }

    /// Whether it looks at all tokens of an image at once.
    #[must_use]
    pub fn sees_all_tokens(&self) -> bool {
        matches!(self, Self::Perceptron(network) if network.sees == Sees::Tokens)
    }

    /// Numbers it consists of.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Norms(norms) => norms.directions.len(),
            Self::Perceptron(network) => network.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Mixture {
    /// What it takes in memory: zeros of a pruned change as well.
    pub(super) fn bytes(&self) -> u64 {
        let backbone = self.body.backbone.tensors().iter().filter_map(Tensor::values).map(<[f32]>::len).sum::<usize>();
        let routers = self.routers.iter().map(Router::len).sum::<usize>();
        let changes = self.body.places.iter().flat_map(|place| &place.layers).flat_map(|layer| &layer.changes);
        let length = |change: &Change| match &change.weight {
            Matrix::Dense(values) => values.len() + change.bias.len(),
            Matrix::LowRank { left, right, .. } => left.len() + right.len() + change.bias.len(),
        };
        4 * (backbone + routers + changes.map(length).sum::<usize>()) as u64
    }

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
