//! Task arithmetic with mergekit's options: a weight an expert, normalised or not, times λ.

use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::{ParamSet, PerModel, flag, float, per_model};

crate::params! {
    /// Weight of each expert's task vector.
    weight: PerModel = per_model(0.3, -5.0, 5.0, 0.05).unbounded().symbol("w");
    /// Divide by the sum of the weights, so that only their proportions matter.
    normalize: bool = flag(false);
    /// Coefficient of the merged task vector.
    lambda: f32 = float(1.0, -1.0, 3.0, 0.05).unbounded().symbol("λ");
}

pub static METHOD: Method = Method {
    id: "mergekit_task_arithmetic",
    name: "Task arithmetic (mergekit)",
    family: Family::Merging,
    formula: "θ = θ₀ + λ Σ wᵢτᵢ (÷ Σ wᵢ)",
    summary: "mergekit's `task_arithmetic`: a weight for each expert's task vector and one coefficient for \
              their sum, which normalising makes their mean.",
    reference: "arXiv:2212.04089",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { weight, normalize, lambda } = METHOD.typed(Params::from_set(set))?;
    let weights = METHOD.typed(weight.resolve("weight", pool.experts().len()))?;
    let sum: f32 = weights.iter().sum();
    // As mergekit: weights that cancel are not normalised.
    let divisor = if normalize && sum.abs() >= 1e-8 { sum } else { 1.0 };
    let lambdas: Vec<f32> = weights.iter().map(|weight| lambda * weight / divisor).collect();
    Ok(Fused::Linear(LinearPlan::uniform(Origin::Base, pool, &lambdas)))
}
