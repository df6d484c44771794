//! RankOne-MoE: the components of the experts' feed-forward changes, each weighed by itself, image by image.

use crate::fusion::kernels::experts::{Experts, Reach, dense};
use crate::fusion::kernels::low_rank::low_rank;
use crate::fusion::kernels::routing::{Widths, first_routers, train};
use crate::fusion::kernels::spectral::leading;
use crate::fusion::options::routing;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool, Unit};
use crate::params::{ParamSet, int};

crate::params! {
    /// Components of every expert in every feed-forward layer.
    rank: usize = int(32, 1, 256, 4).at_least(1.0).symbol("k").costly();
    /// About so many components are let through for an image; 0: all.
    select: usize = int(0, 0, 1024, 8).at_least(0.0).costly().advanced();
    /// Layers of a router; without any, each component weighs the same for all images.
    router_layers: usize = int(1, 0, 2, 1).costly();
    ..routing: routing::Params;
}

pub static METHOD: Method = Method {
    id: "rankone_moe",
    name: "RankOne-MoE",
    family: Family::Mixing,
    formula: "W(x) = W₀ + Σᵢ Uᵢ diag(gᵢ(x)) ΣᵢVᵢᵀ in feed-forward layers, the rest θ₀ + λ Σ τᵢ",
    summary: "Takes every expert's feed-forward changes apart into components of rank one. In each block a router looks at an \
              image and says how much of every component it takes, so that parts of experts are mixed. Trained without \
              labels, on inputs of all tasks.",
    reference: "github.com/EnnengYang/RankOne-MoE",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { rank, select, router_layers, routing } = METHOD.typed(Params::from_set(set))?;
    let experts = Experts {
        method: METHOD.name,
        lambda: routing.init,
        reach: Reach::FeedForward,
        unit: Unit::Component,
        // A bias has no components.
        biases: false,
        shared: false,
        keep: &|task, delta| {
            let rank = rank.min(delta.rank());
            Ok(low_rank(&task.solved(leading(delta.view(), rank))?, rank))
        },
        keep_bias: &dense,
    };
    let body = experts.upscale(pool, cx)?;
    let mut routers = first_routers(&body, router_layers, &routing, |place| {
        let components = place.layers[0].components();
        Widths { input: place.layers[0].inputs, hidden: 2 * components, answer: components }
    });
    for router in &mut routers {
        router.select = (select > 0).then_some(select);
    }
    train(&METHOD, &body, &routers, &routing, pool, cx).map(Fused::Mixture)
}
