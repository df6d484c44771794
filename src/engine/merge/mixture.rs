//! Models as a mixture of experts: Sparse Upcycling (Komatsuzaki et al. 2023, arXiv:2212.05055) of one, or several merged
//! as Mixtral.
//!
//! FusionBench leaves attention and routers of such a model uninitialised; here attention is the base's, and routers are
//! as the document says.

use super::Part;
use super::layers::{Place, place};
use crate::engine::EngineError;
use crate::engine::document::{Document, Mixture, Router};
use crate::fusion::{Pool, find, seeded};
use crate::params::ParamSet;
use crate::weights::{Checkpoint, Source};
use rand_chacha::rand_core::RngCore;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::f64::consts::TAU;

/// A feed-forward weight of Llama and Mistral, and its name in an expert of Mixtral.
const WEIGHTS: [(&str, &str); 3] =
    [("mlp.gate_proj.weight", "w1"), ("mlp.down_proj.weight", "w2"), ("mlp.up_proj.weight", "w3")];
/// Standard deviation of routers as transformers initialises them.
const SPREAD: f64 = 0.02;

/// The number of experts in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Experts {
    pub count: usize,
    pub per_token: usize,
}

fn misfit(reason: impl Into<String>) -> EngineError {
    EngineError::Recipe {
        reason: reason.into(),
        hint: "only models built like Llama and Mistral can become Mixtral: gate_proj, up_proj, down_proj, no biases",
    }
}

/// The parts of a mixture; `references` are the models that the document names, in the order of `models`.
///
/// # Errors
/// Models that are not built like Llama or Mistral.
pub(super) fn parts(
    mixture: Mixture,
    document: &Document,
    references: &[&str],
    models: &[Checkpoint],
) -> Result<(Vec<Part>, Experts), EngineError> {
    let of = |reference: &str| references.iter().position(|known| *known == reference).unwrap_or(0);
    let backbone = document.donor().map_or(0, of);
    let experts: Vec<usize> = mixture.experts(&document.models).map(|source| of(&source.model)).collect();
    let base = &models[backbone];

    // Names in the result by the model that they come from.
    let mut taken: BTreeMap<usize, Vec<(usize, String, String)>> = BTreeMap::new();
    let mut routers: Vec<(usize, String, String, usize)> = Vec::new();
    let mut next = 0..;
    let mut number = || next.next().unwrap_or(usize::MAX);
    for info in base.tensors() {
        let Place::Layer { stack, index, rest } = place(&info.name) else {
            taken.entry(backbone).or_default().push((number(), info.name.clone(), info.name.clone()));
            continue;
        };
        if rest.ends_with(".bias") {
            return Err(misfit(format!("{} has `{}`, for which Mixtral has no place", base.label(), info.name)));
        }
        let block = format!("{stack}.{index}.block_sparse_moe");
        let Some((_, ours)) = WEIGHTS.iter().find(|(theirs, _)| *theirs == rest) else {
            taken.entry(backbone).or_default().push((number(), info.name.clone(), info.name.clone()));
            continue;
        };
        let &[_, hidden] = &info.shape[..] else {
            return Err(misfit(format!("`{}` is no matrix", info.name)));
        };
        if *ours == "w1" {
            routers.push((number(), format!("{block}.gate.weight"), info.name.clone(), hidden));
        }
        for (at, &expert) in experts.iter().enumerate() {
            let name = format!("{block}.experts.{at}.{ours}.weight");
            let theirs = models[expert].require(&info.name)?.info;
            if theirs.shape != info.shape {
                return Err(misfit(format!(
                    "`{}` is {:?} in {} and {:?} in {}",
                    info.name,
                    theirs.shape,
                    models[expert].label(),
                    info.shape,
                    base.label()
                )));
            }
            taken.entry(expert).or_default().push((number(), name, info.name.clone()));
        }
    }
    if routers.is_empty() {
        return Err(misfit(format!("{} has no `mlp.gate_proj.weight` in its layers", base.label())));
    }

    let mut parts = Vec::new();
    for (model, tensors) in taken {
        let places = tensors.iter().map(|(place, ..)| *place).collect();
        let view = models[model].mapped(tensors.iter().map(|(_, name, existing)| (name.as_str(), existing.as_str())));
        parts.push(Part::kept(view, model, places)?);
    }
    parts.push(router_part(mixture, &routers, base, experts.len())?);
    Ok((parts, Experts { count: experts.len(), per_token: mixture.experts_per_token }))
}

/// The routers, which come from no model.
fn router_part(
    mixture: Mixture,
    routers: &[(usize, String, String, usize)],
    base: &Checkpoint,
    experts: usize,
) -> Result<Part, EngineError> {
    let mut view = base.mapped(routers.iter().map(|(_, name, existing, _)| (name.as_str(), existing.as_str())));
    for (_, name, existing, hidden) in routers {
        let dtype = base.require(existing)?.info.dtype.written();
        let values = match mixture.router {
            Router::Zero => vec![0.0; experts * hidden],
            Router::Random => normal(mixture.seed, name, SPREAD, experts * hidden),
            Router::Normal => normal(mixture.seed, name, 1.0, experts * hidden),
            Router::Uniform => uniform(mixture.seed, name, (1.0 / *hidden as f64).sqrt(), experts * hidden),
        };
        let mut bytes = Vec::new();
        let bytes = dtype.encode_into(&values, &mut bytes).to_vec();
        view = view.with_replaced(name, vec![experts, *hidden], dtype, Source::Owned(bytes.into()));
    }
    let method = find("passthrough")?;
    Ok(Part {
        method,
        params: ParamSet::defaults(method.specs),
        pool: Pool::new(None, vec![("routers".to_owned(), view)])?,
        inputs: Vec::new(),
        places: routers.iter().map(|(place, ..)| *place).collect(),
    })
}

/// Normal numbers (Box and Muller) that depend on nothing but seed and name.
fn normal(seed: u64, name: &str, spread: f64, count: usize) -> Vec<f32> {
    let mut stream = seeded::stream("router", seed, &[name.as_bytes()]);
    // In (0, 1]: its logarithm is finite.
    let mut uniform = || (f64::from(stream.next_u32()) + 1.0) / 4_294_967_296.0;
    let pair = |_| {
        let (radius, angle) = (spread * (-2.0 * uniform().ln()).sqrt(), TAU * uniform());
        [(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]
    };
    (0..count.div_ceil(2)).flat_map(pair).take(count).collect()
}

/// Uniform numbers within ±`limit` that depend on nothing but seed and name.
fn uniform(seed: u64, name: &str, limit: f64, count: usize) -> Vec<f32> {
    let mut stream = seeded::stream("router", seed, &[name.as_bytes()]);
    let mut next = |_| (limit * (2.0 * f64::from(stream.next_u32()) / f64::from(u32::MAX) - 1.0)) as f32;
    (0..count).map(&mut next).collect()
}

/// The configuration of Llama or Mistral as one of Mixtral.
pub(super) fn configure(config: &mut Map<String, Json>, experts: Experts) {
    config.insert("architectures".to_owned(), json!(["MixtralForCausalLM"]));
    config.insert("model_type".to_owned(), json!("mixtral"));
    config.insert("num_local_experts".to_owned(), json!(experts.count));
    config.insert("num_experts_per_tok".to_owned(), json!(experts.per_token));
    config.insert("sliding_window".to_owned(), Json::Null);
    config.insert("output_router_logits".to_owned(), json!(false));
    config.insert("router_aux_loss_coef".to_owned(), json!(0.001));
    for key in ["auto_map", "mlp_bias", "attention_bias", "pretraining_tp"] {
        config.shift_remove(key);
    }
}
