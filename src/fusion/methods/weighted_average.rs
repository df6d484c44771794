//! Weighted average of the experts.

use crate::fusion::options::weights::Params;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::ParamSet;

pub static METHOD: Method = Method {
    id: "weighted_average",
    name: "Weighted average",
    family: Family::Merging,
    formula: "θ = Σ wᵢ θᵢ (÷ Σ wᵢ)",
    summary: "The mean of the experts with a weight for each: give a task that suffers more say. The base is not part \
              of it. mergekit calls it `linear`.",
    reference: "arXiv:2203.05482",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    let weights = METHOD.typed(Params::from_set(set))?.resolve(&METHOD, pool.experts().len())?;
    Ok(Fused::Linear(LinearPlan::uniform(Origin::Zero, pool, &weights)))
}
