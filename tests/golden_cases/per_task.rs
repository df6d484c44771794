//! Cases of methods with one model per task, and of what is made of the same masks: EMR, TALL masks, consensus task
//! arithmetic, BitDelta.

use crate::case::{Case, Inputs, Outcome, Result, inputs};
use crate::compare::{self, Excuse, ulp};
use crate::spectral::{Ours, context, only, text};
use fusebench::fusion::{Bits, Fused, Own, PerTask, Pool};
use fusebench::weights::{Checkpoint, DType, Source, StateDict, Tensor, TensorRef};
use serde_json::{Value as Json, json};
use std::path::Path;

/// Runs the case, if its method is one of these.
pub fn run(root: &Path, case: &Case) -> Option<Result> {
    Some(match case.method() {
        "emr_merging" => emr(root, case),
        "tall_mask" => tall(root, case),
        "consensus_task_arithmetic" => consensus(root, case),
        "bitdelta" => bitdelta(case),
        _ => return None,
    })
}

fn ours(id: &'static str, params: &Json) -> Ours {
    Ours(id, params.as_object().cloned().unwrap_or_default())
}

fn per_task(ours: &Ours, pool: &Pool) -> Result<PerTask> {
    match ours.run(pool)? {
        Fused::PerTask(models) => Ok(models),
        other => Err(format!("not one model per task: {other:?}")),
    }
}

fn mask(models: &PerTask, expert: usize, at: usize) -> Result<(&Bits, f32)> {
    match models.own(expert).and_then(|own| own.get(at)) {
        Some(Own::Masked { mask, scale }) => Ok((mask, *scale)),
        other => Err(format!("no mask: {other:?}")),
    }
}

/// One tensor's task vectors in f64, and how far rounding in the models' dtype may move them.
struct Exact {
    dtype: DType,
    base: Vec<f64>,
    deltas: Vec<Vec<f64>>,
}

impl Exact {
    fn of(inputs: &Inputs, name: &str) -> Result<Self> {
        let base = inputs.pool.base().ok_or("no base")?.require(name).map_err(text)?;
        let values = base.to_f64_vec();
        let delta = |(_, expert): &(String, Checkpoint)| {
            let own = expert.require(name).map_err(text)?.to_f64_vec();
            Ok(own.iter().zip(&values).map(|(a, b)| a - b).collect())
        };
        let deltas = inputs.pool.experts().iter().map(delta).collect::<Result<_>>()?;
        Ok(Self { dtype: base.info.dtype, base: values, deltas })
    }

    fn all(&self, at: usize) -> impl Iterator<Item = f64> {
        self.deltas.iter().map(move |delta| delta[at])
    }

    fn sum(&self, at: usize) -> f64 {
        self.all(at).sum()
    }

    /// By how much a comparison of sums of task vectors may be off.
    fn slack(&self, at: usize) -> f64 {
        let size = self.all(at).map(f64::abs).sum::<f64>();
        let units = self.deltas.len() as f64 + 4.0;
        units * (ulp(size, self.dtype) + ulp(self.base[at].abs() + size, DType::F32))
    }

    /// The unified task vector's element and the masks of all experts.
    fn elected(&self, at: usize) -> (f64, Vec<bool>) {
        let side = if self.sum(at) > 0.0 { 1.0 } else { -1.0 };
        let mask: Vec<bool> = self.all(at).map(|delta| delta * side > 0.0).collect();
        let sizes = self.all(at).zip(&mask).map(|(delta, agrees)| if *agrees { delta.abs() } else { 0.0 });
        (side * sizes.fold(0.0, f64::max), mask)
    }
}

/// Names of the float tensors in the reference's order, with their places.
fn floats(inputs: &Inputs) -> Vec<(usize, String)> {
    let tensors = inputs.pool.reference().map_or(&[][..], |reference| reference.tensors());
    let floats = tensors.iter().enumerate().filter(|(_, info)| info.dtype.is_float());
    floats.map(|(at, info)| (at, info.name.clone())).collect()
}

/// Counts of a comparison in which few elements may be chosen otherwise.
#[derive(Default)]
struct Count {
    total: usize,
    near_ties: usize,
}

impl Count {
    fn add(&mut self, same: bool, is_near_tie: bool, what: impl FnOnce() -> String) -> Result<()> {
        self.total += 1;
        if !same && !is_near_tie {
            return Err(what());
        }
        self.near_ties += usize::from(!same);
        Ok(())
    }

    fn end(self, what: &str) -> Result {
        if self.total == 0 {
            return Err("nothing was compared".to_owned());
        }
        if self.near_ties as f64 > (0.05 * self.total as f64).max(2.0) {
            return Err(format!("{} of {} elements were chosen otherwise", self.near_ties, self.total));
        }
        Ok(Outcome::Passed(format!("{} {what}, {} near ties", self.total, self.near_ties)))
    }
}

fn emr(root: &Path, case: &Case) -> Result {
    let inputs = inputs(root, case, true)?;
    let theirs = case.output()?;
    let models = per_task(&ours("emr", &json!({ "average": "tensors" })), &inputs.pool)?;
    if theirs.get("rescalers").is_some() {
        emr_parts(case, &inputs, &models, &theirs)
    } else {
        emr_models(case, &inputs, &models, &theirs)
    }
}

fn emr_parts(case: &Case, inputs: &Inputs, models: &PerTask, theirs: &Checkpoint) -> Result {
    let scales = theirs.require("rescalers").map_err(text)?.to_f64_vec();
    let unified = models.shared().ok_or("no unified vector")?;
    let atol = case.noise().map_or(1e-6, |noise| (10.0 * noise).max(1e-6));
    let mut count = Count::default();
    for (place, name) in floats(inputs) {
        let exact = Exact::of(inputs, &name)?;
        let half = exact.dtype != DType::F32;
        let expected = theirs.require(&format!("unified.{name}")).map_err(text)?.to_f64_vec();
        let values = unified.require(&name).map_err(text)?.1;
        let tie = |at: usize| exact.sum(at).abs() <= exact.slack(at);
        for (at, (value, expected)) in values.iter().zip(&expected).enumerate() {
            let allowed = if half { ulp(expected.abs(), exact.dtype) } else { atol };
            let same = (f64::from(*value) - expected).abs() <= allowed;
            count.add(same, tie(at), || format!("`unified.{name}`[{at}] is {value}, the peer's {expected}"))?;
            let (plain, _) = exact.elected(at);
            let right = (f64::from(*value) - plain).abs() <= 1e-6 * plain.abs().max(1.0);
            count.add(right, tie(at), || format!("`unified.{name}`[{at}] is {value}, by the book {plain}"))?;
        }
        for (expert, scale) in scales.iter().enumerate() {
            let (mask, ours) = mask(models, expert, place)?;
            let theirs = theirs.require(&format!("mask.{expert}.{name}")).map_err(text)?;
            for (at, (bit, expected)) in mask.iter().zip(theirs.raw()).enumerate() {
                // A change that rounds to zero in the models' dtype has no sign.
                let nothing = exact.deltas[expert][at].abs() <= ulp(exact.base[at].abs(), DType::F32);
                count.add(bit == (*expected != 0), tie(at) || nothing, || {
                    format!("`mask.{expert}.{name}`[{at}] is {bit}, the peer's {expected}")
                })?;
            }
            // The peer's means of half floats are rounded.
            let allowed = if half { 0.01 * scale } else { 10.0 * atol };
            if (f64::from(ours) - scale).abs() > allowed {
                return Err(format!("rescaler {expert} is {ours}, the peer's {scale}"));
            }
        }
    }
    count.end("elements of vector and masks")
}

fn emr_models(case: &Case, inputs: &Inputs, models: &PerTask, theirs: &Checkpoint) -> Result {
    let mut details = Vec::new();
    for (expert, task) in inputs.experts.iter().enumerate() {
        let mut model = context(|cx| models.model(expert, &inputs.pool, cx))?;
        let scale = mask(models, expert, 0)?.1;
        let named = |tensor: &mut Tensor| Tensor { name: format!("{task}/{}", tensor.name), ..tensor.clone() };
        let model = StateDict::new(model.tensors_mut().iter_mut().map(named).collect());
        let exact = |name: &str| Exact::of(inputs, name.split_once('/').map_or(name, |(_, name)| name)).ok();
        let outcome = compare::models(case, &model, &only(theirs, &format!("{task}/"))?, &|name, at, ours, peer| {
            let exact = exact(name)?;
            if exact.sum(at).abs() <= exact.slack(at) {
                return Some(Excuse::NearTie);
            }
            let (unified, masks) = exact.elected(at);
            let change = if masks[expert] { f64::from(scale) * unified } else { 0.0 };
            let plain = exact.base[at] + change;
            let unit = ulp(exact.base[at].abs() + change.abs(), exact.dtype);
            let rounded = (ours - plain).abs() <= 0.51 * ulp(plain.abs().max(ours.abs()), exact.dtype) + 1e-6;
            let half = exact.dtype != DType::F32;
            (half && rounded && (ours - peer).abs() <= 3.0 * unit + 0.02 * change.abs()).then_some(Excuse::PeerRounds)
        })?;
        if let Outcome::Passed(detail) = outcome {
            details.push(format!("{task}: {detail}"));
        }
    }
    Ok(Outcome::Passed(details.join("; ")))
}

/// One threshold an expert.
fn thresholds(case: &Case, inputs: &Inputs) -> Result<Vec<f64>> {
    let default = || vec![0.6; inputs.experts.len()];
    Ok(case.per_model("tall_mask_lambda", &inputs.experts)?.unwrap_or_else(default))
}

/// Whether a weight is in an expert's mask, and whether that is too close to tell.
fn wanted(exact: &Exact, expert: usize, threshold: f64, at: usize) -> (bool, bool) {
    let delta = exact.deltas[expert][at];
    let (own, other) = (delta.abs(), threshold * (exact.sum(at) - delta).abs());
    (own > other, (own - other).abs() <= (1.0 + threshold) * exact.slack(at))
}

fn tall(root: &Path, case: &Case) -> Result {
    let inputs = inputs(root, case, true)?;
    let thresholds = thresholds(case, &inputs)?;
    let models = per_task(&ours("tall_mask", &json!({ "threshold": thresholds })), &inputs.pool)?;
    let theirs = case.output()?;
    let mut count = Count::default();
    for (place, name) in floats(&inputs) {
        let exact = Exact::of(&inputs, &name)?;
        for (expert, task) in inputs.experts.iter().enumerate() {
            let (bits, _) = mask(&models, expert, place)?;
            let expected = theirs.require(&format!("mask.{task}.{name}")).map_err(text)?;
            for (at, (bit, expected)) in bits.iter().zip(expected.raw()).enumerate() {
                let (plain, unsure) = wanted(&exact, expert, thresholds[expert], at);
                let same = bit == (*expected != 0) && bit == plain;
                count.add(same, unsure, || format!("`mask.{task}.{name}`[{at}] is {bit}, by the book {plain}"))?;
            }
        }
    }
    count.end("elements of masks")
}

fn consensus(root: &Path, case: &Case) -> Result {
    let inputs = inputs(root, case, true)?;
    let thresholds = thresholds(case, &inputs)?;
    let k = case.param("prun_thre_k").as_u64().unwrap_or(2);
    let params = json!({ "threshold": thresholds, "k": k, "scaling": case.number("scaling_factor").unwrap_or(0.3) });
    let fused = ours("consensus_ta", &params).fuse(&inputs.pool)?;
    let theirs = case.output()?;
    let scaling = case.number("scaling_factor").unwrap_or(0.3);
    let atol = case.noise().map_or(1e-6, |noise| (10.0 * noise).max(1e-6));
    let last = inputs.experts.len() - 1;
    let defect = is_own_mask(&inputs, &theirs, last, thresholds[last])?;
    let mut count = Count::default();
    for (_, name) in floats(&inputs) {
        let exact = Exact::of(&inputs, &name)?;
        let mask = theirs.require(&format!("consensus.{name}")).map_err(text)?;
        // Some cases hold the model under the plain names, some the mask once more.
        let stored = theirs.get(&name).map(|tensor| tensor.to_f64_vec());
        let stored = stored.filter(|stored| stored.iter().any(|value| *value != 0.0 && *value != 1.0));
        let values = fused.require(&name).map_err(text)?.1;
        for (at, (value, bit)) in values.iter().zip(mask.raw()).enumerate() {
            let votes = (0..=last).filter(|expert| wanted(&exact, *expert, thresholds[*expert], at).0).count();
            let kept = if defect { votes as u64 >= k } else { *bit != 0 };
            let unsure = (0..inputs.experts.len()).any(|expert| wanted(&exact, expert, thresholds[expert], at).1);
            let made = exact.base[at] + if kept { scaling * exact.sum(at) } else { 0.0 };
            let expected = stored.as_ref().filter(|_| !defect).map_or(made, |stored| stored[at]);
            let value = compare::rounded(*value, exact.dtype);
            let allowed =
                if exact.dtype == DType::F32 { atol } else { ulp(value.abs().max(expected.abs()), exact.dtype) };
            count.add((value - expected).abs() <= allowed, unsure, || {
                format!("`{name}`[{at}] is {value}, the peer's {expected}")
            })?;
        }
    }
    count.end(if defect {
        "elements of the model by the book (the peer's mask is the last task's own, whatever k)"
    } else {
        "elements of the model"
    })
}

/// Whether the peer's mask of what several tasks want is one task's own: in 0.2.33 it forgets the tasks before the last.
fn is_own_mask(inputs: &Inputs, theirs: &Checkpoint, expert: usize, threshold: f64) -> Result<bool> {
    for (_, name) in floats(inputs) {
        let exact = Exact::of(inputs, &name)?;
        let mask = theirs.require(&format!("consensus.{name}")).map_err(text)?;
        for (at, bit) in mask.raw().iter().enumerate() {
            let (own, unsure) = wanted(&exact, expert, threshold, at);
            if own != (*bit != 0) && !unsure {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Matrices one by one: scale, packed signs and what they are unpacked to.
fn bitdelta(case: &Case) -> Result {
    let theirs = case.output()?;
    let ours = ours("bitdelta", &json!({ "tensors": "*" }));
    let single = |tensor: TensorRef<'_>| {
        let load = StateDict::load(&theirs);
        let named = Tensor { name: "weight".to_owned(), ..load.get(&tensor.info.name).ok_or("gone")?.clone() };
        let bytes = safetensors::serialize([("weight", &named)], None).map_err(text)?;
        Checkpoint::from_source("matrix", Source::Owned(bytes.into())).map_err(text)
    };
    let mut total = 0;
    for case in (0..).map_while(|at| theirs.get(&format!("{at}.base")).map(|_| at)) {
        let part = |what: &str| theirs.require(&format!("{case}.{what}")).map_err(text);
        let pool = Pool::new(Some(single(part("base")?)?), vec![("task".to_owned(), single(part("finetuned")?)?)]);
        let pool = pool.map_err(text)?;
        let models = per_task(&ours, &pool)?;
        let Some([Own::Signs { signs, scale }]) = models.own(0) else { return Err("no signs".to_owned()) };
        let coefficient = part("coeff")?.to_f64_vec()[0];
        if (f64::from(*scale) - coefficient).abs() > 1e-6 {
            return Err(format!("matrix {case}: scale {scale}, the peer's {coefficient}"));
        }
        let packed = part("mask_packed")?;
        let words: Vec<u32> = packed.raw().as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let [high, out] = packed.info.shape[..] else { return Err("signs are not a matrix".to_owned()) };
        for (at, word) in words.iter().enumerate() {
            let (block, row) = (at / out, at % out);
            for bit in 0..32 {
                let place = row * high * 32 + block * 32 + bit;
                if signs.get(place) != (word >> bit & 1 == 1) {
                    return Err(format!("matrix {case}: another sign at {place}"));
                }
                total += 1;
            }
        }
        let model = context(|cx| models.model(0, &pool, cx))?;
        let (_, values) = model.require("weight").map_err(text)?;
        for (value, expected) in values.iter().zip(part("reconstructed")?.to_f64_vec()) {
            if (f64::from(*value) - expected).abs() > 1e-6 {
                return Err(format!("matrix {case}: {value}, the peer's {expected}"));
            }
        }
    }
    if total == 0 {
        return Err("nothing was compared".to_owned());
    }
    Ok(Outcome::Passed(format!("{total} signs and what they are unpacked to")))
}
