//! Methods that look at one element of base and experts at a time.

use super::chunks::{Piece, for_chunks};
use super::rows::{blank, rows};
use crate::fusion::{Context, FusionError, Pool};
use crate::weights::StateDict;

/// The fused model whose every chunk `kernel` computes from the same slice of the base (empty when there is none) and
/// of all experts.
///
/// # Errors
/// A result that is not finite; cancellation.
pub(in crate::fusion) fn elementwise(
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
            rows[piece.tensor]
                .read(&all, &piece.range, &mut scratch.decode, |base, experts| kernel(piece, base, experts, out));
            Ok(())
        },
    )?;
    Ok(fused)
}
