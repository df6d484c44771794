//! Where task vectors pull on the same weights: Ω = Σᵢ≠ⱼ gᵢ∘|τⱼ|, and task arithmetic outside of that; gᵢ is how much
//! task i depends on a weight, or |τᵢ| in its place.

use super::accumulate::accumulate;
use super::chunks::{Piece, for_chunks};
use super::dare::is_statistic;
use super::rows::{Row, Scratch, Work, blank, rows};
use super::select::{Deltas, kth_magnitudes};
use crate::fusion::{Context, FusionError, Pool};
use crate::weights::{StateDict, Tensor};
use std::sync::Arc;

/// θ₀ + λ Σ τᵢ over the weights whose Ω is below its `quantile` over the whole model; the others, and running
/// statistics, as the base has them. `slopes` are the gᵢ, one an expert; tensors that they lack count as zeros.
///
/// # Errors
/// Inputs or results that are not finite; cancellation.
pub(in crate::fusion) fn agreeing(
    pool: &Pool,
    scaling: f32,
    quantile: f64,
    slopes: Option<&[Arc<StateDict>]>,
    cx: &mut Context<'_>,
) -> Result<StateDict, FusionError> {
    let rows = rows(pool)?;
    let of = |row: &Row<'_>| -> Vec<Option<&[f32]>> {
        let own = |tensor: &&Tensor| tensor.shape == row.info.shape;
        let tensors = slopes.into_iter().flatten().map(|slopes| slopes.get(&row.info.name).filter(own));
        tensors.map(|tensor| tensor.and_then(Tensor::values)).collect()
    };
    let slopes = slopes.map(|_| rows.iter().map(of).collect());
    let conflict = Conflict { rows: &rows, all: (0..pool.experts().len()).collect(), slopes };
    let threshold = conflict.threshold(quantile, cx)?;
    let lambdas = vec![scaling; conflict.all.len()];
    let mut fused = blank(&rows);
    for_chunks(
        fused.tensors_mut(),
        |_| true,
        cx,
        |piece, out, Scratch { decode, work }| {
            let row = &rows[piece.tensor];
            row.read(&conflict.all, &piece.range, decode, |base, experts| {
                out.copy_from_slice(base);
                if is_statistic(&row.info.name) {
                    return;
                }
                accumulate(out, base, experts, &lambdas);
                conflict.omega(piece, base, experts, work);
                for ((out, base), omega) in out.iter_mut().zip(base).zip(&work.delta) {
                    // With sparse task vectors the quantile is zero, and nothing would lie below it.
                    *out = if *omega < threshold || *omega == 0.0 { *out } else { *base };
                }
            });
            Ok(())
        },
    )?;
    Ok(fused)
}

struct Conflict<'a> {
    rows: &'a [Row<'a>],
    all: Vec<usize>,
    /// `[tensor][expert]`
    slopes: Option<Vec<Vec<Option<&'a [f32]>>>>,
}

impl Conflict<'_> {
    /// Ω of a chunk, into `work.delta`. The order of additions is FusionBench's, so that equal values come out equal.
    fn omega(
        &self,
        piece: &Piece,
        base: &[f32],
        experts: &[&[f32]],
        Work { kept: sizes, delta: omega, .. }: &mut Work,
    ) {
        let length = base.len();
        sizes.resize(length * experts.len(), 0.0);
        omega.clear();
        omega.resize(length, 0.0);
        if length == 0 {
            return;
        }
        for (sizes, expert) in sizes.chunks_exact_mut(length).zip(experts) {
            for ((size, a), b) in sizes.iter_mut().zip(*expert).zip(base) {
                *size = (a - b).abs();
            }
        }
        for i in 0..experts.len() {
            let first = match &self.slopes {
                None => Some(&sizes[i * length..(i + 1) * length]),
                Some(slopes) => slopes[piece.tensor][i].map(|slope| &slope[piece.range.clone()]),
            };
            let Some(first) = first else { continue };
            for (_, second) in sizes.chunks_exact(length).enumerate().filter(|(j, _)| *j != i) {
                omega.iter_mut().zip(first).zip(second).for_each(|((sum, a), b)| *sum += a * b);
            }
        }
    }

    fn threshold(&self, quantile: f64, cx: &Context<'_>) -> Result<f32, FusionError> {
        let trained = |row: &Row<'_>| row.info.dtype.is_float() && !is_statistic(&row.info.name);
        let lengths = || self.rows.iter().enumerate().filter(|(_, row)| trained(row));
        let entries: usize = lengths().map(|(_, row)| row.info.len()).sum();
        if entries == 0 {
            return Ok(0.0);
        }
        let rank = ((entries as f64 * quantile) as usize).min(entries - 1) + 1;
        let found = kth_magnitudes(
            self,
            lengths().map(|(at, row)| (at, row.info.len())),
            &[],
            &[rank],
            (cx.cancel, cx.lenient),
        )?;
        Ok(found.first().copied().unwrap_or_default())
    }
}

impl Deltas for Conflict<'_> {
    /// One quantity is looked through, made of all task vectors.
    fn experts(&self) -> usize {
        1
    }

    fn visit(&self, piece: &Piece, Scratch { decode, work }: &mut Scratch, visitor: &mut dyn FnMut(usize, &[f32])) {
        self.rows[piece.tensor].read(&self.all, &piece.range, decode, |base, experts| {
            self.omega(piece, base, experts, work);
            visitor(0, &work.delta);
        });
    }

    fn name(&self, tensor: usize) -> &str {
        &self.rows[tensor].info.name
    }
}
