//! What can go wrong while models are fused.

use crate::cancel::Cancelled;
use crate::params::ParamError;
use crate::weights::{DType, WeightsError};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum FusionError {
    #[error("{model}: tensor `{tensor}` is missing; the base has it")]
    MissingTensor { model: String, tensor: String },
    #[error("{model}: tensor `{tensor}` is not in the base")]
    ExtraTensor { model: String, tensor: String },
    #[error("{model}: tensor `{tensor}` has shape {got:?}, the base has {expected:?}")]
    ShapeMismatch { model: String, tensor: String, got: Vec<usize>, expected: Vec<usize> },
    #[error("{model}: tensor `{tensor}` is {got}, the base's is {expected}: a number cannot be fused with a buffer")]
    KindMismatch { model: String, tensor: String, got: DType, expected: DType },
    #[error("{method} needs a base model, and the pool has none")]
    NeedsBase { method: &'static str },
    #[error("{method} looks at data ({needed}), and here there are only models")]
    NeedsData { method: &'static str, needed: &'static str },
    #[error("{task}: {reason}")]
    Data { task: String, reason: String },
    #[error("{method} needs {needed}, the pool has {got} experts")]
    ModelCount { method: &'static str, needed: String, got: usize },
    #[error("unknown method `{name}`{}", .closest.as_ref().map_or_else(String::new, |name| format!(", did you mean `{name}`?")))]
    UnknownMethod { name: String, closest: Option<String> },
    #[error("{method}: {source}")]
    Param { method: &'static str, source: ParamError },
    #[error("{method}: {reason}")]
    Unusable { method: &'static str, reason: String },
    #[error("the fused tensor `{tensor}` is not finite")]
    NotFinite { tensor: String },
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl FusionError {
    /// Whether what was asked for is wrong, not what came of it.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Data { .. } | Self::NotFinite { .. } | Self::Cancelled(_) => false,
            Self::Weights(error) => error.is_input(),
            _ => true,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::MissingTensor { .. }
            | Self::ExtraTensor { .. }
            | Self::ShapeMismatch { .. }
            | Self::KindMismatch { .. } => {
                "all models of a pool must be fine-tuned from the same base; compare them with `fusebench checkpoints`"
            }
            Self::NeedsBase { .. } => "add the pretrained model that the experts were fine-tuned from",
            Self::NeedsData { .. } => "`fusebench run` and the explorer have data; choose a method without data here",
            Self::Data { .. } => "`fusebench tasks` lists the tasks and how many examples each has",
            Self::ModelCount { .. } => "choose other experts, or another method",
            Self::UnknownMethod { .. } => "`fusebench methods` lists them",
            Self::Param { .. } | Self::Unusable { .. } => {
                "`fusebench methods` lists every method's parameters and ranges"
            }
            Self::NotFinite { .. } => "use smaller coefficients, or check the inputs for NaN",
            Self::Weights(error) => error.hint(),
            Self::Cancelled(_) => "",
        }
    }
}
