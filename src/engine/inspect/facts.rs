//! What lies beside the weights: configuration, adapter, and how a merged model was made.

use crate::weights::Checkpoint;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use std::fs;
use std::path::Path;

/// What is told of a `config.json`, in this order, where it is there.
const CONFIG: &[&str] = &[
    "model_type",
    "architectures",
    "hidden_size",
    "d_model",
    "n_embd",
    "num_hidden_layers",
    "num_layers",
    "n_layer",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "vocab_size",
    "image_size",
    "patch_size",
    "projection_dim",
    "max_position_embeddings",
    "num_local_experts",
    "tie_word_embeddings",
    "torch_dtype",
    "dtype",
];
/// Parts of a configuration that are configurations themselves.
const PARTS: &[&str] = &["text_config", "vision_config"];

/// One entry of a configuration, such as `vision_config.hidden_size`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigFact {
    pub key: String,
    pub value: Json,
}

/// The facts of the `config.json` in a folder.
pub(super) fn config(folder: &Path) -> Vec<ConfigFact> {
    let Some(config) = object(&folder.join("config.json")) else { return Vec::new() };
    let of = |map: &Map<String, Json>, before: &str| -> Vec<ConfigFact> {
        let fact = |key: &&str| Some(ConfigFact { key: format!("{before}{key}"), value: map.get(*key)?.clone() });
        CONFIG.iter().filter_map(fact).filter(|fact| !fact.value.is_null()).collect()
    };
    let mut facts = of(&config, "");
    for part in PARTS {
        if let Some(Json::Object(map)) = config.get(*part) {
            facts.extend(of(map, &format!("{part}.")));
        }
    }
    facts
}

/// What an `adapter_config.json` says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterFacts {
    pub kind: String,
    pub base: Option<String>,
    pub r: Option<f64>,
    pub alpha: Option<f64>,
    pub rslora: bool,
    pub target_modules: Vec<String>,
    pub modules_to_save: Vec<String>,
    /// How many modules have a rank or α of their own.
    pub patterns: usize,
}

impl AdapterFacts {
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let config = object(&folder.join("adapter_config.json"))?;
        let text =
            |key: &str| config.get(key).and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let list = |key: &str| match config.get(key) {
            Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
            Some(Json::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        };
        let entries = |key: &str| config.get(key).and_then(Json::as_object).map_or(0, Map::len);
        Some(Self {
            kind: text("peft_type").unwrap_or_else(|| "LORA".to_owned()),
            base: text("base_model_name_or_path"),
            r: config.get("r").and_then(Json::as_f64),
            alpha: config.get("lora_alpha").and_then(Json::as_f64),
            rslora: config.get("use_rslora") == Some(&Json::Bool(true)),
            target_modules: list("target_modules"),
            modules_to_save: list("modules_to_save"),
            patterns: entries("rank_pattern") + entries("alpha_pattern"),
        })
    }
}

/// How a model was made, where fusebench merged it and says so in the metadata.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Origin {
    pub method: String,
    pub params: Json,
    /// It was made by a recipe that treats parts of the models differently; `params` is empty then.
    pub recipe: bool,
    pub parents: Vec<OriginParent>,
}

/// A model that was merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OriginParent {
    pub name: String,
    /// Where it lay; missing for the explorer's exports, whose parents are those of the zoo.
    pub from: Option<String>,
    pub fingerprint: String,
}

impl Origin {
    pub(super) fn read(checkpoint: &Checkpoint) -> Option<Self> {
        let json = |key: &str| serde_json::from_str::<Json>(checkpoint.metadata().get(key)?).ok();
        let recipe = json("fusebench.recipe")?;
        let text = |value: &Json, key: &str| value.get(key).and_then(Json::as_str).map(str::to_owned);
        let parents = match json("fusebench.parents")? {
            Json::Array(list) => {
                let parent = |parent: &Json| {
                    let (name, fingerprint) = (text(parent, "name")?, text(parent, "fingerprint")?);
                    Some(OriginParent { name, from: text(parent, "from"), fingerprint })
                };
                list.iter().filter_map(parent).collect()
            }
            Json::Object(map) => {
                let parent = |(name, fingerprint): (&String, &Json)| {
                    let fingerprint = fingerprint.as_str()?.to_owned();
                    Some(OriginParent { name: name.clone(), from: None, fingerprint })
                };
                map.iter().filter_map(parent).collect()
            }
            _ => return None,
        };
        let params = recipe.get("params").cloned().unwrap_or_default();
        let document = recipe.get("document").is_some();
        Some(Self { method: text(&recipe, "method")?, params, recipe: document, parents })
    }
}

fn object(path: &Path) -> Option<Map<String, Json>> {
    match serde_json::from_slice(&fs::read(path).ok()?).ok()? {
        Json::Object(map) => Some(map),
        _ => None,
    }
}
