//! One vector that all tasks share and a mask an expert, block by block on all cores.

use super::bits::{Bits, Filling};
use super::chunks::for_chunks;
use super::emr::BLOCK;
use super::rows::{Scratch, blank, rows};
use crate::fusion::{Context, FusionError, Pool};
use crate::weights::{DType, StateDict};

/// One block of all models, and where a method writes what it makes of it.
pub(in crate::fusion) struct Block<'a> {
    pub base: &'a [f32],
    pub experts: &'a [&'a [f32]],
    /// What the tasks share, as long as the block.
    pub shared: &'a mut [f32],
    /// A mask an expert, one bit an element.
    pub masks: &'a mut [Vec<u32>],
}

/// The shared vector, in f32, and `[expert][tensor]` masks that `body` computes; it is handed a state of its own for each
/// chunk of the models.
///
/// # Errors
/// A shared vector that is not finite; cancellation.
pub(in crate::fusion) fn shared_and_masks<S: Default>(
    pool: &Pool,
    cx: &mut Context<'_>,
    body: impl Fn(&mut S, Block<'_>) + Sync,
) -> Result<(StateDict, Vec<Vec<Bits>>), FusionError> {
    let rows = rows(pool)?;
    let all: Vec<usize> = (0..pool.experts().len()).collect();
    let mut shared = blank(&rows);
    for tensor in shared.tensors_mut().iter_mut().filter(|tensor| tensor.dtype.is_float()) {
        tensor.dtype = DType::F32;
    }
    let length = |at: usize| if rows[at].info.dtype.is_float() { rows[at].info.len() } else { 0 };
    let masks: Vec<Vec<Filling>> =
        all.iter().map(|_| (0..rows.len()).map(|at| Filling::new(length(at))).collect()).collect();
    for_chunks(
        shared.tensors_mut(),
        |_| true,
        cx,
        |piece, out, Scratch { decode, .. }| {
            let (mut state, mut words) = (S::default(), vec![Vec::new(); all.len()]);
            for (index, shared) in out.chunks_mut(BLOCK).enumerate() {
                let start = piece.range.start + index * BLOCK;
                let range = start..start + shared.len();
                rows[piece.tensor].read(&all, &range, decode, |base, experts| {
                    body(&mut state, Block { base, experts, shared, masks: &mut words });
                });
                for (words, mask) in words.iter().zip(&masks) {
                    mask[piece.tensor].put(start, words);
                }
            }
            Ok(())
        },
    )?;
    let masks = masks.into_iter().map(|tensors| tensors.into_iter().map(Filling::finish).collect());
    Ok((shared, masks.collect()))
}
