//! Merging checkpoints on disk into a checkpoint on disk, of any size: opened, planned, fused window by window, written
//! beside and renamed, reproducible from its own metadata.

mod card;
mod config;
#[cfg(test)]
mod document_tests;
mod inputs;
mod layers;
mod matching;
mod mixture;
mod parts;
mod pieces;
mod plan;
mod provenance;
mod reproduce;
mod resolve;
mod rows;
mod run;
#[cfg(test)]
mod tests;
mod tokenizer;
mod vocabulary;

pub use inputs::{Input, Inputs, Options};
pub(super) use inputs::{open, open_all};
pub use parts::Part;
pub use plan::{MergePlan, default_memory};
pub use provenance::{Parent, Provenance};
pub use reproduce::{Comparison, Difference, reproduce};
pub use run::{Merged, Work, merge, merge_all};
pub(super) use tokenizer::Vocabulary;
pub use vocabulary::Vocab;
pub(super) use vocabulary::is_table;

use super::document::Document;
use crate::fusion::Method;
use crate::params::ParamSet;
use crate::weights::DType;
use serde::{Deserialize, Serialize};

/// What to do with results that are not finite, or would not be in the dtype in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotFinite {
    /// Fail, and name the tensor.
    #[default]
    Error,
    /// Write them as they are.
    Keep,
    /// Write zeros.
    Zero,
}

impl MergeJob {
    /// What is done, in a few words.
    #[must_use]
    pub fn title(&self) -> &'static str {
        let mixture = self.document.as_ref().is_some_and(|document| document.mixture.is_some());
        if mixture { "Mixture of experts" } else { self.method.name }
    }
}

/// How models are to be merged.
#[derive(Debug, Clone)]
pub struct MergeJob {
    pub method: &'static Method,
    pub params: ParamSet,
    /// The expert whose model is made, of a method with one model per task.
    pub task: Option<String>,
    /// The dtype of all float tensors; each one's own in the first model when missing.
    pub dtype: Option<DType>,
    pub not_finite: NotFinite,
    /// Most bytes of tensors in a file; one file when missing.
    pub shard: Option<u64>,
    /// Bytes of memory that may be used.
    pub memory: u64,
    /// What becomes of vocabularies of different sizes.
    pub vocab: Option<Vocab>,
    /// A recipe that is more than a method with one set of parameters.
    pub document: Option<Document>,
}
