//! Weighted average of the experts.

use crate::fusion::{Context, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::{ParamSet, PerModel, flag, per_model};

crate::params! {
    /// Weight of each expert.
    weights: PerModel = per_model(1.0, -5.0, 5.0, 0.05).symbol("w");
    /// Divide the weights by their sum, so that only their proportions matter.
    normalize: bool = flag(true);
}

pub static METHOD: Method = Method {
    id: "weighted_average",
    name: "Weighted average",
    family: Family::Merging,
    formula: "θ = Σ wᵢ θᵢ (÷ Σ wᵢ)",
    summary: "The mean of the experts with a weight for each: give a task that suffers more say. The base is not part \
              of it.",
    reference: "arXiv:2203.05482",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { weights, normalize } = METHOD.typed(Params::from_set(set))?;
    let mut weights = METHOD.typed(weights.resolve("weights", pool.experts().len()))?;
    if normalize {
        METHOD.normalize(&mut weights)?;
    }
    Ok(Fused::Linear(LinearPlan::uniform(Origin::Zero, pool, &weights)))
}
