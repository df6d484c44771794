//! Linear combinations of the experts with coefficients of their own for every row or column of a tensor.

use super::accumulate::accumulate;
use super::chunks::for_row_chunks;
use super::moments::{Of, Products, products_of};
use super::rows::{Decode, Row, Scratch, blank, row_length, rows};
use crate::cancel::Cancel;
use crate::fusion::{Context, FusionError, Pool};
use crate::weights::StateDict;
use rayon::prelude::*;

/// Which elements of a tensor are one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) enum Along {
    /// Those that differ in the last index only.
    Last,
    /// Those that differ in the first index only.
    First,
}

/// Σ λᵢθᵢ, or θ₀ + Σ λᵢτᵢ where scalar products of task vectors are asked for, with λ found from each vector's scalar
/// products by `coefficients`. A tensor of one dimension is one vector.
///
/// # Errors
/// A result that is not finite; cancellation.
pub(in crate::fusion) fn fuse_vectors(
    pool: &Pool,
    of: Of,
    along: Along,
    cx: &mut Context<'_>,
    coefficients: impl Fn(&Products) -> Vec<f64> + Sync,
) -> Result<StateDict, FusionError> {
    let rows = rows(pool)?;
    let all: Vec<usize> = (0..pool.experts().len()).collect();
    let mut fused = blank(&rows);
    let lambdas = match along {
        Along::Last => Vec::new(),
        Along::First => columns(&rows, &all, of, cx.cancel, &coefficients)?,
    };
    let unit = |at: usize| match (along, rows[at].info.shape.as_slice()) {
        (Along::Last, [.., last]) => *last,
        (Along::First, [_, rest @ ..]) => rest.iter().product(),
        (_, []) => 1,
    };
    for_row_chunks(
        fused.tensors_mut(),
        unit,
        |_| true,
        cx,
        |piece, out, Scratch { decode, .. }| {
            let row = unit(piece.tensor).max(1);
            rows[piece.tensor].read(&all, &piece.range, decode, |base, experts| {
                let origin = if of == Of::TaskVectors { base } else { &[] };
                for (index, out) in out.chunks_mut(row).enumerate() {
                    let range = index * row..index * row + out.len();
                    let origin = if origin.is_empty() { &[] } else { &origin[range.clone()] };
                    let experts: Vec<&[f32]> = experts.iter().map(|expert| &expert[range.clone()]).collect();
                    if origin.is_empty() {
                        out.fill(0.0);
                    } else {
                        out.copy_from_slice(origin);
                    }
                    if along == Along::Last {
                        let lambdas: Vec<f32> =
                            coefficients(&products_of(of, origin, &experts)).into_iter().map(|x| x as f32).collect();
                        accumulate(out, origin, &experts, &lambdas);
                        continue;
                    }
                    for (expert, lambdas) in experts.iter().zip(&lambdas[piece.tensor]) {
                        for (at, ((out, value), lambda)) in out.iter_mut().zip(*expert).zip(lambdas).enumerate() {
                            *out += lambda * (value - origin.get(at).copied().unwrap_or(0.0));
                        }
                    }
                }
            });
            Ok(())
        },
    )?;
    Ok(fused)
}

/// The coefficients of every column, `[tensor][expert][column]`.
fn columns(
    rows: &[Row<'_>],
    all: &[usize],
    of: Of,
    cancel: &Cancel,
    coefficients: &(impl Fn(&Products) -> Vec<f64> + Sync),
) -> Result<Vec<Vec<Vec<f32>>>, FusionError> {
    let tensor = |decode: &mut Decode, row: &Row<'_>| {
        let width = if row.info.shape.len() > 1 { row_length(row.info) } else { 1 };
        let mut lambdas = vec![vec![0.0f32; width]; all.len()];
        if row.info.dtype.is_float() && !row.info.is_empty() {
            for (at, products) in column_products(row, all, of, width, cancel, decode)?.iter().enumerate() {
                let found = coefficients(products);
                lambdas.iter_mut().zip(found).for_each(|(lambdas, lambda)| lambdas[at] = lambda as f32);
            }
        }
        Ok(lambdas)
    };
    rows.par_iter().map_init(Decode::default, tensor).collect()
}

/// The scalar products of each of a tensor's `width` columns.
fn column_products(
    row: &Row<'_>,
    all: &[usize],
    of: Of,
    width: usize,
    cancel: &Cancel,
    decode: &mut Decode,
) -> Result<Vec<Products>, FusionError> {
    let experts = all.len();
    let pairs: Vec<(usize, usize)> = (0..experts).flat_map(|i| (i..experts).map(move |j| (i, j))).collect();
    let mut sums = vec![vec![0.0f64; pairs.len()]; width];
    for start in (0..row.info.len()).step_by(width) {
        cancel.check()?;
        row.read(all, &(start..start + width), decode, |base, experts| {
            let value = |expert: usize, at: usize| match of {
                Of::Weights => f64::from(experts[expert][at]),
                Of::TaskVectors => f64::from(experts[expert][at] - base[at]),
            };
            for (at, sums) in sums.iter_mut().enumerate() {
                sums.iter_mut().zip(&pairs).for_each(|(sum, &(i, j))| *sum += value(i, at) * value(j, at));
            }
        });
    }
    Ok(sums.into_iter().map(|sums| Products::new(experts, sums)).collect())
}
