//! Merging recipes as people write them: mergekit's YAML, FusionBench's YAML, and the same things in TOML with the
//! methods and parameters of fusebench.
//!
//! Whatever a file looks like, it becomes [`Document`]s: one merge each, parameters by model, slice, module, layer and
//! tensor name. Reading checks everything that can be checked without the models; [`super::merge`] does the rest.

mod chain;
mod check;
mod error;
mod export;
mod fusionbench;
mod load;
mod mergekit;
mod mixture;
mod node;
mod peer;
mod plain;
mod recipe;
mod reference;
mod schema;
mod setting;
#[cfg(test)]
mod tests;
mod tokens;
mod toml;
mod yaml;

pub(in crate::engine) use chain::Of;
pub use chain::Scopes;
pub use error::DocumentError;
pub use export::{Inexpressible, of_preset, to_mergekit};
pub use fusionbench::Pool as ModelPool;
pub use load::{Dialect, Loaded, read_pool};
pub use mixture::{Mixture, Router};
pub use plain::Plain;
pub use setting::{Condition, Scalar, Setting};
pub use tokens::{OtherSource, Token, TokenSource, Tokenizer};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parameters by name.
pub type Settings = BTreeMap<String, Setting>;

/// One merge. Exactly one of `models`, `slices` and `modules` is not empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// What later documents of the file call its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A method of the registry.
    pub method: String,
    /// The model that the others were fine-tuned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// The model whose configuration and tokenizer the result gets, where that is not the base or the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// The dtype of the result; each tensor's own when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Parameters that no default stands in for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// `auto`, or a Jinja template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// Its models become experts behind routers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixture: Option<Mixture>,
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub parameters: Settings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Tokenizer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Source>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Slice>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Module>,
}

/// A model, or some of its layers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// What charts and lists call it; made of where it lies when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A path or hub id, `@REVISION` and `+ADAPTER` with it.
    pub model: String,
    /// From the first up to, but not with, the second; all when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_range: Option<(usize, usize)>,
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub parameters: Settings,
}

/// Layers of the result, one after another, and the layers of models that they are made of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub parameters: Settings,
    pub sources: Vec<Source>,
}

/// A part of a model that has layers of its own, such as a vision tower.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Module {
    pub name: String,
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub parameters: Settings,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Source>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Slice>,
}

impl Document {
    /// All sources, in the order in which they stand.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        let modules = self.modules.iter();
        let modules = modules
            .flat_map(|module| module.models.iter().chain(module.slices.iter().flat_map(|slice| &slice.sources)));
        self.models.iter().chain(self.slices.iter().flat_map(|slice| &slice.sources)).chain(modules)
    }

    /// The lists in which sources stand.
    fn lists(&self) -> impl Iterator<Item = &[Source]> {
        let of_modules = self.modules.iter().flat_map(|module| &module.slices);
        let slices = self.slices.iter().chain(of_modules).map(|slice| slice.sources.as_slice());
        let models = self.modules.iter().map(|module| module.models.as_slice());
        std::iter::once(self.models.as_slice()).chain(models).chain(slices)
    }

    /// Every model that is named, once: the base first, then in the order in which they stand.
    #[must_use]
    pub fn references(&self) -> Vec<&str> {
        let slices = self.slices.iter().chain(self.modules.iter().flat_map(|module| &module.slices));
        let bases = self.base_model.iter().chain(slices.filter_map(|slice| slice.base_model.as_ref()));
        let tokens = self.tokenizer.iter().flat_map(Tokenizer::references);
        let sources = self.sources().map(|source| &source.model);
        let mut all: Vec<&str> = Vec::new();
        for model in bases.chain(sources).chain(&self.like).map(String::as_str).chain(tokens) {
            if !all.contains(&model) {
                all.push(model);
            }
        }
        all
    }

    /// The model whose configuration the result gets: the one named for it, the base, or the first.
    #[must_use]
    pub fn donor(&self) -> Option<&str> {
        let first = || self.sources().next().map(|source| &source.model);
        self.like.as_ref().or(self.base_model.as_ref()).or_else(first).map(String::as_str)
    }

    /// The document as a recipe in TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        recipe::write(std::slice::from_ref(self))
    }

    /// Calls `change` with every reference to a model.
    pub fn map_references(&mut self, change: &mut dyn FnMut(&mut String)) {
        fn sources(sources: &mut [Source], change: &mut dyn FnMut(&mut String)) {
            for source in sources {
                change(&mut source.model);
            }
        }
        fn slices(slices: &mut [Slice], change: &mut dyn FnMut(&mut String)) {
            for slice in slices {
                slice.base_model.iter_mut().for_each(&mut *change);
                sources(&mut slice.sources, change);
            }
        }
        self.base_model.iter_mut().chain(&mut self.like).for_each(&mut *change);
        sources(&mut self.models, change);
        slices(&mut self.slices, change);
        for module in &mut self.modules {
            sources(&mut module.models, change);
            slices(&mut module.slices, change);
        }
        if let Some(tokenizer) = &mut self.tokenizer {
            tokenizer.map_references(change);
        }
    }
}
