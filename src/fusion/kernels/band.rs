//! Magnitudes between two bounds: so many entries of a tensor, counted from the largest or from in between.

use super::chunks::{Piece, map_chunks};
use super::ranks::magnitudes_at;
use super::rows::{Row, Scratch};
use super::select::Deltas;
use super::wide::wide;
use crate::cancel::Cancel;
use crate::fusion::{Context, FusionError};

/// What is kept of one expert's tensor, and the factor that it is multiplied with.
///
/// Entries that equal a bound are kept up to a position in the tensor, so that there are as many as were asked for: among
/// half floats equal magnitudes are common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Band {
    low: Bound,
    high: Bound,
    pub scale: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Bound {
    value: f32,
    /// From this element on, what equals the bound is not kept.
    until: usize,
}

impl Band {
    pub(super) const ALL: Self = Self::between(0.0, f32::INFINITY);
    pub(super) const NOTHING: Self = Self::between(f32::INFINITY, -1.0);

    const fn between(low: f32, high: f32) -> Self {
        let until = usize::MAX;
        Self { low: Bound { value: low, until }, high: Bound { value: high, until }, scale: 1.0 }
    }

    /// Makes what is not kept zero, and scales the rest; `delta` are the elements from `offset` on.
    pub(super) fn filter(&self, offset: usize, delta: &mut [f32]) {
        let end = offset + delta.len();
        let cuts = [self.low.until.clamp(offset, end), self.high.until.clamp(offset, end)];
        let (first, second) = (cuts[0].min(cuts[1]), cuts[0].max(cuts[1]));
        for (start, end) in [(offset, first), (first, second), (second, end)] {
            let low = if start < self.low.until { self.low.value } else { self.low.value.next_up() };
            let high = if start < self.high.until { self.high.value } else { self.high.value.next_down() };
            filter(&mut delta[start - offset..end - offset], low, high, self.scale);
        }
    }
}

wide! {
    /// Scales the magnitudes from `low` to `high`, and makes the rest zero.
    fn filter(delta: &mut [f32], low: f32, high: f32, scale: f32) = filter_body
}

#[inline(always)]
fn filter_body(delta: &mut [f32], low: f32, high: f32, scale: f32) {
    for delta in delta {
        let size = delta.abs();
        *delta = if (size >= low) & (size <= high) { *delta * scale } else { 0.0 };
    }
}

/// The bands that hold, of each tensor and expert, the entries from the first to the last rank given (from 1, in order of
/// magnitude); nothing of what has no ranks.
///
/// # Errors
/// Task vectors that are not finite; cancellation.
pub(super) fn bands(
    vectors: &impl Deltas,
    rows: &[Row<'_>],
    ranks: &[Vec<Option<(usize, usize)>>],
    cx: &Context<'_>,
) -> Result<Vec<Vec<Band>>, FusionError> {
    let wanted =
        ranks.iter().map(|ranks| ranks.iter().map(|ranks| ranks.map_or(vec![], |(a, b)| vec![a, b])).collect());
    let found = magnitudes_at(vectors, rows, &wanted.collect::<Vec<_>>(), (cx.cancel, cx.lenient))?;
    let band = |found: &Vec<f32>| match **found {
        [low, high] => Band::between(low, high),
        _ => Band::NOTHING,
    };
    let mut bands: Vec<Vec<Band>> = found.iter().map(|found| found.iter().map(band).collect()).collect();
    settle_ties(vectors, rows, ranks, &mut bands, cx.cancel)?;
    Ok(bands)
}

/// How many entries of a chunk are below each bound, and how many equal it: `[low, high]`.
type Counts = [[usize; 2]; 2];

/// Finds the positions from which on entries that equal a bound are not kept.
fn settle_ties(
    vectors: &impl Deltas,
    rows: &[Row<'_>],
    ranks: &[Vec<Option<(usize, usize)>>],
    bands: &mut [Vec<Band>],
    cancel: &Cancel,
) -> Result<(), FusionError> {
    let tensors = (0..rows.len()).filter(|&at| ranks[at].iter().any(Option::is_some));
    let found = map_chunks(tensors.map(|at| (at, rows[at].info.len())), cancel, |piece, scratch| {
        let mut counts: Vec<Counts> = vec![[[0; 2]; 2]; vectors.experts()];
        vectors.visit(piece, scratch, &mut |expert, delta| {
            let Band { low, high, .. } = bands[piece.tensor][expert];
            counts[expert] = [count(delta, low.value), count(delta, high.value)];
        });
        counts
    })?;
    let mut scratch = Scratch::default();
    for of_tensor in found.chunk_by(|a, b| a.0.tensor == b.0.tensor) {
        let tensor = of_tensor[0].0.tensor;
        for (expert, ranks) in ranks[tensor].iter().enumerate() {
            let Some((first, last)) = *ranks else { continue };
            let total =
                |bound: usize, what: usize| of_tensor.iter().map(|(_, counts)| counts[expert][bound][what]).sum();
            let (below, equal): (usize, usize) = (total(0, 0), total(0, 1));
            let kept = [last.min(below + equal) + 1 - first, last - total(1, 0)];
            let values = [bands[tensor][expert].low.value, bands[tensor][expert].high.value];
            for bound in 0..2 {
                // Zeros make no difference, and equal bounds are one.
                if values[bound] == 0.0 || total(bound, 1) <= kept[bound] || (bound == 1 && values[0] == values[1]) {
                    continue;
                }
                let mut left = kept[bound];
                let last = of_tensor.iter().find(|(_, counts)| {
                    let here = counts[expert][bound][1];
                    let ends = left < here;
                    left -= if ends { 0 } else { here };
                    ends
                });
                if let Some((piece, _)) = last {
                    let until = position(vectors, piece, expert, values[bound], left, &mut scratch);
                    let band = &mut bands[tensor][expert];
                    (if bound == 0 { &mut band.low } else { &mut band.high }).until = until;
                }
            }
        }
    }
    Ok(())
}

/// Entries below the value, and those that equal it.
fn count(delta: &[f32], value: f32) -> [usize; 2] {
    delta.iter().fold([0, 0], |[below, equal], entry| {
        [below + usize::from(entry.abs() < value), equal + usize::from(entry.abs() == value)]
    })
}

/// Where in the tensor the entry lies that equals the value after `skip` others in this piece.
fn position(
    vectors: &impl Deltas,
    piece: &Piece,
    expert: usize,
    value: f32,
    skip: usize,
    scratch: &mut Scratch,
) -> usize {
    let mut at = piece.range.end;
    vectors.visit(piece, scratch, &mut |slot, delta| {
        if slot == expert {
            let equal = delta.iter().enumerate().filter(|(_, entry)| entry.abs() == value);
            at = piece.range.start + equal.map(|(at, _)| at).nth(skip).unwrap_or(delta.len());
        }
    });
    at
}
