//! Reinforced agent merging: own changes whole, shared changes averaged.

use crate::fusion::kernels::ram::fuse_agents;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// Changes up to this size count as none.
    epsilon: f32 = float(1e-5, 0.0, 0.1, 1e-5).at_least(0.0).advanced();
}

pub static METHOD: Method = Method {
    id: "ram",
    name: "RAM",
    family: Family::Merging,
    formula: "θ = θ₀ + Σ τᵢ/(number of experts that changed the weight)",
    summary: "Weights that one expert alone has changed keep its change; those that several have changed get \
              the mean of these. Made for agents trained by reinforcement, which change few weights each.",
    reference: "arXiv:2601.13572",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { epsilon } = METHOD.typed(Params::from_set(set))?;
    fuse_agents(pool, epsilon, None, cx).map(Fused::Weights)
}
