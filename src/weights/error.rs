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
    #[error("{path} is missing: {missing} of {shards} shards, with {tensors} tensors, are not there")]
    MissingShard { path: PathBuf, missing: usize, shards: usize, tensors: usize },
    #[error("{path} has changed since it was opened")]
    Changed { path: PathBuf },
    #[error("{path} exists already")]
    Exists { path: PathBuf },
    #[error("another fusebench is writing {path}")]
    Busy { path: PathBuf },
    #[error("no room for {path}: {} MB are needed, {} MB are free", .needed.div_ceil(1_000_000), .free / 1_000_000)]
    Full { path: PathBuf, needed: u64, free: u64 },
    #[error("{path} is a PyTorch pickle, which can run any code when it is read")]
    Pickle { path: PathBuf },
    #[error("{path} is an adapter, not a model")]
    Adapter { path: PathBuf },
    #[error("{id}: {reason}")]
    NotCached { id: String, reason: String },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
}

/// Converts where PyTorch is installed, without running the pickle's code.
const PICKLE_HINT: &str = "convert it: python -c \"import sys, torch, safetensors.torch as s; \
    d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); \
    s.save_file({k: v.clone().contiguous() for k, v in d.items()}, sys.argv[2], {'format': 'pt'})\" \
    pytorch_model.bin model.safetensors";

impl WeightsError {
    /// Whether what was given is wrong: it is not there, or something else than a model. What is damaged was meant.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            Self::Folder { .. }
            | Self::Exists { .. }
            | Self::Pickle { .. }
            | Self::Adapter { .. }
            | Self::NotCached { .. }
            | Self::Shape { .. } => true,
            _ => false,
        }
    }

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
            Self::MissingShard { .. } => "the download is incomplete: fetch the missing files again",
            Self::Changed { .. } => "let whatever writes it finish, then start again",
            Self::Exists { .. } => "choose another --out, or remove it first",
            Self::Busy { .. } => "wait for it to finish, or choose another --out",
            Self::Full { .. } => "free some space, choose another disk, or write half floats: --dtype bf16",
            Self::Pickle { .. } => PICKLE_HINT,
            Self::Adapter { .. } => "name it together with its model: MODEL+ADAPTER",
            Self::NotCached { .. } => "give a path, or fetch it first: hf download ORG/NAME",
            Self::Write { .. } => "check that the folder exists, is writable and has space left",
        }
    }
}
