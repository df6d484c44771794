//! Task arithmetic (Ilharco et al. 2023).

use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// Coefficient of the summed task vectors.
    scaling: f32 = float(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ");
}

pub static METHOD: Method = Method {
    id: "task_arithmetic",
    name: "Task arithmetic",
    family: Family::Merging,
    formula: "θ = θ₀ + λ Σ (θᵢ − θ₀)",
    summary: "Adds what each expert has learned (its task vector) to the base, all with one strength λ. Around 0.3 is \
              usual for eight tasks; too large a λ lets the tasks drown one another, a negative one makes the model \
              forget them.",
    reference: "arXiv:2212.04089",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scaling } = METHOD.typed(Params::from_set(set))?;
    Ok(Fused::Linear(LinearPlan::uniform(Origin::Base, pool, &vec![scaling; pool.experts().len()])))
}
