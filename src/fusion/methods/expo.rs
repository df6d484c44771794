//! ExPO (Zheng et al. 2024): beyond the fine-tuned model, along the line from the base.

use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// How far to go beyond the fine-tuned model, as a share of its distance from the base.
    extrapolation: f32 = float(0.1, -1.0, 2.0, 0.05).unbounded().symbol("α");
}

pub static METHOD: Method = Method {
    id: "expo",
    name: "ExPO",
    family: Family::Merging,
    formula: "θ = θ̄ + α (θ̄ − θ₀), θ̄ = (1/T) Σ θᵢ",
    summary: "Goes on in the direction that fine-tuning went, as if it had been trained for longer; several \
              experts are averaged first. Useful from 0.1 to 0.5 for aligned language models.",
    reference: "arXiv:2404.16792",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, _: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { extrapolation } = METHOD.typed(Params::from_set(set))?;
    let experts = pool.experts().len();
    let lambda = (1.0 + extrapolation) / experts as f32;
    Ok(Fused::Linear(LinearPlan::uniform(Origin::Base, pool, &vec![lambda; experts])))
}
