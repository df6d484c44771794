//! DARE with averaging (Yu et al. 2023): most of every task vector can be dropped at random.

use crate::fusion::kernels::dare::{Dare, fuse_dropped};
use crate::fusion::{Context, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, flag, float, seed};

crate::params! {
    /// Share of each task vector that is dropped at random.
    drop: f64 = float(0.5, 0.0, 1.0, 0.05).symbol("p");
    /// Divide what is kept by 1 − p, so that the task vector keeps its expected size.
    rescale: bool = flag(true);
    /// Drop only within the weight matrices of linear layers; keep everything else whole.
    only_linear: bool = flag(false).advanced();
    /// Seed of the random masks.
    seed: u64 = seed(0);
}

pub static METHOD: Method = Method {
    id: "dare_average",
    name: "DARE average",
    family: Family::Merging,
    formula: "θ = θ₀ + (1/T) Σ mᵢ∘τᵢ/(1−p), mᵢ ~ Bernoulli(1−p)",
    summary: "Drops a random share p of every task vector, scales up the rest and averages. Shows how redundant task vectors \
              are: with p = 0 it is the simple average, and it hardly changes until p is large.",
    reference: "arXiv:2311.03099",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let dare = Dare { drop: params.drop, rescale: params.rescale, only_linear: params.only_linear, seed: params.seed };
    fuse_dropped(pool, &dare, 1.0 / pool.experts().len() as f32, cx).map(Fused::Weights)
}
