//! DARE with averaging (Yu et al. 2023): most of every task vector can be dropped at random.

use crate::fusion::kernels::dare::fuse_dropped;
use crate::fusion::options::drop::Params;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::ParamSet;

pub static METHOD: Method = Method {
    id: "dare_average",
    name: "DARE average",
    family: Family::Merging,
    formula: "θ = θ₀ + (1/T) Σ mᵢ∘τᵢ/(1−p), mᵢ ~ Bernoulli(1−p)",
    summary: "Drops a random share p of every task vector, scales up the rest and averages. Shows how redundant task vectors \
              are: with p = 0 it is the simple average, and it hardly changes until p is large.",
    reference: "arXiv:2311.03099",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    fuse_dropped(pool, &params.dare(), 1.0 / pool.experts().len() as f32, cx).map(Fused::Weights)
}
