//! WEMoE (Tang et al. 2024): the experts' feed-forward networks, weighed image by image by routers that are trained
//! without labels.

use crate::fusion::kernels::weight_ensembling::WeightEnsembling;
use crate::fusion::options::routing;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, choice, int};

crate::params! {
    /// What has experts: the blocks' feed-forward networks, as in the paper, or attention too, with routers of its own.
    parts: String = choice("mlp", &["mlp", "both"]).costly();
    /// Layers of a router, two in the paper; without any, each expert weighs the same for all images.
    router_layers: usize = int(1, 0, 2, 1).costly();
    ..routing: routing::Params;
}

pub static METHOD: Method = Method {
    id: "wemoe",
    name: "WEMoE",
    family: Family::Mixing,
    formula: "MLP(x) = MLP₀(x) + Σ gᵢ(x) τᵢ, the rest θ₀ + λ Σ τᵢ; g moved down Σ H(softmax(f(x)))",
    summary: "Keeps every expert's feed-forward networks, and merges all else by task arithmetic. In each block a router \
              looks at an image and says how much of every expert it takes. Routers are trained without labels, on inputs \
              of all tasks; watch whom they ask.",
    reference: "arXiv:2402.00433",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

/// FusionBench sets `batch_reduce` on the wrong object, so that it routes whole batches of one task when it evaluates; here
/// every image is routed by itself.
fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { parts, router_layers, routing } = METHOD.typed(Params::from_set(set))?;
    let mixture = WeightEnsembling { parts: &parts, prune: 0.0, shared: false, router_layers };
    mixture.train(&METHOD, &routing, pool, cx).map(Fused::Mixture)
}
