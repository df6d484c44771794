//! TALL masks (Wang et al. 2024): the summed task vector, masked for each task to where it speaks for that task.

use crate::fusion::kernels::shared::{Block, shared_and_masks};
use crate::fusion::kernels::tall;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Own, PerTask, Pool};
use crate::params::{ParamSet, PerModel, per_model};

crate::params! {
    /// How much larger than the others' an expert's change must be; chosen for each task on validation, usually 0.2 to 0.6.
    threshold: PerModel = per_model(0.6, 0.0, 2.0, 0.05).at_least(0.0).symbol("λ");
}

pub static METHOD: Method = Method {
    id: "tall_mask",
    name: "TALL masks",
    family: Family::Compression,
    formula: "θₖ = θ₀ + mₖ∘τ, τ = Σ τᵢ, mₖ = [|τₖ| > λₖ |τ − τₖ|]",
    summary: "Keeps the sum of all task vectors and, for each task, one bit a weight: whether the sum there is mostly the \
              task's own change. What tasks have learned is still in the sum; the masks find it again.",
    reference: "arXiv:2405.07813",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

/// FusionBench compares |θ₀ − τₖ| instead of |τₖ|, so that nearly everything is in its masks.
fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { threshold } = METHOD.typed(Params::from_set(set))?;
    let thresholds = METHOD.typed(threshold.resolve("threshold", pool.experts().len()))?;
    let (sum, masks) = shared_and_masks(pool, cx, |ones: &mut Vec<f32>, Block { base, experts, shared, masks }| {
        tall::sum(base, experts, ones, shared);
        for ((expert, threshold), words) in experts.iter().zip(&thresholds).zip(masks) {
            tall::mask(expert, base, shared, *threshold, words);
        }
    })?;
    let own = |masks: Vec<_>| masks.into_iter().map(|mask| Own::Masked { mask, scale: 1.0 }).collect();
    Ok(Fused::PerTask(PerTask::new(Some(sum), masks.into_iter().map(own).collect())))
}
