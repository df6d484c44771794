//! Cases of mergekit, PEFT and FusionBench that are compared with a plain f64 rewriting of the method as well as with
//! the peer: where the peer rounds every operation to half floats, the rewriting decides.

use crate::case::{Case, Inputs, Result, inputs, open};
use crate::compare::{self, Excuse, ulp};
use crate::documents;
use crate::merging::{GivenMasks, fuse_method};
use crate::plain::{self, Deltas, Exact, Keep, Rescale, Vote};
use fusebench::fusion::{MaskSource, Pool};
use fusebench::params::Value;
use fusebench::weights::{Checkpoint, DType, Data, StateDict, write_safetensors};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Mutex;

/// Our method for a case of this file.
fn ours(case: &Case) -> Option<&'static str> {
    let peer = (case.family.as_str(), case.method());
    Some(match peer {
        ("mergekit", "task_arithmetic") => "mergekit_task_arithmetic",
        ("mergekit", "ties") => "mergekit_ties",
        ("mergekit", "dare_linear") => "mergekit_dare_linear",
        ("mergekit", "dare_ties") => "mergekit_dare_ties",
        ("peft", "ties") => "peft_ties",
        ("peft", "dare_linear") => "peft_dare_linear",
        ("peft", "dare_ties") => "peft_dare_ties",
        ("peft", "magnitude_prune") => "peft_magnitude_prune",
        ("fusion_bench", "expo") => "expo",
        ("fusion_bench", "magnitude_prune") => "magnitude_diff_pruning",
        ("mergekit", "model_stock") if case.flag("filter_wise") == Some(true) => "model_stock",
        ("mergekit", method) => *[
            "breadcrumbs",
            "breadcrumbs_ties",
            "della",
            "della_linear",
            "sce",
            "ram",
            "ramplus_tl",
            "nuslerp",
            "multislerp",
            "karcher",
            "nearswap",
            "arcee_fusion",
            "passthrough",
        ]
        .iter()
        .find(|id| **id == method)?,
        _ => return None,
    })
}

/// Whether the case belongs here.
pub fn knows(case: &Case) -> bool {
    ours(case).is_some()
}

pub fn run(root: &Path, case: &Case) -> Result {
    let id = ours(case).ok_or("no method")?;
    let has_base = case.family == "peft" || case.family == "fusion_bench" || case.param("base").is_string();
    // To these a base is a model like the others.
    let around_base = has_base && !matches!(id, "karcher" | "passthrough");
    let mut inputs = inputs(root, case, around_base)?;
    if id == "magnitude_diff_pruning" {
        inputs = pruned_weights(root, case)?;
    }
    let params = params(case, &inputs, id)?;
    let theirs = case.output()?;
    let random = id.contains("dare") || id.contains("della");
    let masks = GivenMasks { experts: &inputs.experts, masks: &theirs, asked: Mutex::default() };
    let (fused, _) = fuse_method(id, &params, &inputs, random.then_some(&masks as &dyn MaskSource))?;
    if random {
        masks.check()?;
    }
    if case.family == "mergekit" {
        documents::check(root, case, &fused, random)?;
    }
    let exact = exact(id, &inputs, &theirs, &params)?;
    // Whole elements of the peer's arcee fusion flip with its rounding, which its noise is the size of.
    let mut case =
        Case { json: case.json.clone(), id: case.id.clone(), family: case.family.clone(), folder: case.folder.clone() };
    if id == "arcee_fusion" {
        case.json["peer_f32_vs_f64_max_abs"] = serde_json::Value::Null;
    }
    compare::models(&case, &fused, &theirs, &|tensor, at, ours, peer| {
        let exact = exact.get(tensor)?.get(at)?;
        excuse(id, exact, &inputs, tensor, at, ours, peer)
    })
}

/// FusionBench's cases prune the weights of the first expert themselves: the difference from a model of zeros.
fn pruned_weights(root: &Path, case: &Case) -> Result<Inputs> {
    let folder = root.join(case.json["pool"].as_str().ok_or("no pool")?);
    let name = case.models().into_iter().find(|name| name != "pretrained").ok_or("no expert")?;
    let expert = open(&folder.join(format!("{name}.safetensors")))?;
    let mut zero = StateDict::load(&expert);
    for tensor in zero.tensors_mut() {
        if let Data::Float(values) = &mut tensor.data {
            values.fill(0.0);
        }
    }
    let path = std::env::temp_dir().join(format!("fusebench-golden-zero-{}.safetensors", std::process::id()));
    write_safetensors(&path, &zero, &BTreeMap::new()).map_err(|error| error.to_string())?;
    let base = open(&path)?;
    std::fs::remove_file(&path).map_err(|error| error.to_string())?;
    let pool = Pool::new(Some(base), vec![(name.clone(), expert)]).map_err(|error| error.to_string())?;
    Ok(Inputs { pool, experts: vec![name], parameters: vec![] })
}

/// One number an expert, from the case or this default.
fn list(case: &Case, inputs: &Inputs, name: &str, default: f64) -> Result<Vec<f64>> {
    Ok(case.per_model(name, &inputs.experts)?.unwrap_or_else(|| vec![default; inputs.experts.len()]))
}

/// The case's parameters in our words, with the peer's defaults where it leaves them out.
fn params(case: &Case, inputs: &Inputs, id: &str) -> Result<Vec<(&'static str, Value)>> {
    let numbers =
        |name: &'static str, default| Ok::<_, String>((name, Value::List(list(case, inputs, name, default)?)));
    let number =
        |name: &'static str, theirs: &str, default| (name, Value::Float(case.number(theirs).unwrap_or(default)));
    let flag = |name: &'static str, default| (name, Value::Bool(case.flag(name).unwrap_or(default)));
    let deltas = || Ok::<_, String>(vec![numbers("weight", 1.0)?, numbers("density", 1.0)?]);
    let mixed = |normalize, rescale| {
        let options = vec![flag("normalize", normalize), flag("rescale", rescale), number("lambda", "lambda", 1.0)];
        Ok::<_, String>([deltas()?, options].concat())
    };
    let around = |base: bool| ("centre", Value::Text(if base { "base" } else { "origin" }.to_owned()));
    let sign = || {
        let name = case.param("majority_sign_method").as_str().unwrap_or("total").to_owned();
        ("majority_sign", Value::Text(name))
    };
    Ok(match id {
        "mergekit_task_arithmetic" => {
            vec![numbers("weight", 1.0)?, flag("normalize", false), number("lambda", "lambda", 1.0)]
        }
        "mergekit_ties" => mixed(true, false)?,
        "mergekit_dare_linear" | "mergekit_dare_ties" => mixed(false, true)?,
        "breadcrumbs" | "breadcrumbs_ties" => [mixed(false, false)?, vec![numbers("gamma", 0.01)?]].concat(),
        "della" => [mixed(true, true)?, vec![numbers("epsilon", 0.15)?]].concat(),
        "della_linear" => [mixed(false, true)?, vec![numbers("epsilon", 0.15)?]].concat(),
        "peft_ties" | "peft_dare_ties" => [deltas()?, vec![sign()]].concat(),
        "peft_dare_linear" | "peft_magnitude_prune" => deltas()?,
        "sce" => vec![number("select_topk", "select_topk", 1.0)],
        "ram" => vec![number("epsilon", "epsilon", 1e-5)],
        "ramplus_tl" => {
            vec![number("r", "r", 0.1), number("alpha", "alpha", 0.2), number("epsilon", "epsilon", 1e-5)]
        }
        "nuslerp" => {
            let along = match (case.flag("nuslerp_flatten"), case.flag("nuslerp_row_wise")) {
                (Some(false), Some(true)) => "first",
                (Some(false), _) => "last",
                _ => "tensor",
            };
            vec![
                numbers("weight", 1.0)?,
                ("along", Value::Text(along.to_owned())),
                around(inputs.pool.base().is_some()),
            ]
        }
        "multislerp" => vec![
            numbers("weight", 1.0)?,
            flag("normalize_weights", true),
            around(inputs.pool.base().is_some()),
            number("eps", "eps", 1e-8),
        ],
        "karcher" => {
            let steps = case.param("max_iter").as_i64().unwrap_or(10);
            vec![("max_iter", Value::Int(steps)), number("tol", "tol", 1e-5)]
        }
        "nearswap" => vec![number("t", "t", 1.0)],
        "passthrough" => vec![("scale", Value::Float(list(case, inputs, "scale", 1.0)?[0]))],
        "expo" => vec![number("extrapolation", "extrapolation_factor", 0.1)],
        "model_stock" => {
            vec![("average", Value::Text("cosines".to_owned())), ("filter_wise", Value::Bool(true))]
        }
        "magnitude_diff_pruning" => {
            let int = |name: &str| case.param(name).as_i64();
            let mut params = vec![("only_linear", Value::Bool(false)), number("prune_ratio", "sparsity_ratio", 0.5)];
            params.extend(int("n").map(|n| ("n", Value::Int(n))));
            params.extend(int("m").map(|m| ("m", Value::Int(m))));
            params
        }
        _ => vec![],
    })
}

/// The exact result, tensor by tensor; empty for methods that are linear and round once.
fn exact(
    id: &str,
    inputs: &Inputs,
    theirs: &Checkpoint,
    params: &[(&'static str, Value)],
) -> Result<HashMap<String, Vec<Exact>>> {
    let get = |name: &str| params.iter().find(|(param, _)| *param == name).map(|(_, value)| value);
    let list = |name: &str| match get(name) {
        Some(Value::List(list)) => list.clone(),
        _ => vec![1.0; inputs.experts.len()],
    };
    let number = |name: &str, default: f64| get(name).and_then(Value::as_f64).unwrap_or(default);
    let is = |name: &str| get(name) == Some(&Value::Bool(true));
    let text = |name: &str, wanted: &str| matches!(get(name), Some(Value::Text(text)) if text == wanted);
    let keep = || match id {
        "mergekit_ties" => Keep::Largest { density: list("density"), least: 1 },
        "peft_ties" | "peft_magnitude_prune" => Keep::Largest { density: list("density"), least: 0 },
        "breadcrumbs" | "breadcrumbs_ties" => Keep::Middle { density: list("density"), gamma: list("gamma") },
        _ => Keep::Given,
    };
    let deltas = || Deltas {
        weights: list("weight"),
        keep: keep(),
        rescale: match id {
            "peft_dare_linear" | "peft_dare_ties" => Rescale::By(list("density").iter().map(|x| 1.0 / x).collect()),
            _ if is("rescale") => Rescale::Norm,
            _ => Rescale::No,
        },
        vote: match id {
            "peft_ties" | "peft_dare_ties" if text("majority_sign", "frequency") => Some(Vote::Frequency),
            "peft_ties" | "peft_dare_ties" => Some(Vote::Total),
            "mergekit_ties" | "mergekit_dare_ties" | "breadcrumbs_ties" | "della" => Some(Vote::Weighted),
            _ => None,
        },
        normalize: is("normalize") || matches!(id, "peft_ties" | "peft_dare_ties"),
        lambda: number("lambda", 1.0),
    };
    let of = |tensor: &plain::Tensor| -> Vec<Exact> {
        match id {
            "sce" => plain::sce(tensor, number("select_topk", 1.0)),
            "ram" => plain::ram(tensor, number("epsilon", 1e-5), None),
            "ramplus_tl" => plain::ram(tensor, number("epsilon", 1e-5), Some((number("r", 0.1), number("alpha", 0.2)))),
            "nearswap" => plain::nearswap(tensor, number("t", 1.0)),
            "arcee_fusion" => plain::arcee_fusion(tensor),
            "model_stock" => plain::vectors(tensor, &tensor.shape, false, true, plain::model_stock),
            "nuslerp" | "multislerp" | "karcher" => {
                let whole = id != "nuslerp" || text("along", "tensor");
                let shape = if whole { vec![tensor.base.len()] } else { tensor.shape.clone() };
                let around_base = text("centre", "base");
                plain::vectors(tensor, &shape, text("along", "first"), around_base, |vectors| match id {
                    "nuslerp" => {
                        let weights = list("weight");
                        let sum: f64 = weights.iter().sum();
                        plain::nuslerp(if sum.abs() < 1e-6 { 0.5 } else { weights[1] / sum }, vectors)
                    }
                    "multislerp" => {
                        plain::multislerp(&list("weight"), is("normalize_weights"), number("eps", 1e-8), vectors)
                    }
                    _ => plain::karcher(number("max_iter", 10.0) as usize, number("tol", 1e-5), vectors),
                })
            }
            "expo" => plain::expo(tensor, number("extrapolation", 0.1)),
            "magnitude_diff_pruning" => vec![],
            "passthrough" => plain::passthrough(tensor, number("scale", 1.0)),
            _ => deltas().of(tensor),
        }
    };
    let reference = inputs.pool.reference().ok_or("no models")?;
    let floats = reference.iter().filter(|tensor| tensor.info.dtype.is_float());
    floats
        .map(|tensor| {
            let name = &tensor.info.name;
            let mask = |expert: &String| {
                let mask = theirs.get(&format!("mask.{expert}.{name}"))?;
                Some(mask.raw().iter().map(|byte| *byte != 0).collect())
            };
            let values = |(_, expert): &(String, Checkpoint)| {
                expert.require(name).map(|tensor| tensor.to_f64_vec()).map_err(|error| error.to_string())
            };
            let tensor = plain::Tensor {
                shape: tensor.info.shape.clone(),
                dtype: tensor.info.dtype,
                base: tensor.to_f64_vec(),
                experts: inputs.pool.experts().iter().map(values).collect::<Result<_>>()?,
                masks: inputs.experts.iter().map(mask).collect(),
            };
            Ok((name.clone(), of(&tensor)))
        })
        .collect()
}

/// Why ours may differ from the peer's: a close choice; or half floats, of which ours is the exact value rounded once.
fn excuse(id: &str, exact: &Exact, inputs: &Inputs, tensor: &str, at: usize, ours: f64, peer: f64) -> Option<Excuse> {
    let dtype = inputs.pool.reference()?.get(tensor)?.info.dtype;
    let half = matches!(dtype, DType::F16 | DType::Bf16);
    // A little more than half a unit: our arithmetic is f32.
    let slack = 0.51 * ulp(exact.value.abs().max(ours.abs()), dtype) + 4e-7 * exact.size;
    let is_exact = (ours - exact.value).abs() <= slack;
    if exact.defect {
        return is_exact.then_some(Excuse::PeerRounds);
    }
    if half && id == "arcee_fusion" {
        // In half floats the peer's divergences are rounding and little else: it takes either value.
        let value = |model: &Checkpoint| Some(model.get(tensor)?.to_f64_vec()[at]);
        let either = [value(inputs.pool.base()?)?, value(&inputs.pool.experts()[0].1)?];
        let unit = ulp(either[0].abs().max(either[1].abs()), dtype);
        let near = either.iter().any(|value| (value - peer).abs() <= 2.0 * unit);
        return (is_exact && near).then_some(Excuse::PeerRounds);
    }
    if exact.unsure {
        return Some(Excuse::NearTie);
    }
    // Angles and weights that the peer computes from rounded sums are off by several per cent, and near a pole by more.
    let steps = match id {
        "karcher" | "model_stock" => f64::INFINITY,
        "nuslerp" | "multislerp" | "sce" | "ramplus_tl" => 64.0,
        _ => inputs.experts.len() as f64 + 4.0,
    };
    let slack = steps * ulp(exact.size.max(exact.value.abs()), dtype);
    let near = (ours - peer).abs() <= slack || peer.is_nan() || steps.is_infinite();
    (half && is_exact && near).then_some(Excuse::PeerRounds)
}
