//! Weighted ensemble: a weighted mean of the experts' outputs.

use crate::fusion::options::weights::Params;
use crate::fusion::{Context, EnsembleRule, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::ParamSet;

pub static METHOD: Method = Method {
    id: "weighted_ensemble",
    name: "Weighted ensemble",
    family: Family::Ensemble,
    formula: "out = Σ wᵢ outᵢ (÷ Σ wᵢ)",
    summary: "Runs every expert and averages their features with a weight for each. Needs T times the time and memory of \
              one model.",
    reference: "",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    let weights = METHOD.typed(Params::from_set(set))?.resolve(&METHOD, pool.experts().len())?;
    Ok(Fused::Ensemble(EnsembleRule::Weighted(weights)))
}
