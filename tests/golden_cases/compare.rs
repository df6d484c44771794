//! Comparing our tensors with the peer's, by the rules of the golden set's README.

use crate::case::{Case, Outcome, Result};
use fusebench::weights::{Checkpoint, DType, StateDict, TensorRef};

/// Why a difference beyond the tolerance may be right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Excuse {
    /// The exact value rounded once is ours, and the peer's rounding of every step explains the rest.
    PeerRounds,
    /// Two candidates of a selection were equal but for rounding.
    NearTie,
}

/// Finds the excuse: (tensor, element, ours, the peer's).
pub type Excuses<'a> = dyn Fn(&str, usize, f64, f64) -> Option<Excuse> + 'a;

/// At most this share of a model's elements may be near ties.
const NEAR_TIES: f64 = 0.05;

/// Compares all of our tensors with the peer's, in order of ours.
///
/// f32 within `max(1e-6, 10 × the peer's own rounding noise)`, half floats within one unit in the last place of the
/// output; what is excused is left out, near ties up to a share. Integer buffers must be the reference's.
pub fn models(case: &Case, ours: &StateDict, theirs: &Checkpoint, excuses: &Excuses<'_>) -> Result {
    let extra = ["mask.", "cotangent.", "merge_weight", "grad_merge_weight", "gram.", "fisher.", "grad."];
    let compared = |name: &str| !extra.iter().any(|mark| name.starts_with(mark));
    if let Some(info) = theirs.tensors().iter().find(|info| compared(&info.name) && ours.get(&info.name).is_none()) {
        return Err(format!("the peer's result has `{}`, ours has not", info.name));
    }
    let atol = case.noise().map_or(1e-6, |noise| (10.0 * noise).max(1e-6));
    let (mut worst, mut near_ties, mut peer_rounds, mut total) = (0.0f64, 0usize, 0usize, 0usize);
    for tensor in ours.tensors() {
        // Only parameters are in the result of some peers; buffers are then the base's in both.
        let Some(their) = theirs.get(&tensor.name) else { continue };
        let Some(values) = tensor.values() else { continue };
        if their.info.shape != tensor.shape {
            return Err(format!("`{}` has shape {:?}, the peer's {:?}", tensor.name, tensor.shape, their.info.shape));
        }
        let expected = their.to_f64_vec();
        total += expected.len();
        for (at, (&value, &expected)) in values.iter().zip(&expected).enumerate() {
            let value = rounded(value, tensor.dtype);
            let difference = (value - expected).abs();
            let allowed = match tensor.dtype {
                DType::F16 | DType::Bf16 => ulp(value.abs().max(expected.abs()), tensor.dtype),
                _ => atol,
            };
            if difference <= allowed {
                worst = worst.max(difference / allowed);
                continue;
            }
            match excuses(&tensor.name, at, value, expected) {
                Some(Excuse::NearTie) => near_ties += 1,
                Some(Excuse::PeerRounds) => peer_rounds += 1,
                None => {
                    return Err(format!(
                        "`{}`[{at}] is {value:e}, the peer's {expected:e}: {difference:.2e} apart, {allowed:.2e} allowed",
                        tensor.name
                    ));
                }
            }
        }
    }
    if total == 0 {
        return Err("nothing was compared".to_owned());
    }
    if near_ties as f64 > (total as f64 * NEAR_TIES).max(2.0) {
        return Err(format!("{near_ties} of {total} elements were selected otherwise"));
    }
    let mut detail = format!("{total} values, {:.0} % of the tolerance", worst * 100.0);
    if near_ties > 0 {
        detail += &format!(", {near_ties} near ties");
    }
    if peer_rounds > 0 {
        detail += &format!(", {peer_rounds} nearer to the exact value than the peer's");
    }
    Ok(Outcome::Passed(detail))
}

/// Compares activations: the largest difference relative to the largest value.
pub fn activations(name: &str, ours: &[f32], theirs: TensorRef<'_>, relative: f64) -> Result<f64> {
    let expected = theirs.to_f64_vec();
    if expected.len() != ours.len() {
        return Err(format!("`{name}` has {} elements, the peer's {:?}", ours.len(), theirs.info.shape));
    }
    let scale = expected.iter().fold(1e-12f64, |scale, x| scale.max(x.abs()));
    let worst = ours.iter().zip(&expected).map(|(&a, b)| (f64::from(a) - b).abs() / scale).fold(0.0, f64::max);
    if worst <= relative && ours.iter().all(|x| x.is_finite()) {
        Ok(worst)
    } else {
        Err(format!("`{name}` is {worst:.2e} off, {relative:.0e} allowed"))
    }
}

/// A value as it is written.
pub fn rounded(value: f32, dtype: DType) -> f64 {
    match dtype {
        DType::F16 => half::f16::from_f32(value).to_f64(),
        DType::Bf16 => half::bf16::from_f32(value).to_f64(),
        _ => value.into(),
    }
}

/// One unit in the last place of a number of this magnitude.
pub fn ulp(magnitude: f64, dtype: DType) -> f64 {
    let (digits, smallest) = match dtype {
        DType::F16 => (10, -24),
        DType::Bf16 => (7, -133),
        _ => (23, -149),
    };
    let exponent = if magnitude > 0.0 { magnitude.log2().floor() as i32 } else { smallest };
    2f64.powi((exponent - digits).max(smallest))
}
