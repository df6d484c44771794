//! One model, scaled or as it is.

use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// What every weight is multiplied with.
    scale: f32 = float(1.0, -2.0, 2.0, 0.05).unbounded();
}

pub static METHOD: Method = Method {
    id: "passthrough",
    name: "Passthrough",
    family: Family::Merging,
    formula: "θ = s θ₁",
    summary: "One expert unchanged, or with every weight times a number: to see a single model among the \
              others, or to prepare parts of a larger one as mergekit does.",
    reference: "",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: Some(1), data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scale } = METHOD.typed(Params::from_set(set))?;
    Ok(Fused::Linear(LinearPlan::uniform(Origin::Zero, pool, &[scale])))
}
