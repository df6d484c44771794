//! What can go wrong between a preset and its report.

use crate::cancel::Cancelled;
use crate::fusion::FusionError;
use crate::models::ModelError;
use crate::params::closest;
use crate::tasks::preprocess::PreprocessError;
use crate::weights::WeightsError;
use crate::zoo::ZooError;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum EngineError {
    #[error("no expert `{name}` in the zoo{}", did_you_mean(.closest.as_deref()))]
    UnknownExpert { name: String, closest: Option<String> },
    #[error("no task `{name}` in the zoo{}", did_you_mean(.closest.as_deref()))]
    UnknownTask { name: String, closest: Option<String> },
    #[error("no task to evaluate")]
    NoTasks,
    #[error("`limit` must be at least 1")]
    ZeroLimit,
    #[error("unknown device `{name}`: give auto, cpu, vulkan, vulkan:N, cuda or cuda:N")]
    UnknownDevice { name: String },
    #[error("{device} cannot be used: {reason}")]
    DeviceUnavailable { device: String, reason: String },
    #[error("the device failed: {0}")]
    Device(String),
    #[error("the fused model's output on `{task}` is not finite")]
    NotFiniteOutput { task: String },
    #[error("{method} keeps its members or experts apart: there is no single set of weights to write")]
    NoWeights { method: &'static str },
    #[error("two models are called `{name}`")]
    NameTwice { name: String },
    #[error("{} MB of memory are needed at least, {} MB are allowed", .needed.div_ceil(1_000_000), .allowed / 1_000_000)]
    Memory { needed: u64, allowed: u64 },
    #[error("{method} needs the whole model: its parameters cannot differ by layer or tensor")]
    OneRecipe { method: &'static str },
    #[error("the recipe does not fit the models: {reason}")]
    Recipe { reason: String, hint: &'static str },
    #[error("vocabularies of different sizes: `{tensor}` has {rows} rows in {model} and {other_rows} in {other}")]
    Vocabulary { tensor: String, model: String, rows: usize, other: String, other_rows: usize },
    #[error("{label}: {reason}")]
    Tokenizer { label: String, reason: String },
    #[error("{label} does not say how it was made: {reason}")]
    NoRecord { label: String, reason: String },
    #[error("{method} gives one model per task, which do not fit into one file, {}", .path.display())]
    SeveralModels { method: &'static str, path: PathBuf },
    #[error("no tensor of {label} matches `{pattern}`")]
    NothingMatches { pattern: String, label: String },
    #[error("there is no base to compare with")]
    NothingToCompare,
    #[error("internal error: {0}")]
    Panic(String),
    #[error(transparent)]
    Fusion(#[from] FusionError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Zoo(#[from] ZooError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn did_you_mean(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

impl EngineError {
    pub(super) fn unknown_expert<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self::UnknownExpert { name: name.to_owned(), closest: closest(name, known).map(str::to_owned) }
    }

    pub(super) fn unknown_task<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self::UnknownTask { name: name.to_owned(), closest: closest(name, known).map(str::to_owned) }
    }

    /// Whether the work was stopped on request, which is not a failure.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_) | Self::Fusion(FusionError::Cancelled(_)))
    }

    /// Whether it may be the device that failed, so that another might do.
    #[must_use]
    pub fn is_by_device(&self) -> bool {
        matches!(self, Self::Panic(_) | Self::Device(_) | Self::Model(ModelError::Device { .. }))
    }

    /// Whether what was asked for is wrong, not what came of it.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::UnknownExpert { .. }
            | Self::UnknownTask { .. }
            | Self::NoTasks
            | Self::ZeroLimit
            | Self::UnknownDevice { .. }
            | Self::NoWeights { .. }
            | Self::NameTwice { .. }
            | Self::Memory { .. }
            | Self::OneRecipe { .. }
            | Self::Recipe { .. }
            | Self::Vocabulary { .. }
            | Self::NoRecord { .. }
            | Self::SeveralModels { .. }
            | Self::NothingMatches { .. }
            | Self::NothingToCompare => true,
            Self::Fusion(error) => error.is_input(),
            Self::Weights(error) => error.is_input(),
            _ => false,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownExpert { .. } => "`fusebench checkpoints` lists them".to_owned(),
            Self::UnknownTask { .. } | Self::NoTasks => "`fusebench tasks` lists them".to_owned(),
            Self::ZeroLimit => "leave it out to evaluate every sample".to_owned(),
            Self::UnknownDevice { .. } | Self::DeviceUnavailable { .. } => {
                "`fusebench doctor` shows what was found, and why something was not".to_owned()
            }
            Self::Device(_) => "try again with `--device cpu`".to_owned(),
            Self::NotFiniteOutput { .. } => "use smaller coefficients".to_owned(),
            Self::NoWeights { .. } => "choose a merging method, or export the recipe instead".to_owned(),
            Self::NameTwice { .. } => "give one of them another name, NAME=PLACE; `base` is the base's".to_owned(),
            Self::Memory { .. } => {
                "the largest tensor must fit, and all of the model for some methods: raise --memory".to_owned()
            }
            Self::OneRecipe { .. } => "give all layers the same parameters, or choose another method".to_owned(),
            Self::Recipe { hint, .. } => (*hint).to_owned(),
            Self::Vocabulary { .. } => {
                "say what to do: --vocab truncate (the rows that all have), union (all tokens of all \
                 models) or backbone (embeddings and head of the base, the rest is merged)"
                    .to_owned()
            }
            Self::Tokenizer { .. } => {
                "models whose tokens are to be matched need a tokenizer.json, or a vocab.json or vocab.txt".to_owned()
            }
            Self::NoRecord { .. } => "only what `fusebench merge` has written can be made again".to_owned(),
            Self::SeveralModels { .. } => "name a folder: it gets a file for each expert".to_owned(),
            Self::NothingMatches { .. } => "`*` stands for any characters: --filter '*.q_proj.*'".to_owned(),
            Self::NothingToCompare => "name the base first, then its experts".to_owned(),
            Self::Panic(_) => "this is a bug in fusebench; the log has the details".to_owned(),
            Self::Fusion(error) => error.hint().to_owned(),
            Self::Model(error) => error.hint().to_owned(),
            Self::Zoo(error) => error.hint().to_owned(),
            Self::Weights(error) => error.hint().to_owned(),
            Self::Preprocess(_) => "the task's images are not what this model was trained on".to_owned(),
            Self::Cancelled(_) => String::new(),
        }
    }
}
