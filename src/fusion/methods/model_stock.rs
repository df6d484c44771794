//! Model Stock (Jang et al. 2024): how far to go from the base towards the mean, read off the angles between experts.

use crate::fusion::kernels::moments::{Of, Products, products};
use crate::fusion::kernels::vectors::{Along, fuse_vectors};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::{ParamSet, choice, flag};

crate::params! {
    /// With more than two experts: average the angles between them (FusionBench) or their cosines (paper, mergekit).
    average: String = choice("angles", &["angles", "cosines"]).advanced();
    /// A ratio of its own for each vector along the last dimension (mergekit), instead of one for each tensor.
    filter_wise: bool = flag(false).advanced();
}

pub static METHOD: Method = Method {
    id: "model_stock",
    name: "Model Stock",
    family: Family::Merging,
    formula: "θ = t·mean(θᵢ) + (1−t)·θ₀, t = T cos φ / (1 + (T−1) cos φ)",
    summary: "For each tensor, goes from the base towards the experts' mean as far as the angle φ between their task \
              vectors suggests. Meant for several fine-tunes of ONE task: with different tasks the vectors are nearly \
              orthogonal, t comes near zero and hardly anything of the base changes.",
    reference: "arXiv:2403.19522",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 2, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    if !params.filter_wise {
        return plan(set, pool, &[], cx).map(Fused::Linear);
    }
    let experts = pool.experts().len();
    let share = |product: &Products| vec![ratio(&params, experts, product) / experts as f64; experts];
    fuse_vectors(pool, Of::TaskVectors, Along::Last, cx, share).map(Fused::Weights)
}

/// Model Stock tensor by tensor, with the plain mean of the experts for the tensors named in `ignore`.
///
/// # Errors
/// As every method: parameters that do not fit, cancellation.
pub fn plan(set: &ParamSet, pool: &Pool, ignore: &[String], cx: &mut Context<'_>) -> Result<LinearPlan, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let experts = pool.experts().len();
    let products = products(pool, Of::TaskVectors, cx)?;
    let names = pool.reference().map_or(&[][..], |reference| reference.tensors());
    let ratio = |(product, info): (&Products, &crate::weights::TensorInfo)| {
        let t = if ignore.contains(&info.name) { 1.0 } else { ratio(&params, experts, product) };
        (t / experts as f64) as f32
    };
    let row: Vec<f32> = products.iter().zip(names).map(ratio).collect();
    Ok(LinearPlan::per_tensor(Origin::Base, pool, vec![row; experts]))
}

/// FusionBench's guard against zero vectors, which also matters for very small ones.
const EPSILON: f64 = 1e-8;

/// t of one tensor: how far towards the mean.
fn ratio(params: &Params, experts: usize, product: &Products) -> f64 {
    let pairs = (0..experts).flat_map(|i| (i + 1..experts).map(move |j| (i, j)));
    let count = (experts * (experts - 1) / 2) as f64;
    let norms = |i: usize, j: usize| product.at(i, i).sqrt() * product.at(j, j).sqrt();
    if params.average == "cosines" {
        // mergekit's floor under the product of norms.
        let cosine = |(i, j)| (product.at(i, j) / norms(i, j).max(1e-6)).clamp(-1.0, 1.0);
        return towards_mean(experts, pairs.map(cosine).sum::<f64>() / count, 0.0);
    }
    let angle = |(i, j)| (product.at(i, j) / (norms(i, j) + EPSILON)).clamp(-1.0, 1.0).acos();
    towards_mean(experts, (pairs.map(angle).sum::<f64>() / count).cos(), EPSILON)
}

/// T cos φ / (1 + (T − 1) cos φ)
fn towards_mean(experts: usize, cosine: f64, epsilon: f64) -> f64 {
    let n = experts as f64;
    let divisor = (n - 1.0) * cosine + 1.0 + epsilon;
    // The pole: task vectors that cancel, as two that are opposite do (any two scalars may). There is no best point on
    // the line to the mean, so the base is kept.
    if divisor.abs() < 1e-6 { 0.0 } else { n * cosine / divisor }
}
