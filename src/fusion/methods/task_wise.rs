//! Task arithmetic with one coefficient an expert, the form that task-wise AdaMerging learns.

use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::{ParamSet, PerModel, per_model};

crate::params! {
    /// Coefficient of each expert's task vector.
    scaling: PerModel = per_model(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ");
}

pub static METHOD: Method = Method {
    id: "task_wise",
    name: "Task-wise arithmetic",
    family: Family::Merging,
    formula: "θ = θ₀ + Σ λᵢ (θᵢ − θ₀)",
    summary: "Task arithmetic with a slider for each expert: turn one task up and see which others pay for it. \
              Task-wise AdaMerging learns these numbers.",
    reference: "arXiv:2310.02575",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scaling } = METHOD.typed(Params::from_set(set))?;
    let lambdas = METHOD.typed(scaling.resolve("scaling", pool.experts().len()))?;
    Ok(Fused::Linear(LinearPlan::uniform(Origin::Base, pool, &lambdas)))
}
