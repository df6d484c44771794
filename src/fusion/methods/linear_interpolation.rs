//! Linear interpolation between two experts.

use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// Where between the first expert (0) and the second (1).
    t: f32 = float(0.5, 0.0, 1.0, 0.05).unbounded();
}

pub static METHOD: Method = Method {
    id: "linear_interpolation",
    name: "Linear interpolation",
    family: Family::Merging,
    formula: "θ = (1 − t) θ₁ + t θ₂",
    summary: "The straight line from the first expert of the pool to the second; further experts are not used. If \
              accuracy stays high along it, the two lie in one basin of the loss.",
    reference: "",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 2, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { t } = METHOD.typed(Params::from_set(set))?;
    let mut weights = vec![0.0; pool.experts().len()];
    weights[..2].copy_from_slice(&[1.0 - t, t]);
    Ok(Fused::Linear(LinearPlan::uniform(Origin::Zero, pool, &weights)))
}
