//! DELLA (Deep et al. 2024): random dropping that prefers to keep large changes, and an election of signs.

use crate::fusion::kernels::consensus::Vote;
use crate::fusion::kernels::sparsify::Rule;
use crate::fusion::options::deltas;
use crate::fusion::options::mergekit::Switches;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, PerModel, flag, float, per_model, seed};

crate::params! {
    ..deltas: deltas::Params;
    /// How far the smallest and the largest change of a row are from the density in their chance to be kept.
    epsilon: PerModel = per_model(0.15, 0.0, 0.5, 0.01).symbol("ε");
    /// Divide by the weights of the entries that are added, so that only proportions matter.
    normalize: bool = flag(true);
    /// Scale what is kept of each tensor to the tensor's ℓ₁ norm before.
    rescale: bool = flag(true);
    /// Coefficient of the merged task vector.
    lambda: f32 = float(1.0, -1.0, 3.0, 0.05).unbounded().symbol("λ");
    /// Seed of the random masks.
    seed: u64 = seed(0);
}

pub static METHOD: Method = Method {
    id: "della",
    name: "DELLA",
    family: Family::Merging,
    formula: "θ = θ₀ + λ Σ wᵢ cᵢ mᵢ∘τᵢ over the entries that agree, p(mᵢ) by rank",
    summary: "DARE that is less blind: within the weights of each output, the larger a change the likelier it \
              is kept, from density − ε to density + ε. Then what has the sign of the weighted sum is \
              averaged.",
    reference: "arXiv:2406.11617",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let (weights, density) = params.deltas.resolve(&METHOD, pool.experts().len())?;
    let epsilon = deltas::chances(&METHOD, &params.epsilon, &density)?;
    let Params { normalize, rescale, lambda, seed, .. } = params;
    let switches = Switches { normalize, rescale, lambda, seed };
    switches.merge(Vote::Weighted, Rule::Ranked { epsilon }, weights, density).fuse(pool, cx).map(Fused::Weights)
}
