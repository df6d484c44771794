//! Simple ensemble: the mean of the experts' outputs.

use crate::fusion::{Context, EnsembleRule, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::ParamSet;

crate::params! {}

pub static METHOD: Method = Method {
    id: "simple_ensemble",
    name: "Simple ensemble",
    family: Family::Ensemble,
    formula: "out = (1/T) Σ outᵢ",
    summary: "Runs every expert and averages their features. Needs T times the time and memory of one model, and is often \
              better than averaging weights.",
    reference: "",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(_: &ParamSet, pool: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    let experts = pool.experts().len();
    Ok(Fused::Ensemble(EnsembleRule::Weighted(vec![1.0 / experts as f32; experts])))
}
