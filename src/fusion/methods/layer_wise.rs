//! Task arithmetic with one coefficient for each expert and block, the form that layer-wise AdaMerging learns.

use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::{ParamSet, PerGroup, per_group};

crate::params! {
    /// Coefficient of each expert's task vector in each block.
    scaling: PerGroup = per_group(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ");
}

pub static METHOD: Method = Method {
    id: "layer_wise",
    name: "Layer-wise arithmetic",
    family: Family::Merging,
    formula: "θˡ = θ₀ˡ + Σ λᵢˡ (θᵢˡ − θ₀ˡ)",
    summary: "Task arithmetic with a slider for each expert and block of layers. Early blocks are shared by all tasks \
              and usually want small coefficients, late ones larger. Layer-wise AdaMerging learns these numbers.",
    reference: "arXiv:2310.02575",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scaling } = METHOD.typed(Params::from_set(set))?;
    let (experts, groups) = (pool.experts().len(), pool.groups().len());
    let table = METHOD.typed(scaling.resolve("scaling", experts, groups))?;
    Ok(Fused::Linear(LinearPlan::new(Origin::Base, table)))
}
