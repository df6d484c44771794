//! Model breadcrumbs with TIES' election of signs (mergekit).

use crate::fusion::kernels::consensus::Vote;
use crate::fusion::kernels::sparsify::Rule;
use crate::fusion::options::deltas;
use crate::fusion::options::mergekit::Switches;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, PerModel, flag, float, per_model};

crate::params! {
    ..deltas: deltas::Params;
    /// Share of each task vector's largest changes that is dropped first, as outliers.
    gamma: PerModel = per_model(0.01, 0.0, 1.0, 0.01).symbol("γ");
    /// Divide by the weights of the entries that are added, so that only proportions matter.
    normalize: bool = flag(false);
    /// Scale what is kept of each tensor to the tensor's ℓ₁ norm before.
    rescale: bool = flag(false);
    /// Coefficient of the merged task vector.
    lambda: f32 = float(1.0, -1.0, 3.0, 0.05).unbounded().symbol("λ");
}

pub static METHOD: Method = Method {
    id: "breadcrumbs_ties",
    name: "Breadcrumbs with TIES",
    family: Family::Merging,
    formula: "θ = θ₀ + λ Σ wᵢ (mᵢ∘τᵢ) over the entries that agree",
    summary: "Breadcrumbs whose middle-sized changes vote on the sign of every weight; only those that agree \
              are added. A common choice for language models.",
    reference: "arXiv:2312.06795",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let (weights, density) = params.deltas.resolve(&METHOD, pool.experts().len())?;
    let gamma = METHOD.typed(params.gamma.resolve_exact("gamma", pool.experts().len()))?;
    let Params { normalize, rescale, lambda, .. } = params;
    let switches = Switches { normalize, rescale, lambda, seed: 0 };
    switches.merge(Vote::Weighted, Rule::Middle { gamma }, weights, density).fuse(pool, cx).map(Fused::Weights)
}
