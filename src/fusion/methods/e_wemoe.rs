//! Efficient WEMoE (Shen et al. 2024): WEMoE with pruned experts behind a single router.

use crate::fusion::kernels::experts::{Experts, Reach, dense};
use crate::fusion::kernels::routing::{Widths, first_routers, train};
use crate::fusion::kernels::spectral::Dense;
use crate::fusion::options::routing;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Matrix, Method, Needs, Pool, Unit};
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
    let pruned = |delta: &Dense| largest(dense(delta), prune);
    let experts = Experts {
        method: METHOD.name,
        lambda: routing.init,
        reach: if parts == "mlp" { Reach::FeedForward } else { Reach::Blocks },
        unit: Unit::Expert,
        biases: true,
        shared,
        keep: &|_, delta| Ok(Matrix::Dense(pruned(delta))),
        keep_bias: &pruned,
    };
    let body = experts.upscale(pool, cx)?;
    let routers = first_routers(&body, router_layers, &routing, |place| {
        let width = place.layers[0].inputs;
        Widths { input: width, hidden: width, answer: body.experts.len() }
    });
    train(&METHOD, &body, &routers, &routing, pool, cx).map(Fused::Mixture)
}

/// Zeros where magnitudes are not above their `share`-quantile, interpolated between neighbours as PyTorch does.
fn largest(mut values: Vec<f32>, share: f64) -> Vec<f32> {
    if values.is_empty() || share <= 0.0 {
        return values;
    }
    let mut sizes: Vec<f32> = values.iter().map(|x| x.abs()).collect();
    sizes.sort_unstable_by(f32::total_cmp);
    let at = share.min(1.0) * (sizes.len() - 1) as f64;
    let (low, high) = (sizes[at.floor() as usize], sizes[at.ceil() as usize]);
    let threshold = low + (high - low) * at.fract() as f32;
    values.iter_mut().filter(|x| x.abs() <= threshold).for_each(|x| *x = 0.0);
    values
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn only_what_is_above_the_quantile_is_kept() {
        assert_eq!(largest(vec![1.0, -4.0, 2.0, 3.0, -5.0], 0.5), [0.0, -4.0, 0.0, 0.0, -5.0]);
        // Between the third and the fourth: 3.4.
        assert_eq!(largest(vec![1.0, -4.0, 2.0, 3.0, -5.0], 0.6), [0.0, -4.0, 0.0, 0.0, -5.0]);
        assert_eq!(largest(vec![1.0, -4.0], 0.0), [1.0, -4.0]);
        assert_eq!(largest(vec![1.0, 1.0, 1.0], 0.9), [0.0; 3]);
    }
}
