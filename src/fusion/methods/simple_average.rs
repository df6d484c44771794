//! Simple average, also called model soup.

use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::ParamSet;

crate::params! {}

pub static METHOD: Method = Method {
    id: "simple_average",
    name: "Simple average",
    family: Family::Merging,
    formula: "θ = (1/T) Σ θᵢ",
    summary: "The mean of all experts; the base is not part of it. Nothing to tune, a solid baseline, and the same as \
              task arithmetic with λ = 1/T.",
    reference: "arXiv:2203.05482",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(_: &ParamSet, pool: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    let experts = pool.experts().len();
    Ok(Fused::Linear(LinearPlan::uniform(Origin::Zero, pool, &vec![1.0 / experts as f32; experts])))
}
