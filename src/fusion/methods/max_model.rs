//! Max-model predictor: the most confident expert decides.

use crate::fusion::{Context, EnsembleRule, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::ParamSet;

crate::params! {}

pub static METHOD: Method = Method {
    id: "max_model",
    name: "Max-model predictor",
    family: Family::Ensemble,
    formula: "out = maxᵢ outᵢ, element by element",
    summary: "Runs every expert and takes the largest value for each class: whoever is surest decides. Needs T times the \
              time and memory of one model, and experts whose scores can be compared.",
    reference: "",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(_: &ParamSet, _: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    Ok(Fused::Ensemble(EnsembleRule::Max))
}
