//! Merging cases of FusionBench and mergekit: the peer's method and parameters in our words, and the comparison.

use crate::case::{Case, Inputs, Outcome, Result, inputs};
use crate::compare::{self, Excuse, ulp};
use crate::documents;
use crate::near_tie::TaskVectors;
use fusebench::cancel::Cancel;
use fusebench::fusion::{self, Context, Fused, LinearPlan, MaskSource, Origin, methods::model_stock};
use fusebench::params::{ParamSet, Value};
use fusebench::weights::{Checkpoint, DType, StateDict};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

/// A peer's method in our words.
enum Ours {
    Method {
        id: &'static str,
        params: Vec<(&'static str, Value)>,
    },
    /// One coefficient an expert.
    Coefficients(Origin, Vec<f64>),
    /// `[expert][tensor]`, tensors in the base's order.
    PerTensor(Vec<Vec<f32>>),
    /// Model Stock with tensors that are averaged instead.
    ModelStock(Vec<String>),
}

/// Why a case cannot be run yet.
type Skip = String;

pub fn run(root: &Path, case: &Case) -> Result {
    let with_base = match needs_base(case) {
        Ok(with_base) => with_base,
        Err(skip) => return Ok(Outcome::Skipped(skip)),
    };
    let inputs = inputs(root, case, with_base)?;
    let ours = match translate(case, &inputs)? {
        Ok(ours) => ours,
        Err(skip) => return Ok(Outcome::Skipped(skip)),
    };
    let theirs = case.output()?;
    let masks = GivenMasks { experts: &inputs.experts, masks: &theirs, asked: Mutex::default() };
    let is_dare = case.method().starts_with("dare");
    let (fused, plan) = fuse(&ours, &inputs, is_dare.then_some(&masks as &dyn MaskSource))?;
    if is_dare {
        masks.check()?;
    }
    if case.family == "mergekit" {
        documents::check(root, case, &fused, is_dare)?;
    }
    let excuse = Excuses::new(case, &inputs, plan, &theirs)?;
    compare::models(case, &fused, &theirs, &|tensor, at, ours, peer| excuse.find(tensor, at, ours, peer))
}

/// Whether the method works on task vectors; the reason to skip it where we do not have it.
fn needs_base(case: &Case) -> std::result::Result<bool, Skip> {
    match (case.family.as_str(), case.method()) {
        (_, "simple_average" | "weighted_average" | "linear_interpolation" | "slerp") | ("mergekit", "linear") => {
            Ok(false)
        }
        (
            "fusion_bench",
            "task_arithmetic"
            | "adamerging_task_wise"
            | "adamerging_layer_wise"
            | "ties_merging"
            | "magmax"
            | "model_stock"
            | "dare_task_arithmetic"
            | "dare_ties_merging"
            | "dare_simple_average",
        )
        | ("mergekit", "model_stock") => Ok(true),
        (_, other) => Err(format!("{other}: not built yet")),
    }
}

fn translate(case: &Case, inputs: &Inputs) -> Result<std::result::Result<Ours, Skip>> {
    let experts = inputs.experts.len();
    let float = |value: Option<f64>, default: f64| Value::Float(value.unwrap_or(default));
    let method = |id, params| Ok(Ok(Ours::Method { id, params }));
    let scaling = |default| ("scaling", float(case.number("scaling_factor"), default));
    match case.method() {
        "simple_average" => method("simple_average", vec![]),
        "weighted_average" => {
            let weights = case.per_model("weights", &inputs.experts)?.unwrap_or_else(|| vec![1.0; experts]);
            let normalize = Value::Bool(case.flag("normalize").unwrap_or(true));
            method("weighted_average", vec![("weights", Value::List(weights)), ("normalize", normalize)])
        }
        "linear" => {
            let weights = case.per_model("weight", &inputs.experts)?.ok_or("no weights")?;
            let normalize = Value::Bool(case.flag("normalize").unwrap_or(true));
            method("weighted_average", vec![("weights", Value::List(weights)), ("normalize", normalize)])
        }
        "task_arithmetic" => method("task_arithmetic", vec![scaling(0.3)]),
        "linear_interpolation" => {
            let at = |end: &str, default: usize| {
                let name = case.param(end).as_str();
                name.map_or(Some(default), |name| inputs.experts.iter().position(|expert| expert == name))
            };
            let (first, second) = (at("first", 0).ok_or("no first")?, at("second", 1).ok_or("no second")?);
            if (first, second) == (0, 1) {
                return method("linear_interpolation", vec![("t", float(case.number("t"), 0.5))]);
            }
            let t = case.number("t").unwrap_or(0.5);
            let mut weights = vec![0.0; experts];
            weights[first] = 1.0 - t;
            weights[second] += t;
            Ok(Ok(Ours::Coefficients(Origin::Zero, weights)))
        }
        "slerp" => {
            let mut params = vec![
                ("t", float(case.number("t"), 0.5)),
                ("dot_threshold", float(case.number("DOT_THRESHOLD"), 0.9995)),
                ("epsilon", float(case.number("epsilon"), 1e-8)),
            ];
            // mergekit counts from the base, which need not be the first model.
            if case.family == "mergekit" && case.param("base").as_str() == inputs.experts.get(1).map(String::as_str) {
                params[0].1 = Value::Float(1.0 - case.number("t").unwrap_or(0.5));
            }
            method("slerp", params)
        }
        "adamerging_task_wise" => {
            let weights = merge_weights(case, &inputs.experts)?;
            let clamp = case.flag("clamp_weights").unwrap_or(false);
            let clamped = |row: &Vec<f64>| if clamp { row[0].clamp(0.0, 1.0) } else { row[0] };
            method("task_wise", vec![("scaling", Value::List(weights.iter().map(clamped).collect()))])
        }
        "adamerging_layer_wise" => layer_wise(case, inputs),
        "ties_merging" => method("ties", ties(case, 0.3)),
        "magmax" => method("magmax", vec![scaling(0.5)]),
        "model_stock" if case.family == "mergekit" => {
            method("model_stock", vec![("average", Value::Text("cosines".to_owned()))])
        }
        "model_stock" => Ok(Ok(Ours::ModelStock(crate::case::strings(case.param("ignore_keys"))))),
        "dare_task_arithmetic" => method("dare", [vec![scaling(0.3)], dare(case)].concat()),
        "dare_simple_average" => method("dare_average", dare(case)),
        "dare_ties_merging" => method("dare_ties", [ties(case, 0.5), dare(case)].concat()),
        other => Ok(Err(format!("{other}: not built yet"))),
    }
}

fn dare(case: &Case) -> Vec<(&'static str, Value)> {
    vec![
        ("drop", Value::Float(case.number("sparsity_ratio").unwrap_or(0.5))),
        ("rescale", Value::Bool(case.flag("rescale").unwrap_or(true))),
        ("only_linear", Value::Bool(case.flag("only_on_linear_weights").unwrap_or(false))),
    ]
}

fn ties(case: &Case, scaling: f64) -> Vec<(&'static str, Value)> {
    vec![
        ("scaling", Value::Float(case.number("scaling_factor").unwrap_or(scaling))),
        ("density", Value::Float(density(case))),
        ("merge", Value::Text(case.param("merge_func").as_str().unwrap_or("sum").to_owned())),
    ]
}

/// FusionBench reads a threshold above 1 as per cent.
fn density(case: &Case) -> f64 {
    let threshold = case.number("threshold").unwrap_or(20.0);
    if threshold > 1.0 { threshold / 100.0 } else { threshold }
}

/// The stored AdaMerging coefficients, `[expert][parameter]` (one column for task-wise ones).
fn merge_weights(case: &Case, experts: &[String]) -> Result<Vec<Vec<f64>>> {
    let output = case.output()?;
    let stored = output.require("merge_weight").map_err(|error| error.to_string())?;
    let values = stored.to_f64_vec();
    if values.is_empty() || values.len() % experts.len() != 0 {
        return Err(format!("merge_weight has shape {:?} for {} experts", stored.info.shape, experts.len()));
    }
    Ok(values.chunks(values.len() / experts.len()).map(<[f64]>::to_vec).collect())
}

fn layer_wise(case: &Case, inputs: &Inputs) -> Result<std::result::Result<Ours, Skip>> {
    if !case.param("sparsity_ratio").is_null() {
        return Ok(Err("adamerging_layer_wise: pruned task vectors (sparsity_ratio) are not built yet".to_owned()));
    }
    let mut weights = merge_weights(case, &inputs.experts)?;
    if weights.iter().any(|row| row.len() != inputs.parameters.len()) {
        return Err(format!("merge_weight has not one column for each of {} parameters", inputs.parameters.len()));
    }
    if case.flag("clamp_weights").unwrap_or(false) {
        weights.iter_mut().flatten().for_each(|weight| *weight = weight.clamp(0.0, 1.0));
    }
    if case.flag("normalized_merging_weights").unwrap_or(false) {
        for column in 0..inputs.parameters.len() {
            let sum: f64 = weights.iter().map(|row| row[column].exp()).sum();
            for row in &mut weights {
                row[column] = row[column].exp() / sum;
            }
        }
    }
    let tensors = inputs.pool.reference().map_or(&[][..], |base| base.tensors());
    let coefficient = |row: &Vec<f64>, name: &str| {
        inputs.parameters.iter().position(|parameter| parameter == name).map_or(0.0, |column| row[column] as f32)
    };
    let table = weights.iter().map(|row| tensors.iter().map(|info| coefficient(row, &info.name)).collect());
    Ok(Ok(Ours::PerTensor(table.collect())))
}

/// Runs one of our methods on the case's models; also returns the plan of what is linear.
pub fn fuse_method(
    id: &'static str,
    params: &[(&'static str, Value)],
    inputs: &Inputs,
    masks: Option<&dyn MaskSource>,
) -> Result<(StateDict, Option<LinearPlan>)> {
    fuse(&Ours::Method { id, params: params.to_vec() }, inputs, masks)
}

/// Runs our method; also returns the plan of what is linear, for its exact value.
fn fuse(ours: &Ours, inputs: &Inputs, masks: Option<&dyn MaskSource>) -> Result<(StateDict, Option<LinearPlan>)> {
    let pool = &inputs.pool;
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent);
    cx.masks = masks;
    let fused = match ours {
        Ours::Method { id, params } => {
            let method = fusion::find(id).map_err(|error| error.to_string())?;
            let set = ParamSet::checked(method.specs, params.iter().cloned()).map_err(|error| error.to_string())?;
            method.run(&set, pool, &mut cx)
        }
        Ours::Coefficients(origin, lambdas) => {
            let lambdas: Vec<f32> = lambdas.iter().map(|&lambda| lambda as f32).collect();
            Ok(Fused::Linear(LinearPlan::uniform(*origin, pool, &lambdas)))
        }
        Ours::PerTensor(table) => Ok(Fused::Linear(LinearPlan::per_tensor(Origin::Base, pool, table.clone()))),
        Ours::ModelStock(ignore) => {
            let defaults = ParamSet::defaults(model_stock::METHOD.specs);
            model_stock::plan(&defaults, pool, ignore, &mut cx).map(Fused::Linear)
        }
    };
    match fused.map_err(|error| error.to_string())? {
        Fused::Linear(plan) => {
            let fused = plan.materialise(pool, &mut cx).map_err(|error| error.to_string())?;
            Ok((fused, Some(plan)))
        }
        Fused::Weights(fused) => Ok((fused, None)),
        Fused::PerTask(models) if inputs.experts.len() == 1 => {
            Ok((models.model(0, pool, &mut cx).map_err(|error| error.to_string())?, None))
        }
        Fused::PerTask(_) => Err("one model per task".to_owned()),
        Fused::Ensemble(_) | Fused::Mixture(_) => Err("not one set of weights".to_owned()),
    }
}

/// The masks that the peer drew.
pub struct GivenMasks<'a> {
    pub experts: &'a [String],
    pub masks: &'a Checkpoint,
    /// Masks that were asked for, with whether they exist.
    pub asked: Mutex<BTreeSet<(String, bool)>>,
}

impl GivenMasks<'_> {
    /// All masks stored, and no others, must have been used.
    pub fn check(&self) -> Result<()> {
        let asked = self.asked.lock().map_err(|error| error.to_string())?;
        if let Some((name, _)) = asked.iter().find(|(_, exists)| !exists) {
            return Err(format!("we drop from a tensor that the peer kept whole: no `{name}`"));
        }
        let stored = self.masks.tensors().iter().map(|info| &info.name).filter(|name| name.starts_with("mask."));
        match stored.into_iter().find(|name| !asked.contains(&((*name).clone(), true))) {
            Some(name) => Err(format!("we keep a tensor whole that the peer dropped from: `{name}`")),
            None => Ok(()),
        }
    }

    fn kept(&self, expert: usize, tensor: &str, at: usize) -> bool {
        let name = format!("mask.{}.{tensor}", self.experts[expert]);
        self.masks.get(&name).is_none_or(|mask| mask.raw()[at] != 0)
    }
}

impl MaskSource for GivenMasks<'_> {
    fn keep(&self, expert: usize, tensor: &str, offset: usize, _: f64, keep: &mut [bool]) {
        let name = format!("mask.{}.{tensor}", self.experts[expert]);
        let mask = self.masks.get(&name);
        self.asked.lock().expect("no panic").insert((name, mask.is_some()));
        if let Some(mask) = mask {
            let bytes = &mask.raw()[offset..offset + keep.len()];
            keep.iter_mut().zip(bytes).for_each(|(keep, byte)| *keep = *byte != 0);
        }
    }

    fn keep_each(&self, expert: usize, tensor: &str, offset: usize, _: &[f32], keep: &mut [bool]) {
        self.keep(expert, tensor, offset, 0.0, keep);
    }
}

/// What excuses a difference from the peer: a near tie in an exact selection; or, for half floats, that ours is the
/// exact value rounded once while the peer rounded after every operation.
struct Excuses<'a> {
    inputs: &'a Inputs,
    plan: Option<LinearPlan>,
    vectors: Option<TaskVectors>,
    thresholds: Vec<f64>,
    selection: Selection,
    lambda: f64,
}

enum Selection {
    None,
    Sum,
    Largest,
    Ties { merge: String, majority: f64 },
}

impl<'a> Excuses<'a> {
    fn new(case: &Case, inputs: &'a Inputs, plan: Option<LinearPlan>, theirs: &Checkpoint) -> Result<Self> {
        let mut this =
            Self { inputs, plan, vectors: None, thresholds: vec![], selection: Selection::None, lambda: 1.0 };
        if this.plan.is_some() {
            return Ok(this);
        }
        let mut vectors = TaskVectors::of(inputs);
        let method = case.method();
        let experts = inputs.experts.len() as f64;
        let default = match method {
            "ties_merging" | "dare_task_arithmetic" => 0.3,
            "dare_simple_average" => 1.0 / experts,
            _ => 0.5,
        };
        this.lambda = case.number("scaling_factor").unwrap_or(default);
        if method.starts_with("dare") {
            let masks = GivenMasks { experts: &inputs.experts, masks: theirs, asked: Mutex::default() };
            let drop = case.number("sparsity_ratio").unwrap_or(0.5);
            let scale = if case.flag("rescale").unwrap_or(true) && drop < 1.0 { 1.0 / (1.0 - drop) } else { 1.0 };
            vectors.map(|expert, tensor, at, value| {
                let masked = theirs.get(&format!("mask.{}.{tensor}", inputs.experts[expert])).is_some();
                let factor = if masked { scale } else { 1.0 };
                if masks.kept(expert, tensor, at) { value * factor } else { 0.0 }
            });
        }
        this.selection = match method {
            "magmax" => Selection::Largest,
            "ties_merging" | "dare_ties_merging" => {
                this.thresholds = vectors.thresholds(density(case));
                let merge = case.param("merge_func").as_str().unwrap_or("sum").to_owned();
                Selection::Ties { merge, majority: vectors.majority(&this.thresholds) }
            }
            _ => Selection::Sum,
        };
        this.vectors = Some(vectors);
        Ok(this)
    }

    fn find(&self, tensor: &str, at: usize, ours: f64, peer: f64) -> Option<Excuse> {
        let near_tie = self.vectors.as_ref().is_some_and(|vectors| match self.selection {
            Selection::Largest => vectors.largest_could_differ(tensor, at),
            Selection::Ties { .. } => vectors.ties_could_differ(&self.thresholds, tensor, at),
            Selection::None | Selection::Sum => false,
        });
        if near_tie {
            return Some(Excuse::NearTie);
        }
        self.peer_rounds(tensor, at, ours, peer).unwrap_or(false).then_some(Excuse::PeerRounds)
    }

    /// Whether ours is the exact value rounded once, and the peer's no further away than its roundings explain.
    fn peer_rounds(&self, tensor: &str, at: usize, ours: f64, peer: f64) -> Option<bool> {
        let dtype = self.inputs.pool.reference()?.get(tensor)?.info.dtype;
        if !matches!(dtype, DType::F16 | DType::Bf16) {
            return Some(false);
        }
        let exact = self.exact(tensor, at)?;
        // The peer rounds each term and each partial sum, none of which is larger than this.
        let largest = self.terms(tensor, at)?.iter().map(|term| term.abs()).sum::<f64>();
        let slack = (self.inputs.experts.len() + 2) as f64 * ulp(largest.max(exact.abs()), dtype);
        Some((ours - exact).abs() <= 0.501 * ulp(exact.abs().max(ours.abs()), dtype) && (ours - peer).abs() <= slack)
    }

    /// What is summed up, and what it is computed from.
    fn terms(&self, tensor: &str, at: usize) -> Option<Vec<f64>> {
        let pool = &self.inputs.pool;
        let value = |model: &Checkpoint| Some(model.get(tensor)?.to_f64_vec()[at]);
        let base = pool.base().map_or(Some(0.0), value)?;
        let group = |plan: &LinearPlan| plan.groups.as_deref().unwrap_or(pool.groups()).index(tensor);
        let mut terms = vec![base];
        for (slot, (_, expert)) in pool.experts().iter().enumerate() {
            let factor = self.plan.as_ref().map_or(1.0, |plan| f64::from(plan.coefficients[slot][group(plan)]));
            let value = value(expert)?;
            terms.extend([value - base, factor * (value - base)]);
        }
        terms.extend(self.vectors.iter().flat_map(|vectors| vectors.values(tensor, at)));
        Some(terms)
    }

    fn exact(&self, tensor: &str, at: usize) -> Option<f64> {
        if let Some(plan) = &self.plan {
            let pool = &self.inputs.pool;
            let group = plan.groups.as_deref().unwrap_or(pool.groups()).index(tensor);
            let value = |model: &Checkpoint| Some(model.get(tensor)?.to_f64_vec()[at]);
            let origin = if plan.origin == Origin::Base { value(pool.base()?)? } else { 0.0 };
            let experts = pool.experts().iter().zip(&plan.coefficients);
            let terms = experts.map(|((_, expert), row)| Some(f64::from(row[group]) * (value(expert)? - origin)));
            return Some(origin + terms.sum::<Option<f64>>()?);
        }
        let combine = |entries: &[f64]| match &self.selection {
            Selection::Largest => entries.iter().fold(0.0f64, |best, x| if x.abs() >= best.abs() { *x } else { best }),
            Selection::Ties { merge, majority } => disjoint(entries, &self.thresholds, merge, *majority),
            Selection::Sum | Selection::None => entries.iter().sum(),
        };
        Some(self.vectors.as_ref()?.exact(tensor, at, self.lambda, combine))
    }
}

/// TIES' disjoint merge of one element, in f64.
fn disjoint(entries: &[f64], thresholds: &[f64], merge: &str, majority: f64) -> f64 {
    let kept: Vec<f64> = entries.iter().zip(thresholds).filter(|(x, t)| x.abs() >= **t).map(|(x, _)| *x).collect();
    let sum: f64 = kept.iter().sum();
    let sign = if sum == 0.0 { majority } else { sum.signum() };
    let agreeing: Vec<f64> = kept.into_iter().filter(|x| if sign > 0.0 { *x > 0.0 } else { *x < 0.0 }).collect();
    match merge {
        "mean" => agreeing.iter().sum::<f64>() / agreeing.len().max(1) as f64,
        "max" => sign * agreeing.iter().fold(0.0f64, |largest, x| largest.max(x.abs())),
        _ => agreeing.iter().sum(),
    }
}
