//! The way that a person goes: a recipe in the peer's own words, read, merged on disk, opened again.

use crate::case::{Case, Outcome, Result, open};
use crate::compare;
use crate::vision::{RELATIVE, pixels, tower, values};
use fusebench::cancel::Cancel;
use fusebench::engine::document::{Document, Loaded};
use fusebench::engine::merge::{Inputs, MergeJob, MergePlan, NotFinite, Options, merge};
use fusebench::fusion::find;
use fusebench::params::ParamSet;
use fusebench::weights::{Checkpoint, DType, StateDict};
use serde_json::{Map, Value as Json, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A folder that is gone with its value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(case: &Case) -> Self {
        let name = format!("fusebench-golden-{}-{}", std::process::id(), case.id.replace('/', "-"));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Merges as `fusebench merge FILE.yml` does, into `out`.
fn merged(text: &str, place: &dyn Fn(&str) -> PathBuf, out: &Path) -> Result<Checkpoint> {
    let mut document = document(text)?;
    document.map_references(&mut |reference| *reference = place(reference).display().to_string());
    let failed = |error: fusebench::engine::EngineError| error.to_string();
    let options = Options::default();
    let dtype = document.dtype.as_deref().and_then(DType::parse_float);
    let (method, params, inputs, document) = match document.plain() {
        Some(plain) => {
            let inputs = Inputs::open_with(plain.base.as_deref(), &plain.experts, &options).map_err(failed)?;
            (plain.method, plain.params, inputs, None)
        }
        None => {
            let inputs = Inputs::of_document(&document, None, &options).map_err(failed)?;
            (find(&document.method).map_err(|error| error.to_string())?, ParamSet::default(), inputs, Some(document))
        }
    };
    let (shard, vocab, not_finite) = (None, None, NotFinite::Keep);
    let job = MergeJob { method, params, task: None, dtype, not_finite, shard, memory: 1 << 30, vocab, document };
    let plan = MergePlan::new(&job, &inputs, Some(out)).map_err(failed)?;
    merge(&job, &inputs, &plan, out, &Cancel::default(), &mut |_, _| {}).map_err(failed)?;
    open(out)
}

fn document(text: &str) -> Result<Document> {
    let loaded = Loaded::parse(text, "case.yml").map_err(|error| format!("{error}\n{text}"))?;
    loaded.documents.into_iter().last().ok_or_else(|| "no document".to_owned())
}

/// Configurations that mergekit's own program has run.
pub fn run(root: &Path, case: &Case) -> Result {
    let config = case.json["config"].as_str().ok_or("the case names no configuration")?;
    let text = std::fs::read_to_string(case.folder.join(config)).map_err(|error| error.to_string())?;
    let scratch = Scratch::new(case);
    let models = root.join("mergekit_yaml/models");
    let ours = merged(&text, &|name| models.join(name), &scratch.0)?;
    let theirs = case.output()?;
    if let Some(tokens) = case.json["tokens"].as_object() {
        return by_token(&ours, &theirs, tokens, &scratch.0);
    }
    // Where gradients end differently: another test says what they are here.
    let differs = |name: &str| case.json["notes"].is_string() && matches!(name, "model.norm.weight" | "lm_head.weight");
    let names = ours.tensors().iter().map(|info| info.name.as_str()).filter(|name| !differs(name));
    let compared = ours.subset(names.collect::<Vec<_>>());
    if ours.tensors().len() != theirs.tensors().len() {
        return Err(format!("{} tensors, the peer has {}", ours.tensors().len(), theirs.tensors().len()));
    }
    let theirs = theirs.subset(compared.tensors().iter().map(|info| info.name.as_str()).collect::<Vec<_>>());
    compare::models(case, &StateDict::load(&compared), &theirs, &|_, _, _, _| None)
}

/// Compares row by row of the same token: the numbers of new tokens are by chance in mergekit.
fn by_token(ours: &Checkpoint, theirs: &Checkpoint, tokens: &Map<String, Json>, out: &Path) -> Result {
    let text = std::fs::read_to_string(out.join("tokenizer.json")).map_err(|error| error.to_string())?;
    let json: Json = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let mut ids: HashMap<String, usize> = HashMap::new();
    for (token, id) in json["model"]["vocab"].as_object().into_iter().flatten() {
        ids.insert(token.clone(), id.as_u64().unwrap_or_default() as usize);
    }
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        ids.insert(
            token["content"].as_str().unwrap_or_default().to_owned(),
            token["id"].as_u64().unwrap_or_default() as usize,
        );
    }
    let mut compared = 0;
    for info in ours.tensors() {
        let their = theirs.require(&info.name).map_err(|error| error.to_string())?;
        if their.info.shape != info.shape {
            return Err(format!("`{}` has shape {:?}, the peer's {:?}", info.name, info.shape, their.info.shape));
        }
        let (our_values, their_values) =
            (ours.require(&info.name).map_err(|error| error.to_string())?.to_vec(), their.to_vec());
        let table = matches!(info.name.as_str(), "model.embed_tokens.weight" | "lm_head.weight");
        let width = info.shape.last().copied().unwrap_or(1);
        // Rows of the same token; beyond the tokens there is padding.
        let mut pairs: Vec<(usize, usize)> =
            (0..if table { 0 } else { our_values.len() / width }).map(|row| (row, row)).collect();
        if table {
            for (token, id) in tokens {
                let our = ids.get(token).ok_or_else(|| format!("no token `{token}`"))?;
                pairs.push((*our, id.as_u64().unwrap_or_default() as usize));
            }
            pairs.extend((tokens.len()..info.shape[0]).map(|row| (row, row)));
        }
        for (our, their) in pairs {
            for at in 0..width {
                let (a, b) = (our_values[our * width + at], their_values[their * width + at]);
                if (a - b).abs() > 1e-6 {
                    return Err(format!("`{}`[{our}, {at}] is {a:e}, the peer's {b:e}", info.name));
                }
                compared += 1;
            }
        }
    }
    Ok(Outcome::Passed(format!("{compared} values, token by token")))
}

/// mergekit's cases once more: written as its YAML, the importer must give what the method gave; `fused` are all tensors
/// of that. Random masks are compared elsewhere, with the peer's own.
///
/// # Errors
/// The first difference.
pub fn check(root: &Path, case: &Case, fused: &StateDict, random: bool) -> std::result::Result<(), String> {
    let folder = root.join(case.json["pool"].as_str().ok_or("the case names no pool")?);
    let text = yaml(case);
    let scratch = Scratch::new(case);
    let place = |name: &str| folder.join(format!("{name}.safetensors"));
    if random {
        return document(&text)?.plain().map(drop).ok_or_else(|| format!("not plain:\n{text}"));
    }
    let found = merged(&text, &place, &scratch.0).map_err(|error| format!("by YAML: {error}"))?;
    for tensor in fused.tensors() {
        let Some(values) = tensor.values() else { continue };
        let mut rounded = Vec::new();
        let bytes = tensor.dtype.encode_into(values, &mut rounded);
        if found.require(&tensor.name).map_err(|error| error.to_string())?.raw() != bytes {
            return Err(format!("by YAML `{}` is another:\n{text}", tensor.name));
        }
    }
    Ok(())
}

/// The case as mergekit's YAML (JSON is YAML).
fn yaml(case: &Case) -> String {
    let params = case.json["params"].as_object().cloned().unwrap_or_default();
    let (mut top, mut own): (Map<String, Json>, HashMap<String, Map<String, Json>>) = (Map::new(), HashMap::new());
    for (name, value) in params.into_iter().filter(|(name, _)| name != "base") {
        match value {
            Json::Object(of) => {
                for (model, value) in of {
                    own.entry(model).or_default().insert(name.clone(), value);
                }
            }
            value => drop(top.insert(name, value)),
        }
    }
    let model = |name: String| {
        let parameters = own.get(&name).cloned().unwrap_or_default();
        json!({"model": name, "parameters": parameters})
    };
    let models: Vec<Json> = case.models().into_iter().map(model).collect();
    let mut document = json!({"merge_method": case.method(), "models": models, "parameters": top});
    if case.param("base").is_string() {
        document["base_model"] = case.param("base").clone();
    }
    document.to_string()
}

/// FusionBench's depth up-scaling: the deeper tower's forward pass.
pub fn depth(root: &Path, case: &Case) -> Result {
    let config = json!({
        "method": {"_target_": "fusion_bench.method.DepthUpscalingAlgorithm", "layer_indices": case.param("layer_indices")},
        "modelpool": {"models": {"_pretrained_": "pretrained"}},
    });
    let scratch = Scratch::new(case);
    let model = root.join("moe/models/pretrained");
    let deeper = merged(&config.to_string(), &|_| model.clone(), &scratch.0)?;
    // Its configuration counts the new layers.
    let tower = tower(&scratch.0.join("config.json"), &deeper)?;
    let inputs = open(&root.join("moe/inputs.safetensors"))?;
    let hidden = tower.hidden_states(pixels(&inputs, "x", &tower)?).pop().ok_or("no hidden states")?;
    let pooled = values(tower.pool(hidden.clone()))?;
    let output = case.output()?;
    let mut worst = 0.0f64;
    for (name, ours) in [("last_hidden_state", values(hidden)?), ("pooler_output", pooled)] {
        let theirs = output.require(name).map_err(|error| error.to_string())?;
        worst = worst.max(compare::activations(name, &ours, theirs, RELATIVE)?);
    }
    Ok(Outcome::Passed(format!("{} tensors, {worst:.1e} off at most", deeper.tensors().len())))
}
