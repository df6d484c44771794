//! Karcher mean: the point on the sphere that is nearest to all experts' directions, tensor by tensor.

use crate::fusion::kernels::combination::{dot, norm, plus, times};
use crate::fusion::kernels::moments::{Of, Products, products};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::{ParamSet, float, int};

crate::params! {
    /// Steps towards the mean at most.
    max_iter: usize = int(10, 1, 1000, 1).at_least(1.0).up_to(1e6);
    /// Angles, steps and norms up to this count as zero.
    tol: f64 = float(1e-5, 1e-12, 0.1, 1e-5).above(0.0).logarithmic().advanced();
}

pub static METHOD: Method = Method {
    id: "karcher",
    name: "Karcher mean",
    family: Family::Merging,
    formula: "θ = mean ‖θᵢ‖ · argmin_u Σ ∠(u, θᵢ/‖θᵢ‖)²",
    summary: "The mean of the experts' directions along great circles instead of straight lines, found by iteration, with \
              their mean length. Close to the simple average for fine-tunes of one base.",
    reference: "arXiv:2603.04972",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let found: Vec<Vec<f64>> = products(pool, Of::Weights, cx)?.iter().map(|of| mean(of, &params)).collect();
    Ok(Fused::Linear(LinearPlan::from_tensors(Origin::Zero, pool, &found)))
}

/// The coefficients of the experts in one tensor's mean.
fn mean(products: &Products, params: &Params) -> Vec<f64> {
    let experts = products.experts();
    if experts == 1 {
        return vec![1.0];
    }
    let norms: Vec<f64> = (0..experts).map(|i| products.at(i, i).sqrt()).collect();
    // A tensor of zeros has no direction; it counts for the length alone. One that is no number has to stay visible.
    let directions: Vec<usize> = (0..experts).filter(|&i| norms[i] > params.tol || norms[i].is_nan()).collect();
    let Some(&first) = directions.first() else { return vec![0.0; experts] };
    let share = 1.0 / directions.len() as f64;
    let units: Vec<Vec<f64>> =
        directions.iter().map(|&i| (0..experts).map(|j| if i == j { 1.0 / norms[i] } else { 0.0 }).collect()).collect();
    let sum = units.iter().fold(vec![0.0; experts], |sum, unit| plus(&sum, share, unit));
    let length = norm(products, &sum);
    let mut mean = if length < params.tol {
        // Directions that cancel have no mean to start from.
        (0..experts).map(|j| if j == first { 1.0 / norms[first] } else { 0.0 }).collect()
    } else {
        times(1.0 / length, &sum)
    };
    for _ in 0..params.max_iter {
        let mut tangent = vec![0.0; experts];
        for unit in &units {
            let cosine = dot(products, &mean, unit).clamp(-1.0, 1.0);
            let angle = cosine.acos();
            // The way to the opposite point is not defined: 1/sin would blow up rounding.
            if angle < params.tol || std::f64::consts::PI - angle < params.tol {
                continue;
            }
            tangent = plus(&tangent, share * angle / angle.sin(), &plus(unit, -cosine, &mean));
        }
        let step = norm(products, &tangent);
        if step < params.tol {
            break;
        }
        mean = plus(&times(step.cos(), &mean), step.sin() / step, &tangent);
        let length = norm(products, &mean);
        if length > params.tol {
            mean = times(1.0 / length, &mean);
        }
    }
    times(norms.iter().sum::<f64>() / experts as f64, &mean)
}
