//! WEMoE (Tang et al. 2024): the experts' feed-forward networks, weighed image by image by routers that are trained
//! without labels.

use crate::fusion::kernels::experts::{Experts, Reach, dense};
use crate::fusion::kernels::routing::{Widths, first_routers, train};
use crate::fusion::options::routing;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Matrix, Method, Needs, Pool, Unit};
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
    let experts = Experts {
        method: METHOD.name,
        lambda: routing.init,
        reach: if parts == "mlp" { Reach::FeedForward } else { Reach::Blocks },
        unit: Unit::Expert,
        biases: true,
        shared: false,
        keep: &|_, delta| Ok(Matrix::Dense(dense(delta))),
        keep_bias: &dense,
    };
    let body = experts.upscale(pool, cx)?;
    let routers = first_routers(&body, router_layers, &routing, |place| {
        let width = place.layers[0].inputs;
        Widths { input: width, hidden: width, answer: body.experts.len() }
    });
    train(&METHOD, &body, &routers, &routing, pool, cx).map(Fused::Mixture)
}
