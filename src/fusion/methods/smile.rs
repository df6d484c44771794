//! SMILE (Tang et al. 2024): sparse mixture of low-rank experts from pretrained models, without data or training.

use crate::fusion::kernels::smile::Upscaling;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, News, Pool};
use crate::params::{ParamSet, choice, flag, int};

crate::params! {
    /// Rank of every expert in every linear layer; −1: all of the change.
    rank: i64 = int(32, -1, 1024, 8).at_least(-1.0).symbol("k");
    /// How many of an expert's input directions the router looks at.
    router_rank: i64 = int(16, 1, 256, 1).at_least(1.0);
    /// Experts that answer for a token.
    top_k: i64 = int(1, 1, 8, 1).at_least(1.0);
    /// Whose input directions the router looks along: those of the change, or those of the expert's whole weight.
    routing: String = choice("change", &["change", "weight"]).advanced();
    /// Whether everything but the linear layers is the experts' mean instead of the base's.
    average_experts: bool = flag(false).advanced();
}

pub static METHOD: Method = Method {
    id: "smile",
    name: "SMILE",
    family: Family::Mixing,
    formula: "y = W₀x + b₀ + Σᵢ gᵢ(UₖΣₖVₖᵀx + Δbᵢ), g = top-k softmax ‖Vᵢᵀx‖",
    summary: "Keeps what each expert changed of every linear layer, at low rank, beside the base's weight. For each token, \
              the experts whose strongest input directions it lies along answer. Needs no data and no training.",
    reference: "arXiv:2408.10174",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { rank, router_rank, top_k, routing, average_experts } = METHOD.typed(Params::from_set(set))?;
    let experts = pool.experts().len();
    if usize::try_from(top_k).is_ok_and(|top| top > experts) {
        let text = format!("top_k is {top_k}, and there are {experts} experts: all of them answer for every token");
        cx.tell(News::Warning(text));
    }
    let upscaling = Upscaling {
        method: METHOD.name,
        rank: usize::try_from(rank).ok().filter(|rank| *rank > 0),
        router_rank: usize::try_from(router_rank).unwrap_or(1),
        top: usize::try_from(top_k).unwrap_or(1),
        along_change: routing == "change",
        average_experts,
    };
    upscaling.upscale(pool, cx).map(Fused::Mixture)
}
