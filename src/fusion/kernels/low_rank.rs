//! Changes as products of two thin matrices.

use super::spectral::Svd;
use crate::fusion::Matrix;
use faer::Mat;

/// UₖΣₖVₖᵀ as Uₖ · ΣₖVₖᵀ; `k` is at most what the parts have.
pub(in crate::fusion) fn low_rank(parts: &Svd, k: usize) -> Matrix {
    let row = |row: usize| (0..k).map(move |j| parts.u[(row, j)] as f32);
    let left = (0..parts.u.nrows()).flat_map(row).collect();
    Matrix::LowRank { rank: k, left, right: leading_rows(&parts.v, k, |j| parts.s[j]) }
}

/// The first `k` columns of `v`, each times a factor, as rows.
pub(in crate::fusion) fn leading_rows(v: &Mat<f64>, k: usize, factor: impl Fn(usize) -> f64) -> Vec<f32> {
    let mut rows = Vec::with_capacity(k * v.nrows());
    for j in 0..k {
        rows.extend((0..v.nrows()).map(|i| (factor(j) * v[(i, j)]) as f32));
    }
    rows
}
