//! Reinforced agent merging plus, tensor by tensor: own changes whole, shared changes averaged.

use crate::fusion::kernels::ram::{Gain, fuse_agents};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// How much more an expert's own changes count for each change that it shares.
    r: f64 = float(0.1, 0.0, 2.0, 0.05).unbounded();
    /// Largest ratio of shared to own changes that counts.
    alpha: f64 = float(0.2, 0.0, 2.0, 0.05).unbounded().symbol("α");
    /// Changes up to this size count as none.
    epsilon: f32 = float(1e-5, 0.0, 0.1, 1e-5).at_least(0.0).advanced();
}

pub static METHOD: Method = Method {
    id: "ramplus_tl",
    name: "RAM+ (tensor-local)",
    family: Family::Merging,
    formula: "θ = θ₀ + own changes × (1 + r·min(shared/own, α)) + mean of shared changes",
    summary: "RAM in which an expert's own changes of a tensor count a little more, the more of its changes \
              others share: what averaging takes away from it is made up for.",
    reference: "arXiv:2601.13572",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { r, alpha, epsilon } = METHOD.typed(Params::from_set(set))?;
    fuse_agents(pool, epsilon, Some(Gain { r, alpha }), cx).map(Fused::Weights)
}
