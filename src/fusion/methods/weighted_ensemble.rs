//! Weighted ensemble: a weighted mean of the experts' outputs.

use crate::fusion::{Context, EnsembleRule, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, PerModel, flag, per_model};

crate::params! {
    /// Weight of each expert's output.
    weights: PerModel = per_model(1.0, -5.0, 5.0, 0.05).symbol("w");
    /// Divide the weights by their sum, so that only their proportions matter.
    normalize: bool = flag(true);
}

pub static METHOD: Method = Method {
    id: "weighted_ensemble",
    name: "Weighted ensemble",
    family: Family::Ensemble,
    formula: "out = Σ wᵢ outᵢ (÷ Σ wᵢ)",
    summary: "Runs every expert and averages their features with a weight for each. Needs T times the time and memory of \
              one model.",
    reference: "",
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
    Ok(Fused::Ensemble(EnsembleRule::Weighted(weights)))
}
