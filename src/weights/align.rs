//! Making checkpoints of one architecture comparable that were saved in different ways.
//!
//! The same vision tower is saved as `vision_model.encoder.…` or as `encoder.…` (transformers 5), alone or within a full
//! CLIP; backbones drop `transformer.` or `model.`; buffers and tied weights are stored by some and not by others.

use super::{Checkpoint, TensorInfo};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// What a library may put before all names of a model, or leave out.
const PREFIXES: [&str; 7] =
    ["vision_model.", "transformer.", "model.", "bert.", "roberta.", "vision_model.vision_model.", "base_model.model."];

/// What a full CLIP has beside its vision tower.
const BESIDE_TOWER: [&str; 5] = ["text_model.", "text_projection.", "visual_projection.", "logit_scale", "logit_bias"];

/// Buffers that are computed, not trained: dropped unless every model has them.
const COMPUTED: [&str; 5] =
    ["position_ids", ".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq", "relative_position_index"];

/// A weight and the one that it is when it is tied.
const TIED: [(&str, &[&str]); 4] = [
    (
        "lm_head.weight",
        &["model.embed_tokens.weight", "transformer.wte.weight", "shared.weight", "wte.weight", "embed_tokens.weight"],
    ),
    ("encoder.embed_tokens.weight", &["shared.weight"]),
    ("decoder.embed_tokens.weight", &["shared.weight"]),
    (
        "cls.predictions.decoder.weight",
        &["bert.embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight"],
    ),
];

/// How a model stores a weight that others tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tied {
    /// Not stored: it is its partner.
    Implied,
    /// Stored, with its partner's very values.
    Stored,
    /// Stored, with values of its own.
    Untied,
}

/// A weight and the one that it is, or could be, tied to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tie {
    pub weight: String,
    pub partner: String,
    pub state: Tied,
}

/// The weights of a model that are tied in models like it. One that is not stored counts only where the configuration
/// says that embeddings are tied, since many models have no head at all.
#[must_use]
pub fn ties(model: &Checkpoint) -> Vec<Tie> {
    let says_tied = model.ties_embeddings();
    let tie = |(weight, partners): &(&str, &[&str])| {
        let partner = partners.iter().find(|partner| model.get(partner).is_some())?;
        let state = match model.get(weight) {
            None if says_tied => Tied::Implied,
            None => return None,
            Some(_) if same(model, weight, partner) => Tied::Stored,
            Some(_) => Tied::Untied,
        };
        Some(Tie { weight: (*weight).to_owned(), partner: (*partner).to_owned(), state })
    };
    TIED.iter().filter_map(tie).collect()
}

/// Whether two tensors hold the same; true where one of them is missing.
fn same(model: &Checkpoint, a: &str, b: &str) -> bool {
    match (model.get(a), model.get(b)) {
        (Some(a), Some(b)) => a.info.dtype == b.info.dtype && a.info.shape == b.info.shape && a.raw() == b.raw(),
        _ => true,
    }
}

/// Brings all models to the names of the smallest of them: takes vision towers out of full CLIPs, adds or removes
/// prefixes, drops computed buffers that not all have, and resolves tied weights (kept once where all tie them, given to
/// everybody where one does not). Models that do not fit after that are left as they are: the pool says what is wrong.
///
/// Returns what was done, in sentences.
pub fn align(models: &mut [Checkpoint]) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(smallest) = (0..models.len()).min_by_key(|&at| trained(&models[at]).len()) else { return notes };
    let reference = models[smallest].clone();
    for model in models.iter_mut() {
        if let Some((renamed, note)) = renamed(model, &reference) {
            notes.push(format!("{}: {note}", model.label()));
            *model = renamed;
        }
    }
    drop_computed(models);
    tie(models, &mut notes);
    notes
}

fn trained(model: &Checkpoint) -> Vec<&TensorInfo> {
    model.tensors().iter().filter(|info| !is_computed(&info.name)).collect()
}

fn is_computed(name: &str) -> bool {
    COMPUTED.iter().any(|end| name.ends_with(end))
}

fn is_tied(name: &str) -> bool {
    TIED.iter().any(|(tied, _)| *tied == name)
}

/// `model` under the names of `reference`, if it has all of them but for a prefix and nothing else that matters.
fn renamed(model: &Checkpoint, reference: &Checkpoint) -> Option<(Checkpoint, String)> {
    // Tied weights come and go, whatever the prefix.
    let wanted: Vec<&str> =
        trained(reference).into_iter().map(|info| info.name.as_str()).filter(|name| !is_tied(name)).collect();
    if wanted.iter().all(|name| model.get(name).is_some()) {
        let extra = |info: &&TensorInfo| reference.get(&info.name).is_none() && !is_computed(&info.name);
        let extras: Vec<&TensorInfo> = model.tensors().iter().filter(extra).collect();
        let tower = !extras.is_empty() && extras.iter().all(|info| is_beside_tower(&info.name));
        let keep =
            |name: &str| Some(name.to_owned()).filter(|name| !is_beside_tower(name) || reference.get(name).is_some());
        return tower.then(|| (model.renamed(keep), "only the vision tower is used".to_owned()));
    }
    let longer = |prefix: &&&str| wanted.iter().all(|name| model.get(&format!("{prefix}{name}")).is_some());
    let shorter = |prefix: &&&str| {
        wanted.iter().all(|name| name.strip_prefix(**prefix).is_some_and(|name| model.get(name).is_some()))
    };
    let strip = |prefix: &str| {
        let prefix = prefix.to_owned();
        move |name: &str| match name.strip_prefix(prefix.as_str()) {
            Some(rest) => Some(rest.to_owned()),
            None => Some(name.to_owned()).filter(|name| !is_beside_tower(name)),
        }
    };
    if let Some(prefix) = PREFIXES.iter().find(longer) {
        return Some((model.renamed(strip(prefix)), format!("read without the prefix `{prefix}`")));
    }
    let prefix = PREFIXES.iter().find(shorter)?;
    let add = |name: &str| Some(format!("{prefix}{name}")).filter(|_| !is_beside_tower(name));
    Some((model.renamed(add), format!("read with the prefix `{prefix}`")))
}

fn is_beside_tower(name: &str) -> bool {
    BESIDE_TOWER.iter().any(|start| name.starts_with(start))
}

/// Drops computed buffers that one of the models lacks.
fn drop_computed(models: &mut [Checkpoint]) {
    let computed =
        models.iter().flat_map(|model| model.tensors()).map(|info| &info.name).filter(|name| is_computed(name));
    let everywhere = |name: &String| models.iter().all(|model| model.get(name).is_some());
    let lonely: HashSet<String> = computed.filter(|name| !everywhere(name)).cloned().collect();
    for model in models.iter_mut().filter(|_| !lonely.is_empty()) {
        *model = model.renamed(|name| Some(name.to_owned()).filter(|name| !lonely.contains(name)));
    }
}

/// Tied weights: dropped where every model that stores them stores the partner's values; given to the models that leave
/// them out where another has untied them.
fn tie(models: &mut [Checkpoint], notes: &mut Vec<String>) {
    for (tied, partners) in TIED {
        let stored = models.iter().filter(|model| model.get(tied).is_some()).count();
        let Some(partner) = partners.iter().find(|partner| models.iter().all(|model| model.get(partner).is_some()))
        else {
            continue;
        };
        let equal = |model: &Checkpoint| same(model, tied, partner);
        if stored == 0 {
            continue;
        }
        if models.iter().all(equal) {
            // Where all store both and no configuration says that they are tied, both are wanted.
            if stored < models.len() || models.iter().any(Checkpoint::ties_embeddings) {
                for model in models.iter_mut() {
                    *model = model.renamed(|name| Some(name.to_owned()).filter(|name| name != tied));
                }
                notes.push(format!("`{tied}` is tied to `{partner}` and is not stored twice"));
            }
            continue;
        }
        for model in models.iter_mut().filter(|model| model.get(tied).is_none()) {
            notes.push(format!("{}: `{tied}` is tied to `{partner}`, another model has untied it", model.label()));
            *model = model.with_alias(partner, tied);
        }
    }
}

impl Checkpoint {
    /// The same tensors under other names; those for which `name` gives nothing are left out.
    #[must_use]
    pub fn renamed(&self, name: impl Fn(&str) -> Option<String>) -> Self {
        let tensors =
            self.tensors().iter().filter_map(|info| Some(TensorInfo { name: name(&info.name)?, ..info.clone() }));
        self.with_tensors(tensors.collect())
    }

    /// With the tensor `existing` under the name `alias` too.
    fn with_alias(&self, existing: &str, alias: &str) -> Self {
        let mut tensors = self.tensors().to_vec();
        if let Some(found) = self.get(existing) {
            tensors.push(TensorInfo { name: alias.to_owned(), ..found.info.clone() });
        }
        self.with_tensors(tensors)
    }

    /// Whether the `config.json` beside the checkpoint says that input and output embeddings are one.
    #[must_use]
    pub fn ties_embeddings(&self) -> bool {
        let config = self.folder().and_then(|folder| std::fs::read(folder.join("config.json")).ok());
        let config = config.and_then(|bytes| serde_json::from_slice::<HashMap<String, serde_json::Value>>(&bytes).ok());
        config.is_some_and(|config| config.get("tie_word_embeddings") == Some(&serde_json::Value::Bool(true)))
    }
}

#[cfg(test)]
mod tests;
