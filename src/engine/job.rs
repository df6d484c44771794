//! What the engine is asked to do.

use super::JobKind;
use crate::fusion::{Method, find};
use crate::params::ParamSet;
use crate::tasks::{Corruption, Data, Split};
use serde::{Deserialize, Serialize};

/// A fusion method with its parameters and the experts it combines. Together with the zoo it reproduces the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Id of the method in the registry.
    pub method: String,
    pub params: ParamSet,
    /// Names of the pool's experts, in the order that per-expert parameters follow.
    pub experts: Vec<String>,
}

/// What marks results of methods that adapted to test inputs.
pub const TRANSDUCTIVE: &str = "transductive";

/// What marks results on the images that the method has learned from.
pub const FITTED: &str = "fitted to this split";

impl Recipe {
    /// Whether a task's expert is among those that are combined; it has the task's name.
    #[must_use]
    pub fn has_seen(&self, task: &str) -> bool {
        self.experts.iter().any(|expert| expert == task)
    }

    /// Whether its method looks at test inputs.
    #[must_use]
    pub fn is_transductive(&self) -> bool {
        find(&self.method).is_ok_and(|method| method.is_transductive(&self.params))
    }

    /// Whether its method learns from images of this split, test inputs apart: what it is worth there is not what it is worth on
    /// others.
    #[must_use]
    pub fn is_fitted_to(&self, split: Split) -> bool {
        find(&self.method).is_ok_and(|method| is_fitted(method, &self.params, split))
    }
}

/// [`Recipe::is_fitted_to`], for a method at hand.
#[must_use]
pub fn is_fitted(method: &Method, params: &ParamSet, split: Split) -> bool {
    split == Split::Validation && method.looks_at_validation(params)
}

impl Job {
    /// What it is evaluated on.
    #[must_use]
    pub fn data(&self) -> Data {
        Data { split: self.split, corruption: self.corruption }
    }
}

/// One recipe, fused and evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub kind: JobKind,
    pub recipe: Recipe,
    /// Ids of the tasks to evaluate, in the order shown.
    pub tasks: Vec<String>,
    pub split: Split,
    /// At most so many samples a task, the same ones in every run; all when missing.
    pub limit: Option<usize>,
    /// What is done to the images that it is evaluated on; those that a method looks at stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corruption: Option<Corruption>,
}
