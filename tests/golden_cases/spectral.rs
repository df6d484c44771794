//! Cases of FusionBench's data-free spectral and optimisation-based methods.

use crate::case::{Case, Inputs, Outcome, Result, inputs, open, strings};
use crate::compare::{self, Excuse, ulp};
use fusebench::cancel::Cancel;
use fusebench::fusion::methods::{dop, knots, tsv_m};
use fusebench::fusion::{Context, Fused, FusionError, Pool, find};
use fusebench::params::ParamSet;
use fusebench::weights::{Checkpoint, DType, Data, Source, StateDict, Tensor};
use serde_json::{Map, Value as Json, json};
use std::path::Path;

/// Runs the case, if its method is one of these.
pub fn run(root: &Path, case: &Case) -> Option<Result> {
    Some(match case.method() {
        "mgda_min_norm" => min_norm(case),
        "knots_subspace_alignment" => alignment(root, case),
        "singular_projection_merging" => projection(root, case),
        "tsvm_variants" => variant(root, case),
        "task_singular_vector_merging" if case.flag("return_single_task_models") == Some(true) => singles(root, case),
        "task_singular_vector_merging"
        | "isotropic_merging_in_common_subspace"
        | "isotropic_merging_in_common_and_task_subspace"
        | "wudi_merging"
        | "doge_ta"
        | "singular_value_calibration"
        | "trust_region"
        | "opcm"
        | "dop" => merging(root, case),
        _ => return None,
    })
}

/// A method's id and parameters; whether they are within the sliders' ranges does not matter here.
pub struct Ours(pub &'static str, pub Map<String, Json>);

impl Ours {
    fn set(&self) -> Result<ParamSet> {
        let method = find(self.0).map_err(text)?;
        let defaults = serde_json::to_value(ParamSet::defaults(method.specs)).map_err(text)?;
        let mut values = defaults.as_object().cloned().unwrap_or_default();
        for (name, value) in &self.1 {
            if values.insert(name.clone(), value.clone()).is_none() {
                return Err(format!("{} has no parameter `{name}`", self.0));
            }
        }
        serde_json::from_value(Json::Object(values)).map_err(text)
    }

    pub fn run(&self, pool: &Pool) -> Result<Fused> {
        let (method, set) = (find(self.0).map_err(text)?, self.set()?);
        context(|cx| method.run(&set, pool, cx))
    }

    pub fn fuse(&self, pool: &Pool) -> Result<StateDict> {
        let fused = self.run(pool)?;
        context(|cx| match fused {
            Fused::Linear(plan) => plan.materialise(pool, cx),
            Fused::Weights(weights) => Ok(weights),
            Fused::PerTask(_) | Fused::Ensemble(_) | Fused::Mixture(_) => {
                Err(FusionError::NotFinite { tensor: "not weights".to_owned() })
            }
        })
    }
}

pub fn text(error: impl ToString) -> String {
    error.to_string()
}

pub fn context<T>(run: impl FnOnce(&mut Context<'_>) -> std::result::Result<T, FusionError>) -> Result<T> {
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    run(&mut Context::new(&cancel, &mut silent)).map_err(text)
}

fn translate(case: &Case, inputs: &Inputs) -> Result<std::result::Result<Ours, String>> {
    let number = |name: &str, default: f64| case.number(name).unwrap_or(default);
    let (scaling, exclude) = (json!(number("scaling_factor", 1.0)), strings(case.param("exclude_keys")));
    let excluded = json!(exclude.join(", "));
    let (id, params) = match case.method() {
        "task_singular_vector_merging" => {
            let alpha = case.param("alpha");
            let alpha = if alpha.is_null() { json!(1.0) } else { alpha.clone() };
            ("tsv_m", json!({ "scaling": alpha, "exclude": excluded }))
        }
        "isotropic_merging_in_common_subspace" => ("iso_c", json!({ "scaling": scaling, "exclude": excluded })),
        "isotropic_merging_in_common_and_task_subspace" => {
            let common = number("common_space_fraction", 0.8);
            ("iso_cts", json!({ "scaling": scaling, "common": common, "exclude": excluded }))
        }
        "wudi_merging" => {
            let steps = case.param("iter_num").as_u64().unwrap_or(400);
            let solver = if case.param("closed_form").as_bool() == Some(true) { "closed form" } else { "gradient" };
            let params = json!({ "steps": steps, "rate": number("lr", 1e-5), "solver": solver, "exclude": excluded });
            ("wudi", params)
        }
        "doge_ta" => {
            let keep = number("K", 30.0);
            // By name, as the peer does.
            let chosen =
                |name: &&String| name.contains("encoder") && name.contains("weight") && !name.contains("layer_norm");
            let names: Vec<&str> = inputs.parameters.iter().filter(chosen).map(String::as_str).collect();
            let params = json!({
                "scaling": number("lamda", 0.07),
                "density": if keep > 1.0 { keep / 100.0 } else { keep },
                "subspace": case.param("subspace").as_u64().unwrap_or(6),
                "steps": case.param("steps").as_u64().unwrap_or(400),
                "rate": number("lr", 1e-4),
                "tensors": names.join(", "),
            });
            ("doge_ta", params)
        }
        "singular_value_calibration" => {
            let inner = match case.param("base_method").as_str().unwrap_or("task_arithmetic") {
                "task_arithmetic" => "task_arithmetic",
                "simple_average" => "simple_average",
                "ties_merging" => "ties",
                other => return Ok(Err(format!("svc around {other}"))),
            };
            let scaling = number("scaling_factor", 0.3);
            ("svc", json!({ "alpha": number("alpha", 1.0), "scaling": scaling, "inner": inner }))
        }
        "trust_region" => {
            let scaling = number("scaling_factor", 0.3);
            ("trust_region", json!({ "scaling": scaling, "quantile": number("threshold_quantile", 0.99) }))
        }
        "opcm" | "dop" if case.flag("shuffle_order") == Some(true) => {
            return Ok(Err("the peer's random order is not known".to_owned()));
        }
        "opcm" => ("opcm", json!({ "alpha": number("alpha", 0.5) })),
        _ => {
            let modules: Vec<String> = exclude.iter().map(|module| format!("{module}.weight")).collect();
            let params = json!({
                "alpha": number("alpha", 0.8),
                "balance": case.flag("mgda").unwrap_or(true),
                "smooth": case.flag("ema").unwrap_or(true),
                "decay": number("ema_beta", 0.999),
                "steps": case.param("num_steps").as_u64().unwrap_or(200),
                "rate": number("lr", 1e-4),
                "energy": number("svd_epsilon", 0.99999),
                "space": case.param("svd_proj_space").as_str().unwrap_or("uv"),
                "exclude": modules.join(", "),
            });
            ("dop", params)
        }
    };
    Ok(Ok(Ours(id, params.as_object().cloned().unwrap_or_default())))
}

fn merging(root: &Path, case: &Case) -> Result {
    let inputs = inputs(root, case, true)?;
    let ours = match translate(case, &inputs)? {
        Ok(ours) => ours,
        Err(skip) => return Ok(Outcome::Skipped(skip)),
    };
    let half = Half::new(&inputs.pool, |pool| ours.fuse(pool))?;
    compare::models(case, &ours.fuse(&inputs.pool)?, &case.output()?, &|name, at, ours, peer| {
        half.as_ref().and_then(|half| half.excuse(name, at, ours, peer))
    })
}

/// What half floats come to when nothing is rounded on the way.
struct Half<'a> {
    pool: &'a Pool,
    exact: StateDict,
}

impl<'a> Half<'a> {
    fn new(pool: &'a Pool, fuse: impl FnOnce(&Pool) -> Result<StateDict>) -> Result<Option<Self>> {
        let Some(base) = pool.base() else { return Ok(None) };
        if !base.tensors().iter().any(|info| matches!(info.dtype, DType::F16 | DType::Bf16)) {
            return Ok(None);
        }
        Ok(Some(Self { pool, exact: fuse(&rebuilt(pool, |_, value| value)?)? }))
    }

    /// Ours is the exact value rounded once, and the peer's no further away than its rounding of every step explains.
    fn excuse(&self, name: &str, at: usize, ours: f64, peer: f64) -> Option<Excuse> {
        let value = |model: &Checkpoint| Some(model.get(name)?.to_f64_vec()[at]);
        let (dtype, before) = (self.pool.base()?.get(name)?.info.dtype, value(self.pool.base()?)?);
        let exact = f64::from(*self.exact.get(name)?.values()?.get(at)?);
        let experts = self.pool.experts();
        let terms = experts.iter().map(|(_, expert)| Some((value(expert)? - before).abs()));
        let largest = before.abs() + terms.sum::<Option<f64>>()?;
        let slack = (experts.len() + 2) as f64 * ulp(largest.max(exact.abs()), dtype);
        let rounded = (ours - exact).abs() <= 0.501 * ulp(exact.abs().max(ours.abs()), dtype);
        (rounded && (ours - peer).abs() <= slack).then_some(Excuse::PeerRounds)
    }
}

/// The pool's float tensors in f32, made of the base's values and each model's own.
fn rebuilt(pool: &Pool, make: impl Fn(f64, f64) -> f64) -> Result<Pool> {
    let base = pool.base().ok_or("no base")?;
    let model = |model: &Checkpoint| {
        let tensor = |tensor: fusebench::weights::TensorRef<'_>| {
            let own = model.get(&tensor.info.name).map(|own| own.to_f64_vec()).unwrap_or_default();
            let values = tensor.to_f64_vec().into_iter().zip(own).map(|(base, own)| make(base, own) as f32);
            Tensor {
                name: tensor.info.name.clone(),
                shape: tensor.info.shape.clone(),
                dtype: DType::F32,
                data: Data::Float(values.collect()),
            }
        };
        let tensors: Vec<Tensor> = base.iter().filter(|tensor| tensor.info.dtype.is_float()).map(tensor).collect();
        let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
        let bytes = safetensors::serialize(views, None).map_err(text)?;
        Checkpoint::from_source("rebuilt", Source::Owned(bytes.into())).map_err(text)
    };
    let experts = pool.experts().iter().map(|(name, expert)| Ok((name.clone(), model(expert)?)));
    Pool::new(Some(model(base)?), experts.collect::<Result<Vec<_>>>()?).map_err(text)
}

/// The merged model and what is left of every task, under names with a prefix.
fn singles(root: &Path, case: &Case) -> Result {
    let inputs = inputs(root, case, true)?;
    let ours = match translate(case, &inputs)? {
        Ok(ours) => ours,
        Err(skip) => return Ok(Outcome::Skipped(skip)),
    };
    let (theirs, set) = (case.output()?, ours.set()?);
    let mut details = Vec::new();
    for (at, model) in inputs.experts.iter().map(String::as_str).chain(["merged"]).enumerate() {
        let fuse = |pool: &Pool| match model {
            "merged" => ours.fuse(pool),
            _ => context(|cx| tsv_m::single(&set, pool, at, cx)),
        };
        let named = |mut fused: StateDict| {
            let tensors = fused
                .tensors_mut()
                .iter_mut()
                .map(|tensor| Tensor { name: format!("{model}/{}", tensor.name), ..tensor.clone() });
            StateDict::new(tensors.collect())
        };
        let half = Half::new(&inputs.pool, fuse)?;
        let fused = named(fuse(&inputs.pool)?);
        let part = only(&theirs, &format!("{model}/"))?;
        let outcome = compare::models(case, &fused, &part, &|name, at, ours, peer| {
            let name = name.split_once('/').map_or(name, |(_, name)| name);
            half.as_ref().and_then(|half| half.excuse(name, at, ours, peer))
        })?;
        if let Outcome::Passed(detail) = outcome {
            details.push(format!("{model}: {detail}"));
        }
    }
    Ok(Outcome::Passed(details.join("; ")))
}

/// The tensors whose names start so.
pub fn only(checkpoint: &Checkpoint, prefix: &str) -> Result<Checkpoint> {
    let all = StateDict::load(checkpoint);
    let views = all.tensors().iter().filter(|tensor| tensor.name.starts_with(prefix));
    let bytes = safetensors::serialize(views.map(|tensor| (tensor.name.as_str(), tensor)), None).map_err(text)?;
    Checkpoint::from_source(prefix, Source::Owned(bytes.into())).map_err(text)
}

/// Merged task vectors, by the variants of TSV-M in FusionBench's helpers.
fn variant(root: &Path, case: &Case) -> Result {
    let inputs = inputs(root, case, true)?;
    let call = case.json["call"].as_str().unwrap_or_default();
    let (rank, orthogonal) = match call.rsplit("mem_reduction").next().unwrap_or_default().split('(').next() {
        Some("" | "_2") => ("shared", true),
        Some("_lossless") => ("full", true),
        Some("_rank_reduction") => ("shared", false),
        _ => return Ok(Outcome::Skipped(format!("{call}: not built"))),
    };
    let params = json!({ "rank": rank, "orthogonal": orthogonal, "exclude": "*text_projection*" });
    let ours = Ours("tsv_m", params.as_object().cloned().unwrap_or_default());
    let task_vectors = rebuilt(&inputs.pool, |base, own| own - base)?;
    compare::models(case, &ours.fuse(&task_vectors)?, &case.output()?, &|_, _, _, _| None)
}

/// One expert's task vector, in a zone of the base's directions.
fn projection(root: &Path, case: &Case) -> Result {
    let folder = root.join("moe/models");
    let names = case.models();
    let (base, expert) = (names.first().ok_or("no base")?, names.get(1).ok_or("no expert")?);
    let model = |name: &String| {
        let file = folder.join(format!("{name}.safetensors"));
        open(if file.exists() { file } else { folder.join(name) }.as_path())
    };
    let pool = Pool::new(Some(model(base)?), vec![(expert.clone(), model(expert)?)]).map_err(text)?;
    let params = json!({
        "zone": case.param("rank").as_str().unwrap_or("low"),
        "rank": case.param("k").as_i64().unwrap_or(128),
        "null_space": case.flag("full_matrices").unwrap_or(true),
    });
    let ours = Ours("singular_projection", params.as_object().cloned().unwrap_or_default());
    let (fused, theirs) = (ours.fuse(&pool)?, case.output()?);
    // The peer takes singular vectors in f32, and its noise is not on record: relative to a tensor's largest value.
    let (mut worst, mut total) = (0.0f64, 0);
    for their in theirs.iter() {
        let (_, values) = fused.require(&their.info.name).map_err(text)?;
        worst = worst.max(compare::activations(&their.info.name, values, their, 2e-5)?);
        total += values.len();
    }
    Ok(Outcome::Passed(format!("{total} values, {worst:.1e} off at most")))
}

/// Singular values, reconstructions and squared row norms of the aligned task vectors.
fn alignment(root: &Path, case: &Case) -> Result {
    let inputs = inputs(root, case, true)?;
    let theirs = case.output()?;
    let floor = case.number("eps").unwrap_or(1e-4);
    let atol = case.noise().map_or(1e-6, |noise| (10.0 * noise).max(1e-6));
    let (mut worst, mut total) = (0.0f64, 0);
    for name in theirs.tensors().iter().filter_map(|info| info.name.strip_suffix(".S")) {
        let aligned = context(|cx| knots::align(&inputs.pool, name, floor, cx))?;
        let mut check = |what: String, ours: &[f64]| {
            let expected = theirs.require(&format!("{name}.{what}")).map_err(text)?.to_f64_vec();
            if ours.len() != expected.len() {
                return Err(format!("`{name}.{what}` has {} elements, the peer's {}", ours.len(), expected.len()));
            }
            total += ours.len();
            worst = ours.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(worst, f64::max);
            if worst <= atol { Ok(()) } else { Err(format!("`{name}.{what}` is {worst:.2e} off, {atol:.0e} allowed")) }
        };
        check("S".to_owned(), &aligned.s)?;
        for expert in 0..inputs.experts.len() {
            check(format!("recon.{expert}"), &aligned.task_vector(expert))?;
            check(format!("gram.{expert}"), &aligned.shares(expert))?;
        }
    }
    if total == 0 {
        return Err("nothing was compared".to_owned());
    }
    Ok(Outcome::Passed(format!("{total} values, {worst:.1e} off at most")))
}

/// Convex weights of the combination of least norm.
fn min_norm(case: &Case) -> Result {
    let theirs = case.output()?;
    let mut worst = 0.0f64;
    let sets = (0..).map_while(|at| theirs.get(&format!("vecs.{at}")).map(|vectors| (at, vectors)));
    let mut count = 0;
    for (at, vectors) in sets {
        let [n, length] = vectors.info.shape[..] else { return Err(format!("vecs.{at} is not a matrix")) };
        let values = vectors.to_f64_vec();
        let row = |i: usize| &values[i * length..(i + 1) * length];
        let dot = |i: usize, j: usize| row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum::<f64>();
        let products: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| dot(i, j)).collect()).collect();
        let (weights, square) = dop::min_norm(&products);
        let expected = theirs.require(&format!("sol.{at}")).map_err(text)?.to_f64_vec();
        let norm = theirs.require(&format!("norm.{at}")).map_err(text)?.to_f64_vec();
        let pairs = weights.iter().zip(&expected).chain([(&square, &norm[0])]);
        worst = pairs.map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(worst, f64::max);
        count += 1;
        if worst > 1e-5 || weights.len() != expected.len() {
            return Err(format!("sol.{at} is {weights:?} (norm {square}), the peer's {expected:?} ({})", norm[0]));
        }
    }
    if count == 0 {
        return Err("nothing was compared".to_owned());
    }
    Ok(Outcome::Passed(format!("{count} sets of vectors, {worst:.1e} off at most")))
}
