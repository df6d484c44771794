//! What can go wrong between a checkpoint and the model that should run it.

use thiserror::Error;

#[derive(Debug, Error)]
pub enum ModelError {
    #[error("config.json: {reason}")]
    Config { reason: String },
    #[error("tensor `{tensor}` is missing")]
    MissingTensor { tensor: String },
    #[error("tensor `{tensor}` is not part of a {model} with {layers} layers")]
    UnknownTensor { tensor: String, model: &'static str, layers: usize },
    #[error("tensor `{tensor}` has shape {got:?}, the configuration asks for {expected:?}")]
    Shape { tensor: String, got: Vec<usize>, expected: Vec<usize> },
    #[error("tensor `{tensor}` has {got} values, the configuration asks for {expected}")]
    Length { tensor: String, got: usize, expected: usize },
    #[error("tensor `{tensor}` could not be read back from the device: {reason}")]
    Device { tensor: String, reason: String },
}

impl ModelError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Config { .. } => "use the config.json that was saved with the checkpoint",
            Self::MissingTensor { .. } | Self::UnknownTensor { .. } => {
                "the checkpoint is of another architecture or was saved in part; `fusebench checkpoints` lists its tensors"
            }
            Self::Shape { .. } | Self::Length { .. } => "the checkpoint and its config.json do not belong together",
            Self::Device { .. } => "the device failed; try `--device cpu`",
        }
    }
}
