//! Cases of mixtures of experts in tiny CLIP towers: what they answer, whom their routers ask.

use crate::case::{Case, Outcome, Result, open};
use crate::compare::activations;
use crate::vision::{RELATIVE, values};
use burn::tensor::{Device, Tensor, TensorData};
use fusebench::cancel::Cancel;
use fusebench::fusion::{Context, Fused, Matrix, Mixture, Pool, Router, find};
use fusebench::models::clip_vit::{ClipVitConfig, MixedClipVit, Part};
use fusebench::params::ParamSet;
use fusebench::weights::{Checkpoint, TensorRef};
use serde_json::json;
use std::path::Path;

/// Runs the case, if its method is one of these.
pub fn run(root: &Path, case: &Case) -> Option<Result> {
    Some(match case.method() {
        "smile_upscaling" if case.family == "moe" => smile(root, case),
        _ => return None,
    })
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// The case's models, as they lie in `moe/models`.
pub fn pool(root: &Path, case: &Case) -> Result<Pool> {
    let model = |name: &String| {
        let file = root.join(format!("moe/models/{name}.safetensors"));
        open(if file.exists() { file } else { root.join("moe/models").join(name) }.as_path())
    };
    let names = case.models();
    let (base, experts) = names.split_first().ok_or("the case names no models")?;
    let experts = experts.iter().map(|name| Ok((name.clone(), model(name)?))).collect::<Result<Vec<_>>>()?;
    Pool::new(Some(model(base)?), experts).map_err(text)
}

/// The mixture that our method makes of the pool; parameters that are not given keep their defaults.
pub fn mixture(id: &str, given: serde_json::Value, pool: &Pool) -> Result<Mixture> {
    let method = find(id).map_err(text)?;
    let mut all = serde_json::to_value(ParamSet::defaults(method.specs)).map_err(text)?;
    for (name, value) in given.as_object().into_iter().flatten() {
        if all.get(name).is_none() {
            return Err(format!("{id} has no parameter `{name}`"));
        }
        all[name] = value.clone();
    }
    let params = serde_json::from_value(all).map_err(text)?;
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    match method.run(&params, pool, &mut Context::new(&cancel, &mut silent)).map_err(text)? {
        Fused::Mixture(mixture) => Ok(mixture),
        _ => Err("not a mixture".to_owned()),
    }
}

pub fn config(root: &Path) -> Result<ClipVitConfig> {
    let config = std::fs::read_to_string(root.join("moe/models/pretrained/config.json")).map_err(text)?;
    ClipVitConfig::from_json(&config).map_err(text)
}

pub fn tensor<const D: usize>(their: TensorRef<'_>, device: &Device) -> Result<Tensor<D>> {
    let shape: [usize; D] =
        their.info.shape.clone().try_into().map_err(|shape| format!("unexpected shape {shape:?}"))?;
    Ok(Tensor::from_data(TensorData::new(their.to_vec(), shape), device))
}

/// Compares both ways through the tower with the peer's outputs for `x`; gives the largest difference.
pub fn outputs(root: &Path, tower: &MixedClipVit, output: &Checkpoint) -> Result<f64> {
    let inputs = open(&root.join("moe/inputs.safetensors"))?;
    let pixels = tensor::<4>(inputs.require("x").map_err(text)?, &Device::flex())?;
    let hidden = tower.last_hidden_state(pixels.clone());
    let pooled = values(tower.network().pool(hidden.clone()))?;
    let features = values(tower.features(pixels).features)?;
    let mut worst = 0.0f64;
    for (name, ours) in [("last_hidden_state", values(hidden)?), ("pooler_output", pooled), ("pooler_output", features)]
    {
        worst = worst.max(activations(name, &ours, output.require(name).map_err(text)?, RELATIVE)?);
    }
    Ok(worst)
}

fn smile(root: &Path, case: &Case) -> Result {
    let pool = pool(root, case)?;
    let whole = |name: &str, default: i64| case.param(name).as_i64().unwrap_or(default);
    let along = if case.flag("routing_use_diff").unwrap_or(true) { "change" } else { "weight" };
    let rank = whole("k", 256);
    let given = json!({
        "rank": if rank > 0 { rank } else { -1 },
        "router_rank": whole("gate_k", 256),
        "top_k": whole("top_k", 1),
        "routing": along,
        "average_experts": case.flag("average_experts").unwrap_or(false),
    });
    let mixture = mixture("smile", given, &pool)?;
    let tower = MixedClipVit::new(&config(root)?, &mixture, &Device::flex()).map_err(text)?;
    let output = case.output()?;
    let mut worst = outputs(root, &tower, &output)?;
    let mut compared = 2;
    // The first block's first MLP layer by itself.
    let place = mixture.body.places.iter().position(|place| place.name.ends_with("layers.0.mlp.fc1"));
    let place = place.ok_or("the first MLP layer has no experts")?;
    let layer = &mixture.body.places[place].layers[0];
    let Router::Norms(norms) = &mixture.routers[place];
    if let (Some(x), Some(y)) = (output.get("fc1.x"), output.get("fc1.y")) {
        let x = tensor::<2>(x, &Device::flex())?;
        let [rows, width] = x.dims();
        let ours = tower.layer(Part::Fc1(0), x.clone().reshape([rows, 1, width])).ok_or("fc1 has no experts")?;
        worst = worst.max(activations("fc1.y", &values(ours)?, y, RELATIVE)?);
        compared += 1;
        if let Some(their) = output.get("fc1.router_logits") {
            let x = values(x)?;
            let norm = |x: &[f32], directions: &[f32]| {
                let along =
                    directions.chunks_exact(width).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum::<f32>());
                along.map(|part| part * part).sum::<f32>().sqrt()
            };
            let each = |x| norms.directions.chunks_exact(norms.rank * width).map(move |expert| norm(x, expert));
            let ours: Vec<f32> = x.chunks_exact(width).flat_map(each).collect();
            worst = worst.max(activations("fc1.router_logits", &ours, their, RELATIVE)?);
            compared += 1;
        }
    }
    if let (Some(their), Matrix::LowRank { rank, left, right }) =
        (output.get("fc1.expert0.delta"), &layer.changes[0].weight)
    {
        let row = |row: &[f32]| {
            let part = |column: usize| row.iter().enumerate().map(|(j, u)| u * right[j * layer.inputs + column]).sum();
            (0..layer.inputs).map(part).collect::<Vec<f32>>()
        };
        let ours: Vec<f32> = left.chunks_exact(*rank).flat_map(row).collect();
        worst = worst.max(activations("fc1.expert0.delta", &ours, their, RELATIVE)?);
        compared += 1;
    }
    Ok(Outcome::Passed(format!("{compared} outputs, {worst:.1e} off at most")))
}
