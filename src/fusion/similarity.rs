//! How large the task vectors are and which way they point.

use super::kernels::chunks::map_chunks;
use super::kernels::rows::rows;
use super::{FusionError, Pool};
use crate::cancel::Cancel;

/// Norms and angles of a pool's task vectors, over all float tensors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Similarity {
    /// The experts, in pool order.
    pub names: Vec<String>,
    /// ‖θᵢ − θ₀‖₂
    pub norms: Vec<f64>,
    /// ‖θ₀‖₂
    pub base_norm: f64,
    /// `[expert][expert]`: cosine of the angle between two task vectors; 0 where one of them is zero.
    pub cosine: Vec<Vec<f64>>,
    /// `[expert][group]`: ‖θᵢ − θ₀‖₂ over the tensors of one block, blocks as in [`Pool::groups`].
    pub group_norms: Vec<Vec<f64>>,
}

/// Measures the task vectors of `pool` in one pass, in f64.
///
/// # Errors
/// A pool without a base; cancellation.
pub fn similarity(pool: &Pool, cancel: &Cancel) -> Result<Similarity, FusionError> {
    if pool.base().is_none() {
        return Err(FusionError::NeedsBase { method: "Similarity" });
    }
    let rows = rows(pool)?;
    let experts = pool.experts().len();
    let all: Vec<usize> = (0..experts).collect();
    let floats = rows.iter().enumerate().filter(|(_, row)| row.info.dtype.is_float());
    let partial = map_chunks(floats.map(|(at, row)| (at, row.info.len())), cancel, |piece, scratch| {
        rows[piece.tensor].read(&all, &piece.range, scratch, gram)
    })?;
    let mut base = 0.0;
    let mut products = vec![vec![0.0; experts]; experts];
    let mut group_squares = vec![vec![0.0; pool.groups().len()]; experts];
    for (piece, sums) in partial {
        let group = pool.groups().index(&rows[piece.tensor].info.name);
        let mut sums = sums.into_iter();
        base += sums.next().unwrap_or_default();
        for i in 0..experts {
            for j in i..experts {
                let sum = sums.next().unwrap_or_default();
                products[i][j] += sum;
                if i == j {
                    group_squares[i][group] += sum;
                }
            }
        }
    }
    let norms: Vec<f64> = (0..experts).map(|i| products[i][i].sqrt()).collect();
    let cosine = |i: usize, j: usize| {
        let (product, scale) = (products[i.min(j)][i.max(j)], norms[i] * norms[j]);
        if scale > 0.0 { (product / scale).clamp(-1.0, 1.0) } else { 0.0 }
    };
    Ok(Similarity {
        names: pool.experts().iter().map(|(name, _)| name.clone()).collect(),
        base_norm: f64::sqrt(base),
        cosine: (0..experts).map(|i| (0..experts).map(|j| cosine(i, j)).collect()).collect(),
        group_norms: group_squares.into_iter().map(|row| row.into_iter().map(f64::sqrt).collect()).collect(),
        norms,
    })
}

/// ⟨θ₀, θ₀⟩ and then ⟨τᵢ, τⱼ⟩ for i ≤ j, row by row, over one chunk.
fn gram(base: &[f32], experts: &[&[f32]]) -> Vec<f64> {
    let vectors: Vec<Vec<f32>> =
        experts.iter().map(|expert| expert.iter().zip(base).map(|(a, b)| a - b).collect()).collect();
    let mut sums = vec![dot(base, base)];
    for (i, a) in vectors.iter().enumerate() {
        sums.extend(vectors[i..].iter().map(|b| dot(a, b)));
    }
    sums
}

/// ⟨a, b⟩ in f64, in eight lanes so that it can be vectorised.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let (heads, tails) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut lanes = [0.0f64; 8];
    for (a, b) in heads.0.iter().zip(tails.0) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f64::from(a) * f64::from(b);
        }
    }
    let rest: f64 = heads.1.iter().zip(tails.1).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    lanes.iter().sum::<f64>() + rest
}
