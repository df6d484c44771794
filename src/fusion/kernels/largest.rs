//! The largest entries of each expert's task vector among some of the tensors.

use super::accumulate::subtract;
use super::chunks::Piece;
use super::rows::{Row, Scratch, rows};
use super::select::{Deltas, kth_magnitudes};
use crate::fusion::{Context, FusionError, Pool};
use crate::weights::TensorInfo;

/// The magnitude from which on each expert's entries belong to its ⌊dk⌋ + 1 largest among the tensors that are `chosen`,
/// with all that are equal; empty if no tensor is.
///
/// # Errors
/// A task vector that is not finite; cancellation.
pub(in crate::fusion) fn largest(
    pool: &Pool,
    chosen: impl Fn(&TensorInfo) -> bool,
    density: f64,
    cx: &Context<'_>,
) -> Result<Vec<f32>, FusionError> {
    let rows = rows(pool)?;
    let lengths = || rows.iter().enumerate().filter(|(_, row)| chosen(row.info)).map(|(at, row)| (at, row.info.len()));
    let entries: usize = lengths().map(|(_, length)| length).sum();
    if entries == 0 {
        return Ok(Vec::new());
    }
    let rank = (entries - ((entries as f64 * density) as usize).min(entries)).max(1);
    let deltas = Plain { rows: &rows, all: (0..pool.experts().len()).collect() };
    let ranks = vec![rank; pool.experts().len()];
    kth_magnitudes(&deltas, lengths(), &[], &ranks, (cx.cancel, cx.lenient))
}

/// Task vectors as they are.
struct Plain<'a> {
    rows: &'a [Row<'a>],
    all: Vec<usize>,
}

impl Deltas for Plain<'_> {
    fn experts(&self) -> usize {
        self.all.len()
    }

    fn visit(&self, piece: &Piece, Scratch { decode, work }: &mut Scratch, visitor: &mut dyn FnMut(usize, &[f32])) {
        self.rows[piece.tensor].read(&self.all, &piece.range, decode, |base, experts| {
            for (slot, expert) in experts.iter().enumerate() {
                subtract(expert, base, &mut work.delta);
                visitor(slot, &work.delta);
            }
        });
    }

    fn name(&self, tensor: usize) -> &str {
        &self.rows[tensor].info.name
    }
}
