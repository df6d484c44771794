//! Efficient WEMoE (Shen et al. 2024): WEMoE with pruned experts behind a single router.

use crate::fusion::kernels::weight_ensembling::WeightEnsembling;
use crate::fusion::options::routing;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, choice, flag, float, int};

crate::params! {
    /// Share of every task vector's smallest entries that is dropped, tensor by tensor.
    prune: f64 = float(0.9, 0.0, 0.99, 0.05).at_least(0.0).up_to(1.0).costly();
    /// What has experts: the blocks' feed-forward networks, as in the paper, or attention too.
    parts: String = choice("mlp", &["mlp", "both"]).costly();
    /// Whether all blocks ask the same router, each with its own inputs.
    shared: bool = flag(true).costly();
    /// Layers of a router, two in the paper; without any, each expert weighs the same for all images.
    router_layers: usize = int(1, 0, 2, 1).costly();
    ..routing: routing::Params;
}

pub static METHOD: Method = Method {
    id: "e_wemoe",
    name: "Efficient WEMoE",
    family: Family::Mixing,
    formula: "MLP(x) = MLP₀(x) + Σ gᵢ(x) prune(τᵢ), one g for all blocks, the rest θ₀ + λ Σ τᵢ",
    summary: "WEMoE in a fraction of the space: of every expert's feed-forward networks only the largest changes are kept, \
              and one router serves all blocks. Trained without labels, on inputs of all tasks.",
    reference: "arXiv:2410.21804",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { prune, parts, shared, router_layers, routing } = METHOD.typed(Params::from_set(set))?;
    let mixture = WeightEnsembling { parts: &parts, prune, shared, router_layers };
    mixture.train(&METHOD, &routing, pool, cx).map(Fused::Mixture)
}
