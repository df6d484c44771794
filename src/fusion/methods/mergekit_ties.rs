//! TIES as mergekit computes it: trimmed tensor by tensor, signs elected after weighting.

use crate::fusion::kernels::consensus::Vote;
use crate::fusion::kernels::sparsify::Rule;
use crate::fusion::options::deltas;
use crate::fusion::options::mergekit::Switches;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, flag, float};

crate::params! {
    ..deltas: deltas::Params;
    /// Divide by the weights of the entries that are added, so that only proportions matter.
    normalize: bool = flag(true);
    /// Scale what is kept of each tensor to the tensor's ℓ₁ norm before.
    rescale: bool = flag(false);
    /// Coefficient of the merged task vector.
    lambda: f32 = float(1.0, -1.0, 3.0, 0.05).unbounded().symbol("λ");
}

pub static METHOD: Method = Method {
    id: "mergekit_ties",
    name: "TIES (mergekit)",
    family: Family::Merging,
    formula: "θ = θ₀ + λ Σ wᵢτᵢ/Σ wᵢ over the largest entries that agree",
    summary: "mergekit's `ties`: keeps the largest changes of each tensor (not of the whole model), weighs \
              them, and takes the weighted mean of those that have the sign of their sum.",
    reference: "arXiv:2306.01708",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let (weights, density) = params.deltas.resolve(&METHOD, pool.experts().len())?;
    let Params { normalize, rescale, lambda, .. } = params;
    let switches = Switches { normalize, rescale, lambda, seed: 0 };
    switches.merge(Vote::Weighted, Rule::Largest { least: 1 }, weights, density).fuse(pool, cx).map(Fused::Weights)
}
