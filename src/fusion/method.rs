//! What a fusion method is, what it is given and what it returns.

use super::survey::Surveys;
use super::{EnsembleRule, FusionError, LinearPlan, MaskSource, Pool};
use crate::cancel::Cancel;
use crate::params::{ParamError, ParamSet, Spec};
use crate::weights::StateDict;
use serde::Serialize;
use std::any::Any;
use std::sync::Arc;

/// The paper's three families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// All members run, their outputs are combined.
    Ensemble,
    /// The weights are combined into one model of the same architecture.
    Merging,
    /// The weights become experts behind a router.
    Mixing,
}

impl Family {
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Ensemble => "Ensemble",
            Self::Merging => "Merging",
            Self::Mixing => "Mixing",
        }
    }
}

/// What a method needs of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Needs {
    pub base: bool,
    pub min_models: usize,
    pub max_models: Option<usize>,
}

/// A fusion method: metadata and one function. Declared as `pub static METHOD` in its own file.
#[derive(Debug)]
pub struct Method {
    /// Key in TOML and on the command line.
    pub id: &'static str,
    pub name: &'static str,
    pub family: Family,
    /// The formula in one line, for the picker.
    pub formula: &'static str,
    /// What it does and when it helps, in one or two sentences.
    pub summary: &'static str,
    /// Where it comes from: an arXiv id or a DOI; empty for folklore.
    pub reference: &'static str,
    pub specs: &'static [Spec],
    pub needs: Needs,
    /// Fuses the pool, which may be a [window](Pool::window) on the models: what depends on more than the tensors at hand
    /// is asked for through [`Context::survey`]. Methods that cannot be told so are in [`WHOLE`](super::stream::WHOLE).
    pub fuse: fn(&ParamSet, &Pool, &mut Context<'_>) -> Result<Fused, FusionError>,
}

impl Method {
    /// Whether the method can run on a pool with or without a base and with `models` experts.
    ///
    /// # Errors
    /// The reason why not, as the picker shows it.
    pub fn check(&self, has_base: bool, models: usize) -> Result<(), FusionError> {
        if self.needs.base && !has_base {
            return Err(FusionError::NeedsBase { method: self.name });
        }
        let Needs { min_models: min, max_models: max, .. } = self.needs;
        if models < min || max.is_some_and(|max| models > max) {
            let needed = match max {
                Some(max) if max == min => format!("exactly {min} experts"),
                Some(max) => format!("{min} to {max} experts"),
                None => format!("at least {min} experts"),
            };
            return Err(FusionError::ModelCount { method: self.name, needed, got: models });
        }
        Ok(())
    }

    /// Runs the method on a pool that it can run on.
    ///
    /// # Errors
    /// A pool that does not fit the method, parameters that do not fit the pool, a result that is not finite,
    /// cancellation.
    pub fn run(&self, params: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
        self.check(pool.base().is_some(), pool.experts().len())?;
        (self.fuse)(params, pool, cx)
    }

    /// Names the method in an error about one of its parameters.
    pub(super) fn typed<T>(&self, params: Result<T, ParamError>) -> Result<T, FusionError> {
        params.map_err(|source| FusionError::Param { method: self.name, source })
    }

    /// Divides the weights by their sum.
    pub(super) fn normalize(&self, weights: &mut [f32]) -> Result<(), FusionError> {
        let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        // Weights that cancel to rounding would blow everything up.
        let scale: f64 = weights.iter().map(|&weight| f64::from(weight).abs()).sum();
        if sum.abs() <= scale * 1e-6 {
            let reason = "the weights add up to zero and cannot be normalised".to_owned();
            return Err(FusionError::Unusable { method: self.name, reason });
        }
        for weight in weights {
            *weight = (f64::from(*weight) / sum) as f32;
        }
        Ok(())
    }
}

/// What a method works with beside parameters and pool.
pub struct Context<'a> {
    pub cancel: &'a Cancel,
    /// Called with (tensors done, tensors in all); several times over by methods that take several passes.
    pub progress: &'a mut dyn FnMut(usize, usize),
    /// Masks to use instead of those that a method would draw from its seed.
    pub masks: Option<&'a dyn MaskSource>,
    /// Lets results through that are not finite, instead of failing: whoever takes them decides.
    pub lenient: bool,
    /// The pool is one of several parts with different parameters: nothing can be said of the whole model.
    pub partial: bool,
    surveys: Surveys,
}

impl<'a> Context<'a> {
    #[must_use]
    pub fn new(cancel: &'a Cancel, progress: &'a mut dyn FnMut(usize, usize)) -> Self {
        Self { cancel, progress, masks: None, lenient: false, partial: false, surveys: Surveys::default() }
    }

    /// What a method has to know of the whole model before it can compute a part of it, such as a threshold: `measure`
    /// gets the whole pool. Measured once for all windows that are fused in this context with one recipe; `S` is a type
    /// of the method's own.
    ///
    /// # Errors
    /// What `measure` returns.
    pub fn survey<S: Any + Send + Sync>(
        &mut self,
        pool: &Pool,
        measure: impl FnOnce(&Pool, &mut Self) -> Result<S, FusionError>,
    ) -> Result<Arc<S>, FusionError> {
        if self.partial {
            let reason =
                "it needs to know the whole model, so its parameters cannot differ by layer or tensor".to_owned();
            return Err(FusionError::Unusable { method: "this method", reason });
        }
        if !pool.is_window() {
            return measure(pool, self).map(Arc::new);
        }
        if let Some(known) = self.surveys.get() {
            return Ok(known);
        }
        let measured = Arc::new(measure(pool.whole(), self)?);
        self.surveys.put(Arc::clone(&measured));
        Ok(measured)
    }

    /// Uses the given masks, whatever the method's seed.
    #[must_use]
    pub fn with_masks(mut self, masks: &'a dyn MaskSource) -> Self {
        self.masks = Some(masks);
        self
    }
}

/// What a method returns.
#[derive(Debug, Clone)]
pub enum Fused {
    /// A linear combination that has not been computed yet; see [`LinearPlan`].
    Linear(LinearPlan),
    /// Weights of the same architecture.
    Weights(StateDict),
    /// Every expert runs, outputs are combined.
    Ensemble(EnsembleRule),
}
