//! What methods may ask of data: statistics of a model's inner inputs, and slopes of losses over its weights.
//!
//! Fusion knows neither networks nor data sets. Whoever has both (the engine) implements [`Calibration`] and hands it in
//! through [`Context::data`](super::Context).

use super::{Context, FusionError, Mixture, Pool, seeded};
use crate::weights::{Checkpoint, StateDict};
use serde::Serialize;
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// What a method has to be shown beside the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Examples {
    None,
    /// Inputs of the experts' tasks; their labels are not looked at.
    Inputs,
    /// Inputs of the experts' tasks with their labels.
    Labelled,
}

impl Examples {
    /// In the middle of a sentence; empty for nothing.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Inputs => "inputs of every expert's task",
            Self::Labelled => "labelled inputs of every expert's task",
        }
    }
}

/// Which of a task's data are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shown {
    Validation,
    /// The inputs that results are reported on: such results are transductive, and must be labelled so.
    Test,
}

impl Shown {
    /// What the parameter `data` of many methods says: `validation` or `test`.
    #[must_use]
    pub fn named(data: &str) -> Self {
        if data == "test" { Self::Test } else { Self::Validation }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Test { "test" } else { "validation" })
    }
}

/// Which examples of a task, in which order, how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Draw {
    pub shown: Shown,
    /// At most so many of a task; fewer where it has fewer.
    pub samples: usize,
    /// So many at once.
    pub batch: usize,
    /// Seed of the order.
    pub seed: u64,
}

/// How a linear layer keeps its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[out, in]`, as PyTorch's `Linear`.
    OutIn,
    /// `[in, out]`, as GPT-2's `Conv1D`.
    InOut,
}

/// The Gram matrix of a linear layer's inputs: XᵀX divided by the rows of X, every token being a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    /// Width of the inputs.
    pub size: usize,
    /// `[size, size]`; shared by layers that see the same inputs.
    pub values: Arc<Vec<f64>>,
    pub layout: Layout,
}

/// Gram matrices by the name of the weight that the inputs meet.
pub type Grams = HashMap<String, Gram>;

/// What is measured of the slopes of a model's answers over its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slopes {
    /// FusionBench's stand-in for the diagonal of the Fisher matrix: the squared slope of Σ √p log p over each whole
    /// batch. Examples whose slopes differ in sign cancel, so it depends on the batch.
    BatchSquares,
    /// The diagonal of the Fisher matrix, the squared slope of log p(y|x) example by example, for one label y drawn from
    /// the model's own answer p.
    SampledSquares,
    /// The same over all labels, each as often as p says: as many backward passes as classes.
    ExactSquares,
    /// The size of the slope of the cross-entropy to the true label, example by example.
    LabelledMagnitudes,
}

/// How unsure a model's answers are, or how wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Entropy {
    /// Mean entropy, or cross-entropy, in nats of each task's batch, in the tasks' order.
    pub losses: Vec<f64>,
    /// How far answers tell images apart: their mutual information, which is the entropy of a batch's mean answer less the
    /// mean entropy of its answers, in nats, averaged over tasks. None where a batch has too few images to tell.
    pub information: Option<f64>,
    /// The slope of their sum over the weights, by the weights' names.
    pub slope: StateDict,
}

/// What heads look at, of several examples.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    pub width: usize,
    /// `[example, width]`, as the model gives them.
    pub values: Vec<f32>,
}

/// How unsure a mixture's answers are, and whom its routers ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Routed {
    /// Mean entropy in nats of each task's batch, in the tasks' order.
    pub losses: Vec<f64>,
    /// As in [`Entropy`].
    pub information: Option<f64>,
    /// The slope of their sum over the routers' numbers, `[router][number]`; empty for routers that are not trained.
    pub slopes: Vec<Vec<f64>>,
    /// What each expert weighed on the mean, `[task][place · expert]`.
    pub weights: Vec<Vec<f64>>,
    /// The mean, over tokens, images and tasks, of what the router of each place looks at, `[place][input]`; empty where a
    /// router looks token by token.
    pub seen: Vec<Vec<f64>>,
}

/// A model shown data.
pub trait Calibration: Sync {
    /// The Gram matrices of all linear layers of `model` on examples of `task`. Reports the examples seen to
    /// [`Context::advance`].
    ///
    /// # Errors
    /// No data for such a task, or none left; a model that does not run; cancellation.
    fn grams(
        &self,
        task: &str,
        model: &Checkpoint,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Arc<Grams>, FusionError>;

    /// The mean over examples of `task` of what is asked about the slopes of `model`, by the names of its tensors; tensors
    /// that its answers do not depend on are zero. Reports the examples seen to [`Context::advance`].
    ///
    /// # Errors
    /// As [`Calibration::grams`].
    fn slopes(
        &self,
        task: &str,
        model: &Checkpoint,
        what: Slopes,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Arc<StateDict>, FusionError>;

    /// The entropy of a model's answers on the batch of step `step` of each of `tasks`: batch after batch of the draw, in
    /// a new order whenever all were seen.
    ///
    /// # Errors
    /// As [`Calibration::grams`].
    fn entropy(
        &self,
        tasks: &[&str],
        weights: Arc<StateDict>,
        draw: Draw,
        step: usize,
        cx: &mut Context<'_>,
    ) -> Result<Entropy, FusionError>;

    /// The same of the cross-entropy to the true labels; with `shares` the slope is that of Σ share · loss.
    ///
    /// # Errors
    /// As [`Calibration::grams`].
    fn cross_entropy(
        &self,
        tasks: &[&str],
        shares: Option<&[f64]>,
        weights: Arc<StateDict>,
        draw: Draw,
        step: usize,
        cx: &mut Context<'_>,
    ) -> Result<Entropy, FusionError>;

    /// The Gram matrices of the linear layers whose weights are called `names`, all of one block, in a model with these
    /// weights; what comes after the block is not run. Reports the examples seen to [`Context::advance`].
    ///
    /// # Errors
    /// As [`Calibration::grams`].
    fn block_grams(
        &self,
        task: &str,
        weights: Arc<StateDict>,
        names: &[&str],
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Grams, FusionError>;

    /// The same of a mixture's answers, over its routers' numbers.
    ///
    /// # Errors
    /// As [`Calibration::grams`]; by default, that mixtures cannot be run.
    fn routed(
        &self,
        tasks: &[&str],
        mixture: &Mixture,
        draw: Draw,
        step: usize,
        cx: &mut Context<'_>,
    ) -> Result<Routed, FusionError> {
        let _ = (mixture, draw, step, cx);
        Err(no_mixtures(tasks.first().copied().unwrap_or_default()))
    }

    /// What each expert of a mixture weighs on the mean over examples of `task`, `[place · expert]`. Reports the examples
    /// seen to [`Context::advance`].
    ///
    /// # Errors
    /// As [`Calibration::routed`].
    fn routing(
        &self,
        task: &str,
        mixture: &Mixture,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Vec<f64>, FusionError> {
        let _ = (mixture, draw, cx);
        Err(no_mixtures(task))
    }

    /// The features that a model with these weights has of the examples of a draw, in an order that does not depend on the
    /// model. Reports the examples seen to [`Context::advance`].
    ///
    /// # Errors
    /// As [`Calibration::grams`]; by default, that there are no features.
    fn features(
        &self,
        task: &str,
        weights: Arc<StateDict>,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Features, FusionError> {
        let _ = (weights, draw, cx);
        let reason = "nothing here can look at a model's features".to_owned();
        Err(FusionError::Data { task: task.to_owned(), reason })
    }

    /// What a method learned and [kept](Self::keep) under this key, if it is still there.
    fn recall(&self, _key: &[u8; 32]) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }

    /// Keeps what a method learned until something else is: a parameter that only changes what is made of it, and that the
    /// key leaves out, then costs no second learning.
    fn keep(&self, _key: [u8; 32], _learned: Arc<dyn Any + Send + Sync>) {}

    /// How many examples of `task` a draw gives.
    ///
    /// # Errors
    /// No data for such a task, or none.
    fn count(&self, task: &str, draw: Draw) -> Result<usize, FusionError>;
}

/// The key of what a method learned of a pool with the parameters that it depends on, for [`Calibration::keep`].
pub(super) fn learned_key(what: &str, seed: u64, params: &impl fmt::Debug, pool: &Pool) -> [u8; 32] {
    let base = pool.base().map(Checkpoint::fingerprint);
    let experts: Vec<_> = pool.experts().iter().map(|(name, expert)| (name, expert.fingerprint())).collect();
    seeded::key(what, seed, &[format!("{params:?} {base:?} {experts:?}").as_bytes()])
}

fn no_mixtures(task: &str) -> FusionError {
    FusionError::Data { task: task.to_owned(), reason: "nothing here can run a mixture of experts".to_owned() }
}
