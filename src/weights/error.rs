//! What can be wrong with a checkpoint.

use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum WeightsError {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{label}: not a usable safetensors file: {reason}")]
    Malformed { label: String, reason: String },
    #[error("{label}: tensor `{tensor}` is missing")]
    MissingTensor { label: String, tensor: String },
    #[error("{label}: tensor `{tensor}` has dtype {dtype}, which fusebench cannot compute with")]
    UnsupportedDType { label: String, tensor: String, dtype: String },
    #[error("{label}: tensor `{tensor}` holds {value} at element {index}")]
    NotFinite { label: String, tensor: String, index: usize, value: f32 },
    #[error("{label}: tensor `{tensor}` has shape {got:?}, expected {expected:?}")]
    Shape { label: String, tensor: String, got: Vec<usize>, expected: Vec<usize> },
    #[error("{path}: {reason}")]
    Folder { path: PathBuf, reason: String },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
}

impl WeightsError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check that the path exists and can be read",
            Self::Malformed { .. } => "the file is damaged or incomplete: download or copy it again",
            Self::MissingTensor { .. } => "the checkpoint is of another architecture, or was saved in part",
            Self::UnsupportedDType { .. } => "save the checkpoint as float32, float16 or bfloat16",
            Self::NotFinite { .. } => "the checkpoint is broken (training diverged?): use another one",
            Self::Shape { .. } => "all checkpoints of a pool must be fine-tuned from the same base",
            Self::Folder { .. } => "give a folder with config.json and model.safetensors, or one .safetensors file",
            Self::Write { .. } => "check that the folder exists, is writable and has space left",
        }
    }
}
