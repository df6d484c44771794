//! Dropping parts of task vectors at random.

use super::accumulate::subtract;
use super::chunks::for_chunks;
use super::rows::{Scratch, blank, rows};
use super::wide::wide;
use crate::fusion::{Context, FusionError, MaskSource, Pool, SeededMasks};
use crate::weights::{StateDict, TensorInfo};

/// How task vectors are thinned out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::fusion) struct Dare {
    /// Share that is dropped.
    pub drop: f64,
    /// Whether the rest is divided by the share that is kept.
    pub rescale: bool,
    /// Whether only weights of linear layers are thinned out.
    pub only_linear: bool,
    pub seed: u64,
}

impl Dare {
    /// Thins out `delta`, the elements from `offset` on of the given expert's task vector; `keep` is a buffer.
    pub(super) fn apply(
        &self,
        masks: &dyn MaskSource,
        expert: usize,
        info: &TensorInfo,
        offset: usize,
        delta: &mut [f32],
        keep: &mut Vec<bool>,
    ) {
        if is_statistic(&info.name) {
            // Scaled up, a variance could become negative; what is not trained keeps the base's values.
            delta.fill(0.0);
            return;
        }
        if self.only_linear && !is_linear_weight(info) {
            return;
        }
        keep.resize(delta.len(), true);
        masks.keep(expert, &info.name, offset, self.drop, keep);
        // With p = 1 nothing is kept, and nothing is to be scaled.
        let scale = if self.rescale && self.drop < 1.0 { (1.0 / (1.0 - self.drop)) as f32 } else { 1.0 };
        apply_mask(delta, keep, scale);
    }
}

wide! {
    /// Scales what is kept, and makes the rest zero.
    pub(super) fn apply_mask(delta: &mut [f32], keep: &[bool], scale: f32) = apply_mask_body
}

#[inline(always)]
fn apply_mask_body(delta: &mut [f32], keep: &[bool], scale: f32) {
    for (delta, &keep) in delta.iter_mut().zip(keep) {
        *delta = if keep { *delta * scale } else { 0.0 };
    }
}

/// θ₀ + λ Σ of the thinned task vectors.
///
/// # Errors
/// A result that is not finite; cancellation.
pub(in crate::fusion) fn fuse_dropped(
    pool: &Pool,
    dare: &Dare,
    lambda: f32,
    cx: &mut Context<'_>,
) -> Result<StateDict, FusionError> {
    let rows = rows(pool)?;
    let all: Vec<usize> = (0..pool.experts().len()).collect();
    let mut fused = blank(&rows);
    let seeded = SeededMasks { seed: dare.seed };
    let masks = cx.masks.unwrap_or(&seeded);
    for_chunks(
        fused.tensors_mut(),
        |_| true,
        cx,
        |piece, out, Scratch { decode, work }| {
            let row = &rows[piece.tensor];
            let delta = &mut work.delta;
            row.read(&all, &piece.range, decode, |base, experts| {
                out.fill(0.0);
                for (slot, expert) in experts.iter().enumerate() {
                    subtract(expert, base, delta);
                    dare.apply(masks, slot, row.info, piece.range.start, delta, &mut work.keep);
                    out.iter_mut().zip(&*delta).for_each(|(sum, delta)| *sum += delta);
                }
                out.iter_mut().zip(base).for_each(|(out, base)| *out = base + lambda * *out);
            });
            Ok(())
        },
    )?;
    Ok(fused)
}

/// Whether a tensor is the weight matrix of a linear layer, as far as its name and shape tell.
pub(in crate::fusion) fn is_linear_weight(info: &TensorInfo) -> bool {
    let embedding = ["embed", "wte.", "wpe.", "shared."].iter().any(|mark| info.name.contains(mark));
    info.shape.len() == 2 && info.name.ends_with("weight") && !embedding
}

/// Whether a tensor is a running statistic, which is counted and not trained.
pub(super) fn is_statistic(name: &str) -> bool {
    name.ends_with("running_mean") || name.ends_with("running_var")
}
