//! The configuration of a merged model: that of one of its parents, with what is different now.

use super::MergePlan;
use super::inputs::Beside;
use super::mixture;
use super::resolve::Stack;
use crate::weights::DType;
use serde_json::{Map, Value as Json, json};

/// Keys for the number of layers, in the order in which they are looked for.
const LAYERS: [&str; 7] =
    ["num_hidden_layers", "n_layer", "num_layers", "n_layers", "depth", "encoder_layers", "num_decoder_layers"];

/// The bytes of `config.json` with the dtype that was written, the rows of the vocabulary and the layers that there are,
/// and untied where a head is stored that was tied.
pub(super) fn changed(bytes: Vec<u8>, dtype: Option<DType>, plan: &MergePlan, beside: &Beside) -> Vec<u8> {
    let Ok(Json::Object(mut config)) = serde_json::from_slice::<Json>(&bytes) else { return bytes };
    let before = config.clone();
    for key in ["torch_dtype", "dtype"] {
        if let (Some(value), Some(name)) = (config.get_mut(key), dtype.and_then(DType::torch_name)) {
            *value = json!(name);
        }
    }
    let has_head = plan.layout.slots.iter().any(|slot| slot.name == "lm_head.weight");
    if let Some(tied) = config.get_mut("tie_word_embeddings").filter(|_| has_head) {
        *tied = json!(false);
    }
    if let Some(rows) = beside.vocabulary {
        set(&mut config, &["text_config"], "vocab_size", json!(rows));
    }
    for stack in &beside.stacks {
        layers(&mut config, stack);
    }
    if let Some(experts) = beside.experts {
        mixture::configure(&mut config, experts);
    }
    if config == before {
        return bytes;
    }
    format!("{:#}\n", Json::Object(config)).into_bytes()
}

/// Sets a key where it is: at the top, or in one of the parts named.
fn set(config: &mut Map<String, Json>, parts: &[&str], key: &str, value: Json) {
    if let Some(known) = config.get_mut(key) {
        *known = value.clone();
    }
    for part in parts {
        if let Some(known) = config.get_mut(*part).and_then(Json::as_object_mut).and_then(|part| part.get_mut(key)) {
            *known = value.clone();
        }
    }
}

/// Sets the number of layers, and puts lists with one entry a layer in the new order; mergekit leaves those as they were.
fn layers(config: &mut Map<String, Json>, stack: &Stack) {
    let part = ["vision", "visual"].iter().any(|word| stack.name.contains(word)).then_some("vision_config");
    let part = part.or_else(|| config.contains_key("text_config").then_some("text_config"));
    let nested = part.filter(|part| config.get(*part).is_some_and(Json::is_object));
    let config = match nested {
        Some(part) => match config.get_mut(part).and_then(Json::as_object_mut) {
            Some(part) => part,
            None => return,
        },
        None => config,
    };
    // An encoder and a decoder have keys of their own.
    let own: &[&str] =
        if stack.name.contains("decoder") { &["num_decoder_layers", "decoder_layers", "n_layer"] } else { &[] };
    let key = own.iter().chain(&LAYERS).find(|key| config.contains_key(**key));
    if let Some(known) = key.and_then(|key| config.get_mut(*key)) {
        *known = json!(stack.layers.len());
    }
    for value in config.values_mut() {
        if let Json::Array(list) = value
            && list.len() == stack.before
            && stack.before > 1
        {
            let reordered: Vec<Json> = stack.layers.iter().filter_map(|&layer| list.get(layer).cloned()).collect();
            if reordered.len() == stack.layers.len() {
                *list = reordered;
            }
        }
    }
}
