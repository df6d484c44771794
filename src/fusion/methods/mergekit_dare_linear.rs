//! DARE as mergekit computes it, with a plain sum.

use crate::fusion::kernels::consensus::Vote;
use crate::fusion::kernels::sparsify::Rule;
use crate::fusion::options::deltas;
use crate::fusion::options::mergekit::Switches;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, flag, float, seed};

crate::params! {
    ..deltas: deltas::Params;
    /// Divide by the sum of the weights, so that only their proportions matter.
    normalize: bool = flag(false);
    /// Scale what is kept of each tensor to the tensor's ℓ₁ norm before.
    rescale: bool = flag(true);
    /// Coefficient of the merged task vector.
    lambda: f32 = float(1.0, -1.0, 3.0, 0.05).unbounded().symbol("λ");
    /// Seed of the random masks.
    seed: u64 = seed(0);
}

pub static METHOD: Method = Method {
    id: "mergekit_dare_linear",
    name: "DARE linear (mergekit)",
    family: Family::Merging,
    formula: "θ = θ₀ + λ Σ wᵢ cᵢ mᵢ∘τᵢ, cᵢ = ‖τᵢ‖₁/‖mᵢ∘τᵢ‖₁",
    summary: "mergekit's `dare_linear`: drops random changes, scales the rest of each tensor to the norm it \
              had (the paper divides by the share kept), and adds with weights.",
    reference: "arXiv:2311.03099",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let (weights, density) = params.deltas.resolve(&METHOD, pool.experts().len())?;
    let Params { normalize, rescale, lambda, seed, .. } = params;
    let switches = Switches { normalize, rescale, lambda, seed };
    switches.merge(Vote::Nobody, Rule::Random, weights, density).fuse(pool, cx).map(Fused::Weights)
}
