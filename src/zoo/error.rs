//! What can be wrong with a zoo.

use crate::cancel::Cancelled;
use crate::fusion::FusionError;
use crate::models::ModelError;
use crate::tasks::preprocess::PreprocessError;
use crate::weights::WeightsError;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ZooError {
    #[error("the zoo lacks {file}{}", .dir.as_ref().map_or_else(String::new, |dir| format!(" (looked in {})", dir.display())))]
    Missing { file: String, dir: Option<PathBuf> },
    #[error("training data are not part of the binary ({file})")]
    NotEmbedded { file: String },
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{file} of the zoo is damaged: {reason}")]
    Damaged { file: String, reason: String },
    #[error("the zoo has no task `{task}`")]
    UnknownTask { task: String },
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("the zoo's models do not fit together: {0}")]
    Pool(#[from] FusionError),
    #[error("the zoo has a task `{task}` already")]
    TaskTaken { task: String },
    #[error("{path} is one of the folders that are read")]
    SameFolder { path: PathBuf },
    #[error("the name `{name}` is taken by another model")]
    NameTaken { name: String },
    #[error("the model cannot stand beside the zoo's: {0}")]
    Guest(FusionError),
    #[error("the zoo's model: {0}")]
    Model(#[from] ModelError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    #[error("training of {stage} diverged at step {step}: the loss is not finite")]
    Diverged { stage: String, step: usize },
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl ZooError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => {
                "give the folder that holds tasks, checkpoints and data (assets/zoo in the repository), or rebuild it with `fusebench zoo train`"
            }
            Self::NotEmbedded { .. } => "run from a checkout of the repository and give its folder assets/zoo",
            Self::Io { .. } => "check that the path exists and can be read",
            Self::Damaged { .. } => {
                "restore the file from the repository, or rebuild the zoo with `fusebench zoo train`"
            }
            Self::UnknownTask { .. } => "`fusebench tasks` lists them",
            Self::TaskTaken { .. } => "give it another id in data/tasks.json, and its folder that name",
            Self::SameFolder { .. } => "name another folder with --out",
            Self::Weights(error) => error.hint(),
            Self::Pool(error) => error.hint(),
            Self::NameTaken { .. } => "give it another: --with NAME=WHERE",
            Self::Guest(_) => {
                "only models of the base's architecture can be evaluated here; `fusebench inspect` looks at any"
            }
            Self::Model(error) => error.hint(),
            Self::Preprocess(_) => "images must have the size that config.json says: scale them before",
            Self::Diverged { .. } => "use a smaller learning rate or another seed",
            Self::Cancelled(_) => "finished stages are kept; the same command goes on after them",
        }
    }
}
