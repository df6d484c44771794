//! Forward passes of whole models against transformers.

use crate::case::{Case, Outcome, Result, open};
use crate::compare::activations;
use burn::tensor::{Device, Tensor, TensorData};
use fusebench::models::clip_vit::{ClipVit, ClipVitConfig};
use fusebench::weights::{Checkpoint, StateDict};
use std::path::Path;

/// What our forward pass may be off, relative to the largest activation.
pub const RELATIVE: f64 = 1e-4;

pub fn run(case: &Case) -> Result {
    let text = std::fs::read_to_string(case.folder.join("config.json")).map_err(|error| error.to_string())?;
    let config: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let family = config["model_type"].as_str().unwrap_or("?");
    if family != "clip_vision_model" {
        return Ok(Outcome::Skipped(format!("{family}: not built yet")));
    }
    let weights = open(&case.folder.join("model.safetensors"))?;
    let model = tower(&case.folder.join("config.json"), &weights)?;
    let pixels = pixels(&open(&case.folder.join("inputs.safetensors"))?, "pixel_values", &model)?;
    let outputs = open(&case.folder.join("outputs.safetensors"))?;
    let hidden: Vec<Vec<f32>> = model.hidden_states(pixels.clone()).into_iter().map(values).collect::<Result<_>>()?;
    let (mut worst, mut compared) = (0.0f64, 0);
    for info in outputs.tensors() {
        let theirs = outputs.require(&info.name).map_err(|error| error.to_string())?;
        let ours = match info.name.as_str() {
            "last_hidden_state" => vec![hidden.last().cloned().unwrap_or_default()],
            "pooler_output" => vec![values(model.pooled(pixels.clone()))?],
            // Both ways to the features: by burn's operations, and by the loops that the CPU takes.
            "image_embeds" => {
                vec![values(model.features(pixels.clone()))?, values(model.differentiable_features(pixels.clone()))?]
            }
            name => match name.strip_prefix("hidden_states.").and_then(|layer| layer.parse::<usize>().ok()) {
                Some(layer) => vec![hidden.get(layer).cloned().ok_or_else(|| format!("we have no `{name}`"))?],
                None => continue,
            },
        };
        for ours in ours {
            worst = worst.max(activations(&info.name, &ours, theirs, RELATIVE)?);
            compared += 1;
        }
    }
    if compared == 0 {
        return Err("none of the outputs is known".to_owned());
    }
    Ok(Outcome::Passed(format!("{compared} outputs, {worst:.1e} off at most")))
}

/// A tower on the CPU with these weights.
pub fn tower(config: &Path, weights: &Checkpoint) -> Result<ClipVit> {
    let text = std::fs::read_to_string(config).map_err(|error| format!("{}: {error}", config.display()))?;
    let config = ClipVitConfig::from_json(&text).map_err(|error| error.to_string())?;
    let mut model = ClipVit::new(&config, &Device::flex()).map_err(|error| error.to_string())?;
    model.load(&StateDict::load(weights)).map_err(|error| error.to_string())?;
    Ok(model)
}

pub fn pixels(inputs: &Checkpoint, name: &str, model: &ClipVit) -> Result<Tensor<4>> {
    let tensor = inputs.require(name).map_err(|error| error.to_string())?;
    let shape: [usize; 4] = tensor.info.shape.clone().try_into().map_err(|shape| format!("`{name}` is {shape:?}"))?;
    Ok(Tensor::from_data(TensorData::new(tensor.to_vec(), shape), &model.device()))
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.into_data().try_into_vec().map_err(|error| format!("{error:?}"))
}
