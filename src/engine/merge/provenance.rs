//! How a checkpoint was made: what its metadata says, and reading that again.

use super::{Inputs, MergeJob, NotFinite, Vocab};
use crate::engine::EngineError;
use crate::engine::document::Document;
use crate::fusion::find;
use crate::params::ParamSet;
use crate::weights::{Checkpoint, DType, Location};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Keys of the safetensors metadata.
const RECIPE: &str = "fusebench.recipe";
const PARENTS: &str = "fusebench.parents";
/// As long as every fingerprint.
const UNKNOWN: &str = "????????????????????????????????";

/// A model that was merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub name: String,
    /// An absolute path or `ORG/NAME@COMMIT`; `MODEL+ADAPTER` for an adapter.
    pub from: String,
    /// The files' own SHA-256, where the hub cache knows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sha256: Vec<String>,
    /// Of the weights that were read, whatever files they were in; see [`crate::weights::fingerprint`].
    pub fingerprint: String,
}

/// A recipe as the metadata has it: [`crate::engine::Recipe`] and what a file needs beside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    pub method: String,
    pub params: ParamSet,
    pub experts: Vec<String>,
    /// The expert whose model it is, of a method with one model per task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    #[serde(default)]
    pub nan: NotFinite,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocab: Option<Vocab>,
    /// What is more than a method with one set of parameters; `params` is empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
}

/// Recipe and parents.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    pub recipe: Recorded,
    /// The base first, if there is one.
    pub parents: Vec<Parent>,
    pub has_base: bool,
}

impl Provenance {
    /// Of a merge that has not begun: fingerprints are not known yet, but as long as they will be.
    pub(super) fn of(job: &MergeJob, inputs: &Inputs) -> Self {
        let parent = |input: &super::Input| {
            let places: Vec<String> =
                [Some(&input.location), input.adapter.as_ref()].into_iter().flatten().map(place).collect();
            let sha256 = input.checkpoint.paths().filter_map(blob_hash).collect();
            Parent { name: input.name.clone(), from: places.join("+"), sha256, fingerprint: UNKNOWN.to_owned() }
        };
        Self {
            recipe: Recorded {
                method: job.method.id.to_owned(),
                params: job.params.clone(),
                task: job.task.clone(),
                experts: inputs.experts.iter().map(|expert| expert.name.clone()).collect(),
                dtype: job.dtype.map(|dtype| dtype.to_string()),
                nan: job.not_finite,
                shard: job.shard,
                vocab: job.vocab,
                document: job.document.clone(),
            },
            parents: inputs.all().map(parent).collect(),
            has_base: inputs.base.is_some(),
        }
    }

    /// With the parents' fingerprints, base first.
    pub(super) fn with_fingerprints(mut self, fingerprints: Vec<String>) -> Self {
        self.parents.iter_mut().zip(fingerprints).for_each(|(parent, known)| parent.fingerprint = known);
        self
    }

    /// For the header of the result.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("format".to_owned(), "pt".to_owned()),
            (RECIPE.to_owned(), json!(self.recipe).to_string()),
            (PARENTS.to_owned(), json!(self.parents).to_string()),
        ])
    }

    /// What a checkpoint says of how it was made.
    ///
    /// # Errors
    /// A checkpoint that fusebench has not merged, or whose record cannot be read.
    pub fn read(checkpoint: &Checkpoint) -> Result<Self, EngineError> {
        let wrong = |reason: String| EngineError::NoRecord { label: checkpoint.label().to_owned(), reason };
        let text =
            |key: &str| checkpoint.metadata().get(key).ok_or_else(|| wrong(format!("its metadata has no `{key}`")));
        let recipe: Recorded = serde_json::from_str(text(RECIPE)?)
            .map_err(|error| wrong(format!("`{RECIPE}` cannot be read: {error}")))?;
        let parents: Vec<Parent> = serde_json::from_str(text(PARENTS)?)
            .map_err(|error| wrong(format!("`{PARENTS}` cannot be read: {error}")))?;
        let has_base = parents.len() == recipe.experts.len() + 1;
        if !has_base && parents.len() != recipe.experts.len() {
            return Err(wrong("recipe and parents do not belong together".to_owned()));
        }
        Ok(Self { recipe, parents, has_base })
    }

    /// The job that does it again.
    ///
    /// # Errors
    /// A method or parameters that this version does not have.
    pub(super) fn job(&self, memory: u64) -> Result<MergeJob, EngineError> {
        let method = find(&self.recipe.method)?;
        let given = self.recipe.params.iter().map(|(name, value)| (name, value.clone()));
        let params = ParamSet::checked(method.specs, given)
            .map_err(|source| crate::fusion::FusionError::Param { method: method.id, source })?;
        let dtype = self.recipe.dtype.as_deref().and_then(DType::parse_float);
        let Recorded { task, nan, shard, vocab, document, .. } = self.recipe.clone();
        let params = if document.is_some() { ParamSet::default() } else { params };
        Ok(MergeJob { method, params, task, dtype, not_finite: nan, shard, memory, vocab, document })
    }
}

/// Where somebody finds the same again.
fn place(location: &Location) -> String {
    let path = || location.path.canonicalize().unwrap_or_else(|_| location.path.clone()).display().to_string();
    let id = |commit: &String| {
        let id = location.given.split('@').next().unwrap_or(&location.given);
        format!("{id}@{commit}")
    };
    location.commit.as_ref().map_or_else(path, id)
}

/// The SHA-256 of a file in the hub cache: snapshots link to blobs that are named after it.
fn blob_hash(path: &Path) -> Option<String> {
    let target = path.canonicalize().ok()?;
    let in_blobs = target.parent()?.file_name()? == "blobs";
    let name = target.file_name()?.to_str()?;
    let is_hash = name.len() == 64 && name.chars().all(|c| c.is_ascii_hexdigit());
    (in_blobs && is_hash).then(|| name.to_owned())
}
