//! What a fusion method is, what it is given and what it returns.

use super::{
    Calibration, Context, EnsembleRule, Examples, FusionError, LinearPlan, Mixture, PER_TASK, PerTask, Pool, Storage,
};
use crate::params::{ParamError, ParamSet, Spec, Value};
use crate::weights::{StateDict, Tensor};
use serde::Serialize;

/// The paper's three families, and one that it does not count as fusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// All members run, their outputs are combined.
    Ensemble,
    /// The weights are combined into one model of the same architecture.
    Merging,
    /// The weights become experts behind a router.
    Mixing,
    /// Every task keeps a model of its own, all of them in less room than the experts take: [`Fused::PerTask`].
    Compression,
    /// The weights are combined into one model, whose features are corrected task by task: [`Fused::PerTask`] too.
    Correction,
}

impl Family {
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Ensemble => "Ensemble",
            Self::Merging => "Merging",
            Self::Mixing => "Mixing",
            Self::Compression => "Compression",
            Self::Correction => "Correction",
        }
    }

    /// Every family, in the order of lists.
    pub const ALL: [Self; 5] = [Self::Ensemble, Self::Merging, Self::Compression, Self::Correction, Self::Mixing];

    /// What has to be known of all its methods; empty where nothing has.
    #[must_use]
    pub fn note(self) -> &'static str {
        if matches!(self, Self::Compression | Self::Correction) { PER_TASK } else { "" }
    }
}

/// What a method needs of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Needs {
    pub base: bool,
    pub min_models: usize,
    pub max_models: Option<usize>,
    /// What it looks at beside the models.
    pub data: Examples,
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

    /// Whether the method can run where there are models and nothing else.
    ///
    /// # Errors
    /// When it has to look at data.
    pub fn check_without_data(&self) -> Result<(), FusionError> {
        match self.needs.data {
            Examples::None => Ok(()),
            needed => Err(FusionError::NeedsData { method: self.name, needed: needed.words() }),
        }
    }

    /// Whether the result is one model per task, so that the task must be known at test time.
    #[must_use]
    pub fn is_per_task(&self) -> bool {
        matches!(self.family, Family::Compression | Family::Correction)
    }

    /// Whether the result is weights that other programs can run: a model, or one for each task.
    #[must_use]
    pub fn gives_weights(&self) -> bool {
        matches!(self.family, Family::Merging | Family::Compression)
    }

    /// Runs the method on a pool that it can run on.
    ///
    /// # Errors
    /// A pool that does not fit the method, no data where it needs some, parameters that do not fit the pool, a result
    /// that is not finite, cancellation.
    pub fn run(&self, params: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
        self.check(pool.base().is_some(), pool.experts().len())?;
        if cx.data.is_none() {
            self.check_without_data()?;
        }
        let fused = (self.fuse)(params, pool, cx)?;
        // Cancelled while it said its last.
        cx.cancel.check()?;
        Ok(fused)
    }

    /// Whether the method, so set, looks at test inputs: its results on the test split are transductive. By convention the
    /// parameter that says so is `data`.
    #[must_use]
    pub fn is_transductive(&self, params: &ParamSet) -> bool {
        let test = |value: &Value| matches!(value, Value::Text(data) if data == "test");
        self.needs.data != Examples::None && params.get("data").is_some_and(test)
    }

    /// Whether the method, so set, looks at images of the validation split: unless it looks at test inputs, every method does that
    /// looks at data.
    #[must_use]
    pub fn looks_at_validation(&self, params: &ParamSet) -> bool {
        self.needs.data != Examples::None && !self.is_transductive(params)
    }

    /// Names the method in an error about one of its parameters.
    pub(super) fn typed<T>(&self, params: Result<T, ParamError>) -> Result<T, FusionError> {
        params.map_err(|source| FusionError::Param { method: self.name, source })
    }

    /// The data that [`Needs::data`] asks for.
    ///
    /// # Errors
    /// When there are none.
    pub(super) fn data<'a>(&self, cx: &Context<'a>) -> Result<&'a dyn Calibration, FusionError> {
        cx.data.ok_or(FusionError::NeedsData { method: self.name, needed: self.needs.data.words() })
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

/// What a method returns.
#[derive(Debug, Clone)]
pub enum Fused {
    /// A linear combination that has not been computed yet; see [`LinearPlan`].
    Linear(LinearPlan),
    /// Weights of the same architecture.
    Weights(StateDict),
    /// A model for each expert's task, made when it is asked for.
    PerTask(PerTask),
    /// Every expert runs, outputs are combined.
    Ensemble(EnsembleRule),
    /// The experts' changes stay apart, behind routers that look at each input.
    Mixture(Mixture),
}

impl Fused {
    /// What it takes to keep it, in bytes of memory: about, and of the pool's own models nothing.
    #[must_use]
    pub fn bytes(&self, pool: &Pool) -> u64 {
        let numbers = |weights: &StateDict| -> usize {
            weights.tensors().iter().filter_map(Tensor::values).map(<[f32]>::len).sum()
        };
        match self {
            Self::Linear(plan) => 4 * plan.coefficients.iter().map(Vec::len).sum::<usize>() as u64,
            Self::Weights(weights) => 4 * numbers(weights) as u64,
            Self::PerTask(models) => {
                let Storage { shared, own, .. } = models.storage(pool);
                shared + own
            }
            Self::Ensemble(_) => 0,
            Self::Mixture(mixture) => mixture.bytes(),
        }
    }
}
