//! What is computed of a few batches at a time.

use super::spare::Spare;
use crate::cancel::Cancel;
use crate::fusion::{Mixture, Shown, Slopes};
use crate::models::clip_vit::Linear;
use crate::weights::StateDict;
use std::sync::Arc;

/// A piece of work: the same of every batch, with the same weights.
pub struct Work {
    pub subject: Subject,
    pub batches: Vec<Batch>,
    pub spare: Arc<Spare>,
    pub cancel: Cancel,
}

/// What is shown the batches, and what is wanted of it.
#[derive(Clone)]
pub enum Subject {
    Model {
        weights: Arc<StateDict>,
        wanted: Wanted,
    },
    /// Whom the routers ask, and, with `slopes`, the mean entropy of the answers and its slope over the routers' numbers.
    Mixture {
        mixture: Mixture,
        slopes: bool,
    },
}

/// Some examples of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub task: String,
    pub shown: Shown,
    pub indices: Vec<usize>,
}

/// What is wanted of a batch that a model is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The inputs of all linear layers, as sums of their outer products; or of those of one block, counted from 0, what
    /// the tower ends in being one more.
    Products { block: Option<usize> },
    /// What heads look at.
    Features,
    /// A slope over all weights.
    Slope(Of),
}

/// What a slope is the slope of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The mean entropy of the answers.
    Entropy,
    /// The mean cross-entropy to the labels.
    CrossEntropy,
    /// Sums over the batch's examples of what is asked about their slopes; labels are drawn with the seed.
    Examples { what: Slopes, seed: u64 },
}

/// What came out for one batch.
pub enum Answer {
    Products(Vec<Products>),
    /// A loss (0 where none was asked for) and a slope, or something made of slopes.
    Slope {
        loss: f64,
        /// How far the answers tell the images apart, where a loss was asked for.
        information: f64,
        slope: StateDict,
    },
    Routed(Routed),
    /// `[image, width]`
    Features {
        width: usize,
        values: Vec<f32>,
    },
}

/// What routers gave each expert, and, where a loss was asked for, its slope over their numbers.
pub struct Routed {
    pub loss: f64,
    /// How far the answers tell the images apart, where a loss was asked for.
    pub information: f64,
    /// `[router][number]`
    pub slopes: Vec<Vec<f32>>,
    /// `[image, place · expert]`
    pub weights: Vec<f32>,
    /// The mean of what the router of each place looked at, `[place][input]`, where a loss was asked for.
    pub seen: Vec<Vec<f32>>,
    pub images: usize,
}

/// XᵀX of the inputs of some linear layers.
pub struct Products {
    pub of: Linear,
    /// Rows of X.
    pub rows: usize,
    /// Width of X.
    pub size: usize,
    /// `[size, size]`
    pub values: Vec<f32>,
}
