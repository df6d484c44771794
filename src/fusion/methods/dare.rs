//! DARE with task arithmetic (Yu et al. 2023): most of every task vector can be dropped at random.

use crate::fusion::kernels::dare::fuse_dropped;
use crate::fusion::options::drop;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// Coefficient of the summed task vectors.
    scaling: f32 = float(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ");
    ..drop: drop::Params;
}

pub static METHOD: Method = Method {
    id: "dare",
    name: "DARE",
    family: Family::Merging,
    formula: "θ = θ₀ + λ Σ mᵢ∘τᵢ/(1−p), mᵢ ~ Bernoulli(1−p)",
    summary: "Drops a random share p of every task vector, scales up the rest, then adds as task arithmetic does. Large \
              language models bear p = 0.9 and more, fully fine-tuned vision models about 0.5.",
    reference: "arXiv:2311.03099",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    fuse_dropped(pool, &params.drop.dare(), params.scaling, cx).map(Fused::Weights)
}
