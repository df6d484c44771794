//! Cases of mixtures of experts in tiny CLIP towers: what they answer, whom their routers ask.

use crate::case::{Case, Outcome, Result, open};
use crate::compare::activations;
use crate::learned::{Tiny, tower};
use crate::vision::{RELATIVE, values};
use burn::tensor::{Device, Tensor, TensorData};
use fusebench::cancel::Cancel;
use fusebench::engine::calibration::Statistics;
use fusebench::fusion::{Calibration, Context, Draw, Fused, Matrix, Mixture, Pool, Router, Shown, find};
use fusebench::models::clip_vit::{ClipVitConfig, HostMixture, MixedClipVit, Part};
use fusebench::params::ParamSet;
use fusebench::weights::{Checkpoint, TensorRef};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Runs the case, if its method is one of these.
pub fn run(root: &Path, case: &Case) -> Option<Result> {
    Some(match case.method() {
        "smile_upscaling" if case.family == "moe" => smile(root, case),
        "we_moe" if case.family == "moe" => wemoe(root, case),
        "sparse_we_moe" if case.family == "moe" => sparse(root, case),
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
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    mixture_in(id, given, pool, &mut Context::new(&cancel, &mut silent))
}

fn mixture_in(id: &str, given: serde_json::Value, pool: &Pool, cx: &mut Context<'_>) -> Result<Mixture> {
    let method = find(id).map_err(text)?;
    let mut all = serde_json::to_value(ParamSet::defaults(method.specs)).map_err(text)?;
    for (name, value) in given.as_object().into_iter().flatten() {
        if all.get(name).is_none() {
            return Err(format!("{id} has no parameter `{name}`"));
        }
        all[name] = value.clone();
    }
    let params = serde_json::from_value(all).map_err(text)?;
    match method.run(&params, pool, cx).map_err(text)? {
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

/// Compares all ways through the tower with the peer's outputs for `x`, by burn and by hand; gives the largest difference.
pub fn outputs(root: &Path, (tower, mixture): (&MixedClipVit, &Mixture), output: &Checkpoint) -> Result<f64> {
    let inputs = open(&root.join("moe/inputs.safetensors"))?;
    let pixels = tensor::<4>(inputs.require("x").map_err(text)?, &Device::flex())?;
    let hidden = tower.last_hidden_state(pixels.clone());
    let pooled = values(tower.network().pool(hidden.clone()))?;
    let features = values(tower.features(pixels.clone()).features)?;
    let [_, channels, height, width] = pixels.dims();
    let by_hand = HostMixture::new(&config(root)?, mixture).map_err(text)?;
    let by_hand = by_hand.features(&values(pixels)?, [channels, height, width]).features;
    let mut worst = 0.0f64;
    for (name, ours) in [
        ("last_hidden_state", values(hidden)?),
        ("pooler_output", pooled),
        ("pooler_output", features),
        ("pooler_output", by_hand),
    ] {
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
    let mut worst = outputs(root, (&tower, &mixture), &output)?;
    let mut compared = 2;
    // The first block's first MLP layer by itself.
    let place = mixture.body.places.iter().position(|place| place.name.ends_with("layers.0.mlp.fc1"));
    let place = place.ok_or("the first MLP layer has no experts")?;
    let layer = &mixture.body.places[place].layers[0];
    let Router::Norms(norms) = &mixture.routers[place] else { return Err("a router of another kind".to_owned()) };
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

/// WEMoE behind the peer's routers: what it answers, and the slope of the entropy over the routers' numbers.
fn wemoe(root: &Path, case: &Case) -> Result {
    let pool = pool(root, case)?;
    let names = case.models();
    let (base, experts) = names.split_first().ok_or("the case names no models")?;
    let statistics = Statistics::direct(Arc::new(Tiny::read(root, experts)?)).map_err(text)?;
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent).with_data(&statistics);
    let layers = case.param("router_hidden_layers").as_u64().unwrap_or(2);
    let lambda = case.number("init_lambda").unwrap_or(0.3);
    let given = json!({ "router_layers": layers, "steps": 0, "init": lambda });
    let output = case.output()?;
    let mixed = behind(mixture_in("wemoe", given.clone(), &pool, &mut cx)?, &output, "gate.{place}.")?;
    let mixed_tower = MixedClipVit::new(&config(root)?, &mixed, &Device::flex()).map_err(text)?;
    if case.flag("batch_reduce") == Some(true) {
        return alike_in_every_batch(root, &mixed_tower);
    }
    let mut worst = outputs(root, (&mixed_tower, &mixed), &output)?;
    // The same experts, ending in the peer's projection and head.
    let opened = experts.iter().map(|name| Ok((name.clone(), tower(root, name)?))).collect::<Result<Vec<_>>>()?;
    let whole = Pool::new(Some(tower(root, base)?), opened).map_err(text)?;
    let mixed = behind(mixture_in("wemoe", given, &whole, &mut cx)?, &output, "gate.{place}.")?;
    let task = experts.first().ok_or("no experts")?.as_str();
    let draw = Draw { shown: Shown::Validation, samples: usize::MAX, batch: usize::MAX, seed: 0 };
    let found = statistics.routed(&[task], &mixed, draw, 0, &mut cx).map_err(text)?;
    let loss = output.require("entropy_loss").map_err(text)?;
    worst = worst.max(activations("entropy_loss", &[found.losses[0] as f32], loss, RELATIVE)?);
    for (place, slope) in found.slopes.iter().enumerate() {
        let mut rest = slope.iter().map(|x| *x as f32);
        for name in numbers_of(&output, &format!("grad.{place}.")) {
            let their = output.require(&name).map_err(text)?;
            let ours: Vec<f32> = rest.by_ref().take(their.info.len()).collect();
            worst = worst.max(activations(&name, &ours, their, 1e-4)?);
        }
        if rest.next().is_some() {
            return Err(format!("router {place} has more numbers than the peer's"));
        }
    }
    Ok(Outcome::Passed(format!("outputs, loss and slopes, {worst:.1e} off at most")))
}

/// The peer routes whole batches here, so that an image's answer depends on its neighbours; ours must not.
fn alike_in_every_batch(root: &Path, tower: &MixedClipVit) -> Result {
    let inputs = open(&root.join("moe/inputs.safetensors"))?;
    let pixels = tensor::<4>(inputs.require("x").map_err(text)?, &Device::flex())?;
    let together = values(tower.features(pixels.clone()).features)?;
    let n = pixels.dims()[0];
    let width = together.len() / n.max(1);
    let mut worst = 0.0f32;
    for image in 0..n {
        let alone = values(tower.features(pixels.clone().narrow(0, image, 1)).features)?;
        let differences = alone.iter().zip(&together[image * width..][..width]).map(|(a, b)| (a - b).abs());
        worst = differences.fold(worst, f32::max);
    }
    if worst > 1e-5 {
        return Err(format!("an image is answered otherwise in a batch than alone: {worst:.1e} off"));
    }
    Ok(Outcome::Passed(format!("the peer routes batches; ours answers every image alike, {worst:.1e} off at most")))
}

/// One feed-forward network with pruned experts.
fn sparse(root: &Path, case: &Case) -> Result {
    let pool = pool(root, case)?;
    let names = case.models();
    let statistics = Statistics::direct(Arc::new(Tiny::read(root, &names[1..])?)).map_err(text)?;
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent).with_data(&statistics);
    let given = json!({
        "router_layers": case.param("router_hidden_layers").as_u64().unwrap_or(2),
        "prune": case.number("tv_prune_ratio").unwrap_or(0.9),
        "init": case.number("init_lambda").unwrap_or(0.3),
        "steps": 0,
    });
    let output = case.output()?;
    let mixed = behind(mixture_in("e_wemoe", given, &pool, &mut cx)?, &output, "gate.")?;
    let tower = MixedClipVit::new(&config(root)?, &mixed, &Device::flex()).map_err(text)?;
    let x = tensor::<3>(output.require("x").map_err(text)?, &Device::flex())?;
    let worst = activations("y", &values(tower.feed_forward(0, x))?, output.require("y").map_err(text)?, RELATIVE)?;
    Ok(Outcome::Passed(format!("one network, {worst:.1e} off at most")))
}

/// Names of a router's numbers, of each layer the weight first.
fn numbers_of(output: &Checkpoint, prefix: &str) -> Vec<String> {
    let mut names: Vec<String> =
        output.tensors().iter().map(|info| info.name.clone()).filter(|name| name.starts_with(prefix)).collect();
    names.sort_by_key(|name| {
        let (layer, part) = name[prefix.len()..].split_once('.').unwrap_or(("", &name[prefix.len()..]));
        (layer.to_owned(), part == "bias")
    });
    names
}

/// The mixture with the peer's routers.
fn behind(mut mixture: Mixture, output: &Checkpoint, prefix: &str) -> Result<Mixture> {
    for (place, router) in mixture.routers.iter_mut().enumerate() {
        let Router::Perceptron(network) = router else { return Err("a router of another kind".to_owned()) };
        let names = numbers_of(output, &prefix.replace("{place}", &place.to_string()));
        let theirs: Vec<f32> =
            names.iter().filter_map(|name| output.get(name)).flat_map(|tensor| tensor.to_vec()).collect();
        if theirs.len() != network.numbers().len() {
            return Err(format!("router {place} has {} numbers, the peer's {}", network.numbers().len(), theirs.len()));
        }
        *router = Router::Perceptron(Arc::new(network.with_numbers(theirs)));
    }
    Ok(mixture)
}
