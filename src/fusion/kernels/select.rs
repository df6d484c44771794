//! The k-th smallest magnitude of each expert's task vector over the whole model, exactly, without holding any of it.
//!
//! Magnitudes of floats order like their bits, so a histogram of the upper half of the bits finds the bin in which the
//! wanted value lies, and one of the lower half, over that bin alone, finds the value.

use super::chunks::{Piece, pieces};
use super::rows::Scratch;
use crate::cancel::Cancel;
use crate::fusion::FusionError;
use rayon::prelude::*;

/// What is looked through, chunk by chunk: calls back with each expert's slot and its part of the task vector.
pub(super) trait Deltas: Sync {
    fn experts(&self) -> usize;
    fn visit(&self, piece: &Piece, scratch: &mut Scratch, visitor: &mut dyn FnMut(usize, &mut [f32]));
    fn name(&self, tensor: usize) -> &str;
}

/// The `rank`-th smallest magnitude (from 1) of each expert over all pieces and its own `extra` values.
///
/// # Errors
/// A task vector that is not finite; cancellation.
pub(super) fn kth_magnitudes(
    deltas: &impl Deltas,
    lengths: impl Iterator<Item = (usize, usize)>,
    extra: &[Vec<f32>],
    rank: usize,
    cancel: &Cancel,
) -> Result<Vec<f32>, FusionError> {
    let pieces = pieces(lengths);
    let experts = deltas.experts();
    let high = histograms(deltas, &pieces, extra, cancel, 1 << 15, &|_, bits| Some(bits >> 16))?;
    let found: Vec<(u32, u64)> = high.iter().map(|bins| locate(bins, rank as u64)).collect();
    let low = histograms(deltas, &pieces, extra, cancel, 1 << 16, &|expert, bits| {
        (bits >> 16 == found[expert].0).then_some(bits & 0xffff)
    })?;
    let value = |expert: usize| {
        let (bin, left) = found[expert];
        f32::from_bits(bin << 16 | locate(&low[expert], left).0)
    };
    Ok((0..experts).map(value).collect())
}

/// The bin that holds the `rank`-th count, and its rank within that bin.
fn locate(bins: &[u64], rank: u64) -> (u32, u64) {
    let mut left = rank;
    for (bin, &count) in bins.iter().enumerate() {
        if left <= count {
            return (bin as u32, left);
        }
        left -= count;
    }
    (bins.len().saturating_sub(1) as u32, 1)
}

/// For each expert, how many values fall into each bin.
fn histograms(
    deltas: &impl Deltas,
    pieces: &[Piece],
    extra: &[Vec<f32>],
    cancel: &Cancel,
    bins: usize,
    bin: &(impl Fn(usize, u32) -> Option<u32> + Sync),
) -> Result<Vec<Vec<u64>>, FusionError> {
    let experts = deltas.experts();
    let empty = || vec![vec![0u64; bins]; experts];
    let count = |counts: &mut [u64], expert: usize, values: &[f32]| {
        let mut finite = true;
        for value in values {
            let bits = value.to_bits() & 0x7fff_ffff;
            finite &= bits < f32::INFINITY.to_bits();
            if let Some(bin) = bin(expert, bits) {
                counts[bin as usize] += 1;
            }
        }
        finite
    };
    let step = |(mut counts, mut scratch): (Vec<Vec<u64>>, Scratch), piece: &Piece| {
        cancel.check()?;
        let mut finite = true;
        deltas.visit(piece, &mut scratch, &mut |expert, delta| finite &= count(&mut counts[expert], expert, delta));
        if finite {
            Ok((counts, scratch))
        } else {
            Err(FusionError::NotFinite { tensor: deltas.name(piece.tensor).to_owned() })
        }
    };
    let share = pieces.len().div_ceil(4 * rayon::current_num_threads()).max(1);
    let mut total = pieces
        .par_iter()
        .with_min_len(share)
        .try_fold(|| (empty(), Scratch::default()), step)
        .map(|result| result.map(|(counts, _)| counts))
        .try_reduce(empty, |mut a, b| {
            a.iter_mut().flatten().zip(b.iter().flatten()).for_each(|(a, b)| *a += b);
            Ok(a)
        })?;
    for (expert, values) in extra.iter().enumerate() {
        count(&mut total[expert], expert, values);
    }
    Ok(total)
}
