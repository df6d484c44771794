//! A merge as parts: tensors that one method fuses with one set of parameters.

use crate::fusion::{FusionError, Method, Pool, find};
use crate::params::ParamSet;
use crate::weights::{Checkpoint, TensorInfo};

/// Tensors that are fused alike.
#[derive(Debug, Clone)]
pub struct Part {
    pub method: &'static Method,
    pub params: ParamSet,
    /// The models, with these tensors only and under the names that they have in the result.
    pub pool: Pool,
    /// Which of the merge's inputs they are, the base first.
    pub inputs: Vec<usize>,
    /// Where each tensor stands in the result.
    pub places: Vec<usize>,
}

impl Part {
    /// All tensors of a pool.
    pub(super) fn whole(method: &'static Method, params: ParamSet, pool: Pool) -> Self {
        let inputs = (0..pool.experts().len() + usize::from(pool.base().is_some())).collect();
        let places = (0..pool.reference().map_or(0, |reference| reference.tensors().len())).collect();
        Self { method, params, pool, inputs, places }
    }

    /// Tensors that are taken from one model as they are.
    ///
    /// # Errors
    /// None that models could cause.
    pub(super) fn kept(model: Checkpoint, input: usize, places: Vec<usize>) -> Result<Self, FusionError> {
        let method = find("passthrough")?;
        let pool = Pool::new(None, vec![(model.label().to_owned(), model)])?;
        Ok(Self { method, params: ParamSet::defaults(method.specs), pool, inputs: vec![input], places })
    }

    pub(super) fn tensors(&self) -> &[TensorInfo] {
        self.pool.reference().map_or(&[], |reference| reference.tensors())
    }

    /// Bytes that are read.
    pub(super) fn bytes(&self) -> u64 {
        self.models().flat_map(|model| model.tensors()).map(|info| info.bytes() as u64).sum()
    }

    /// The models with these tensors, the base first.
    pub(super) fn models(&self) -> impl Iterator<Item = &Checkpoint> {
        self.pool.base().into_iter().chain(self.pool.experts().iter().map(|(_, expert)| expert))
    }
}
