//! Methods that look at one element of base and experts at a time.

use super::chunks::{Piece, for_chunks};
use super::rows::{blank, rows};
use crate::fusion::{Context, FusionError, Pool};
use crate::weights::StateDict;

/// Elements that a kernel is handed at a time: base, output and one expert stay in the first-level cache.
const BLOCK: usize = 2048;

/// The fused model that `kernel` computes, slice by slice, from the same elements of the base (empty when there is none)
/// and of all experts.
///
/// # Errors
/// A result that is not finite; cancellation.
pub(in crate::fusion) fn elementwise(
    pool: &Pool,
    cx: &mut Context<'_>,
    kernel: impl Fn(&[f32], &[&[f32]], &mut [f32]) + Sync,
) -> Result<StateDict, FusionError> {
    elementwise_by_tensor(pool, cx, |_, base, experts, out| kernel(base, experts, out))
}

/// As [`elementwise`], for a kernel that is also told where the elements lie.
///
/// # Errors
/// As [`elementwise`].
pub(in crate::fusion) fn elementwise_by_tensor(
    pool: &Pool,
    cx: &mut Context<'_>,
    kernel: impl Fn(&Piece, &[f32], &[&[f32]], &mut [f32]) + Sync,
) -> Result<StateDict, FusionError> {
    let rows = rows(pool)?;
    let all: Vec<usize> = (0..pool.experts().len()).collect();
    let mut fused = blank(&rows);
    for_chunks(
        fused.tensors_mut(),
        |_| true,
        cx,
        |piece, out, scratch| {
            for (index, out) in out.chunks_mut(BLOCK).enumerate() {
                let start = piece.range.start + index * BLOCK;
                let block = Piece { tensor: piece.tensor, range: start..start + out.len() };
                rows[piece.tensor]
                    .read(&all, &block.range, &mut scratch.decode, |base, experts| kernel(&block, base, experts, out));
            }
            Ok(())
        },
    )?;
    Ok(fused)
}
