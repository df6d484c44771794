//! Eigenvalues and leading eigenvectors of symmetric matrices.

use super::spectral::NoConvergence;
use super::tridiagonal::Tridiagonal;
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::tridiag::{tridiag_in_place, tridiag_in_place_scratch};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd_scratch, tridiagonal_self_adjoint_evd};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj,
};
use faer::linalg::qr::no_pivoting::factor::recommended_block_size;
use faer::{Conj, Mat, Par, Spec};

/// Eigenvalues in rising order (all for `k` = n, the `k` largest at least), and the eigenvectors of the `k` largest, the
/// last of them first; of a matrix whose lower triangle is given.
///
/// Of few of them only these are computed, by inverse iteration; else all eigenvectors of the tridiagonal form, of which
/// `k` are turned back.
///
/// # Errors
/// When the iteration does not converge.
pub(super) fn eigen(lower: &Mat<f64>, k: usize) -> Result<(Vec<f64>, Mat<f64>), NoConvergence> {
    let n = lower.nrows();
    if n < 2 {
        return Ok((lower.diagonal().column_vector().iter().copied().collect(), Mat::from_fn(n, k, |_, _| 1.0)));
    }
    let mut reduced = lower.clone();
    let block = recommended_block_size::<f64>(n, n);
    let mut reflectors = Mat::<f64>::zeros(block, n - 1);
    let mut buffer = MemBuffer::new(tridiag_in_place_scratch::<f64>(n, Par::Seq, Spec::default()));
    let stack = MemStack::new(&mut buffer);
    tridiag_in_place(reduced.as_mut(), reflectors.as_mut(), Par::Seq, stack, Spec::default());

    let diagonal: Vec<f64> = (0..n).map(|i| reduced[(i, i)]).collect();
    let beside: Vec<f64> = (1..n).map(|i| reduced[(i, i - 1)]).collect();
    let tridiagonal = Tridiagonal { diagonal: &diagonal, beside: &beside };
    let (values, mut vectors) = match few(tridiagonal, k) {
        Some(found) => found,
        None => all(tridiagonal, k)?,
    };
    let room = apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(n - 1, block, k);
    let mut buffer = MemBuffer::new(room);
    apply_block_householder_sequence_on_the_left_in_place_with_conj(
        reduced.submatrix(1, 0, n - 1, n - 1),
        reflectors.as_ref(),
        Conj::No,
        vectors.as_mut().subrows_mut(1, n - 1),
        Par::Seq,
        MemStack::new(&mut buffer),
    );
    Ok((values, vectors))
}

/// The `k` largest eigenvalues, rising, and their vectors, where they are few and can be had by themselves.
fn few(matrix: Tridiagonal<'_>, k: usize) -> Option<(Vec<f64>, Mat<f64>)> {
    if 4 * k > matrix.diagonal.len() {
        return None;
    }
    let mut values = matrix.largest(k);
    let vectors = matrix.vectors(&values)?;
    values.reverse();
    Some((values, vectors))
}

/// All eigenvalues, rising, and the vectors of the `k` largest.
fn all(matrix: Tridiagonal<'_>, k: usize) -> Result<(Vec<f64>, Mat<f64>), NoConvergence> {
    let n = matrix.diagonal.len();
    let mut inner = Mat::<f64>::zeros(n, n);
    let (mut diagonal, mut beside) = (Diag::<f64>::zeros(n), Diag::<f64>::zeros(n));
    for (i, x) in matrix.diagonal.iter().enumerate() {
        diagonal[i] = *x;
    }
    for (i, x) in matrix.beside.iter().enumerate() {
        beside[i] = *x;
    }
    let mut values = Diag::<f64>::zeros(n);
    // What the whole decomposition needs is more than enough for its middle part.
    let room = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, Par::Seq, Spec::default());
    let mut buffer = MemBuffer::new(room);
    let (diagonal, beside, stack) = (diagonal.as_ref(), beside.as_ref(), MemStack::new(&mut buffer));
    let into = Some(inner.as_mut());
    tridiagonal_self_adjoint_evd(diagonal, beside, values.as_mut(), into, Par::Seq, stack, Spec::default())
        .map_err(|_| NoConvergence)?;
    let values = values.column_vector().iter().copied().collect();
    Ok((values, Mat::from_fn(n, k, |i, j| inner[(i, n - 1 - j)])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_eigenvectors_of_any_size() {
        for (n, k) in [(1, 1), (2, 1), (3, 3), (33, 4), (70, 70), (150, 20)] {
            let entry = |i: usize, j: usize| ((i * j + i + j) as f64 * 0.37).sin() + f64::from(u8::from(i == j)) * 3.0;
            let matrix = Mat::from_fn(n, n, entry);
            let (values, vectors) = eigen(&matrix, k).unwrap();
            assert!(values.is_sorted() && vectors.ncols() == k);
            assert!(if k == n { values.len() == n } else { values.len() >= k });
            let turned = &matrix * &vectors;
            for j in 0..k {
                let off = |i: usize| (turned[(i, j)] - values[values.len() - 1 - j] * vectors[(i, j)]).abs();
                assert!((0..n).map(off).fold(0.0, f64::max) < 1e-11 * n as f64, "{n} {j}");
                assert!((vectors.col(j).norm_l2() - 1.0).abs() < 1e-12, "{n} {j}");
            }
            let trace: f64 = (0..n).map(|i| entry(i, i)).sum();
            assert!(values.len() < n || (values.iter().sum::<f64>() - trace).abs() < 1e-10);
        }
    }
}
