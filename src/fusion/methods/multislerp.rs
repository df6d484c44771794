//! Multi-SLERP (Goddard 2025): the weighted centre of several experts on a sphere, tensor by tensor.

use crate::fusion::kernels::combination::{dot, norm, plus, times};
use crate::fusion::kernels::moments::{Products, products};
use crate::fusion::options::centre::sphere;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Pool};
use crate::params::{ParamSet, PerModel, choice, flag, float, per_model};

crate::params! {
    /// Weight of each expert.
    weight: PerModel = per_model(1.0, -5.0, 5.0, 0.05).unbounded().symbol("w");
    /// Divide the weights by their sum, so that only their proportions matter.
    normalize_weights: bool = flag(true);
    /// Centre of the sphere: the origin, or the base, whose task vectors are then combined.
    centre: String = choice("origin", &["origin", "base"]);
    /// Added to norms before anything is divided by them.
    eps: f64 = float(1e-8, 1e-12, 1e-2, 1e-8).above(0.0).logarithmic().advanced();
}

pub static METHOD: Method = Method {
    id: "multislerp",
    name: "Multi-SLERP",
    family: Family::Merging,
    formula: "θ = (Σ wᵢ‖τᵢ‖) · exp_m(Σ wᵢ log_m(τᵢ/‖τᵢ‖)), m ∝ Σ wᵢτᵢ/‖τᵢ‖",
    summary: "SLERP for any number of experts: the centre of their directions on the sphere, made as long as they are on \
              average. Around the base it keeps the size of task vectors, which a plain mean shrinks.",
    reference: "",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let mut weights = METHOD.typed(params.weight.resolve("weight", pool.experts().len()))?;
    if params.normalize_weights {
        METHOD.normalize(&mut weights)?;
    }
    let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
    let (of, origin) = sphere(&params.centre, pool, "Multi-SLERP around the base")?;
    let found: Vec<Vec<f64>> = products(pool, of, cx)?.iter().map(|of| centre(of, &weights, params.eps)).collect();
    Ok(Fused::Linear(LinearPlan::from_tensors(origin, pool, &found)))
}

/// The coefficients of the experts in one tensor's centre.
fn centre(products: &Products, weights: &[f64], eps: f64) -> Vec<f64> {
    let experts = weights.len();
    if experts == 1 {
        return vec![1.0];
    }
    let norms: Vec<f64> = (0..experts).map(|i| products.at(i, i).sqrt()).collect();
    let unit = |i: usize| (0..experts).map(move |j| if i == j { 1.0 } else { 0.0 }).collect::<Vec<_>>();
    let units: Vec<Vec<f64>> = norms.iter().enumerate().map(|(i, norm)| times(1.0 / (norm + eps), &unit(i))).collect();
    let sum = |vectors: &[Vec<f64>]| {
        vectors.iter().zip(weights).fold(vec![0.0; experts], |sum, (vector, weight)| plus(&sum, *weight, vector))
    };
    let mean = sum(&units);
    let length = norm(products, &mean);
    if length < eps {
        // The directions cancel, or nothing has changed: no direction is the middle. mergekit falls back to the straight
        // line for two models and fails for more.
        return weights.to_vec();
    }
    let mean = times(1.0 / length, &mean);
    let tangents: Vec<Vec<f64>> = units.iter().map(|unit| plus(unit, -dot(products, unit, &mean), &mean)).collect();
    let tangent = sum(&tangents);
    let angle = norm(products, &tangent) + eps;
    let size: f64 = norms.iter().zip(weights).map(|(norm, weight)| norm * weight).sum();
    times(size, &plus(&times(angle.cos(), &mean), angle.sin() / angle, &tangent))
}
