//! Singular values and vectors, and polar factors, of a whole matrix in f64 (faer, on the calling thread).
//!
//! The cheapest exact route first: the eigenvectors of the Gram matrix of the shorter side are the singular vectors of
//! that side. That squares the condition number, so where the singular values asked for span too many decades, a full
//! bidiagonal SVD does it again. Results are meant to be used in products u·vᵀ, which do not depend on signs.

use super::eigen::eigen;
use crate::weights::TensorInfo;
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

/// A matrix in row-major order, as tensors are stored.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::fusion) struct Dense {
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f64>,
}

/// A = U diag(s) Vᵀ, or its leading part: s falls; where it is zero, the columns of U and V are zero too.
#[derive(Debug, Clone)]
pub(in crate::fusion) struct Svd {
    /// `[rows, k]`
    pub u: Mat<f64>,
    pub s: Vec<f64>,
    /// `[columns, k]`
    pub v: Mat<f64>,
}

/// The partial isometry of A = P·H, and the sum of A's singular values.
#[derive(Debug, Clone)]
pub(in crate::fusion) struct Polar {
    /// U·Vᵀ over the directions that A has: singular vectors to σ = 0 are arbitrary, and are left out.
    pub factor: Dense,
    pub nuclear: f64,
}

/// The iteration for the singular values did not come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) struct NoConvergence;

type Result<T> = std::result::Result<T, NoConvergence>;

/// Squared singular values from the Gram matrix are good for leading parts down to this share of the largest: the
/// vectors are then exact to 1e-8.
const LEADING: f64 = 1e-8;
/// The same for polar factors, of which single directions are small parts.
const WHOLE: f64 = 1e-9;
/// Singular values below this share of the largest are zeros with the rounding errors of f64: inputs are f32.
const ZERO: f64 = 1e-11;

impl Dense {
    pub(in crate::fusion) fn zeros(rows: usize, columns: usize) -> Self {
        Self { rows, columns, values: vec![0.0; rows * columns] }
    }

    /// A zero matrix of a tensor's shape; a single row for what is not two-dimensional.
    pub(in crate::fusion) fn like(info: &TensorInfo) -> Self {
        match info.shape[..] {
            [rows, columns] => Self::zeros(rows, columns),
            _ => Self::zeros(1, info.len()),
        }
    }

    /// a · b
    pub(in crate::fusion) fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Self {
        let mut product = Self::zeros(a.nrows(), b.ncols());
        matmul(product.view_mut(), Accum::Replace, a, b, 1.0, Par::Seq);
        product
    }

    pub(in crate::fusion) fn view(&self) -> MatRef<'_, f64> {
        MatRef::from_row_major_slice(&self.values, self.rows, self.columns)
    }

    pub(in crate::fusion) fn view_mut(&mut self) -> MatMut<'_, f64> {
        MatMut::from_row_major_slice_mut(&mut self.values, self.rows, self.columns)
    }

    /// self += factor · other
    pub(in crate::fusion) fn add(&mut self, factor: f64, other: &Self) {
        self.values.iter_mut().zip(&other.values).for_each(|(sum, x)| *sum += factor * x);
    }

    /// The shorter side.
    pub(in crate::fusion) fn rank(&self) -> usize {
        self.rows.min(self.columns)
    }

    pub(in crate::fusion) fn norm(&self) -> f64 {
        self.values.iter().map(|x| x * x).sum::<f64>().sqrt()
    }
}

impl Svd {
    fn zero(rows: usize, columns: usize, k: usize) -> Self {
        Self { u: Mat::zeros(rows, k), s: vec![0.0; k], v: Mat::zeros(columns, k) }
    }

    /// U diag(s) Vᵀ over the components `range`, with other values instead of s.
    pub(in crate::fusion) fn compose(&self, s: impl Fn(usize) -> f64) -> Dense {
        compose(self.u.as_ref(), s, self.v.as_ref())
    }
}

/// u diag(s) vᵀ
pub(in crate::fusion) fn compose(u: MatRef<'_, f64>, s: impl Fn(usize) -> f64, v: MatRef<'_, f64>) -> Dense {
    Dense::product(scaled(u, s).as_ref(), v.transpose())
}

/// u diag(s)
pub(in crate::fusion) fn scaled(u: MatRef<'_, f64>, s: impl Fn(usize) -> f64) -> Mat<f64> {
    let mut scaled = u.to_owned();
    for j in 0..scaled.ncols() {
        let factor = s(j);
        scaled.col_mut(j).iter_mut().for_each(|x| *x *= factor);
    }
    scaled
}

/// All min(m, n) singular values and vectors of a finite matrix.
///
/// # Errors
/// When the iteration does not converge.
pub(in crate::fusion) fn svd(a: MatRef<'_, f64>) -> Result<Svd> {
    leading(a, a.nrows().min(a.ncols()))
}

/// The `k` largest singular values of a finite matrix, with their vectors; `k` is at most min(m, n).
///
/// # Errors
/// When the iteration does not converge.
pub(in crate::fusion) fn leading(a: MatRef<'_, f64>, k: usize) -> Result<Svd> {
    if a.nrows() < a.ncols() {
        let Svd { u, s, v } = leading(a.transpose(), k)?;
        return Ok(Svd { u: v, s, v: u });
    }
    let n = a.ncols();
    if k == 0 || n == 0 {
        return Ok(Svd::zero(a.nrows(), n, k));
    }
    let (squares, v) = eigen(&gram(a), k)?;
    let (largest, smallest) = (squares[squares.len() - 1], squares[squares.len() - k]);
    if largest <= 0.0 {
        return Ok(Svd::zero(a.nrows(), n, k));
    }
    if smallest < LEADING * largest {
        return bidiagonal(a, k);
    }
    let mut u = Mat::zeros(a.nrows(), k);
    matmul(u.as_mut(), Accum::Replace, a, v.as_ref(), 1.0, Par::Seq);
    let s: Vec<f64> = (0..k).map(|j| u.col(j).norm_l2()).collect();
    for (j, norm) in s.iter().enumerate() {
        u.col_mut(j).iter_mut().for_each(|x| *x /= norm);
    }
    Ok(Svd { u, s, v })
}

/// The polar factor of a finite matrix.
///
/// # Errors
/// When the iteration does not converge.
pub(in crate::fusion) fn polar(a: MatRef<'_, f64>) -> Result<Polar> {
    let (rows, columns) = (a.nrows(), a.ncols());
    let n = rows.min(columns);
    if n == 0 {
        return Ok(Polar { factor: Dense::zeros(rows, columns), nuclear: 0.0 });
    }
    let (squares, vectors) = eigen(&gram(if rows < columns { a.transpose() } else { a }), n)?;
    if squares[n - 1] <= 0.0 {
        return Ok(Polar { factor: Dense::zeros(rows, columns), nuclear: 0.0 });
    }
    if squares[0] < WHOLE * squares[n - 1] {
        let svd = bidiagonal(a, n)?;
        return Ok(Polar { factor: svd.compose(|_| 1.0), nuclear: svd.s.iter().sum() });
    }
    // (AᵀA)^(−1/2) = R·Rᵀ; only one triangle is computed.
    let half = scaled(vectors.as_ref(), |j| squares[n - 1 - j].powf(-0.25));
    let root = mirrored(gram(half.transpose()));
    let factor = if rows < columns { Dense::product(root.as_ref(), a) } else { Dense::product(a, root.as_ref()) };
    Ok(Polar { factor, nuclear: squares.iter().map(|square| square.sqrt()).sum() })
}

/// The eigenvalues of aᵀa, in rising order.
///
/// # Errors
/// When the iteration does not converge.
pub(in crate::fusion) fn gram_values(a: MatRef<'_, f64>) -> Result<Vec<f64>> {
    if a.ncols() == 0 || a.nrows() == 0 {
        return Ok(Vec::new());
    }
    gram(a).self_adjoint_eigenvalues(Side::Lower).map_err(|_| NoConvergence)
}

/// The lower triangle of aᵀa.
fn gram(a: MatRef<'_, f64>) -> Mat<f64> {
    let mut gram = Mat::zeros(a.ncols(), a.ncols());
    let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    triangular::matmul(gram.as_mut(), lower, Accum::Replace, a.transpose(), full, a, full, 1.0, Par::Seq);
    gram
}

/// The whole of a symmetric matrix whose lower triangle is given.
fn mirrored(mut lower: Mat<f64>) -> Mat<f64> {
    for j in 0..lower.ncols() {
        for i in 0..j {
            lower[(i, j)] = lower[(j, i)];
        }
    }
    lower
}

/// aᵀa
pub(in crate::fusion) fn gram_of(a: MatRef<'_, f64>) -> Mat<f64> {
    mirrored(gram(a))
}

/// The slower route, exact for singular values of any size.
fn bidiagonal(a: MatRef<'_, f64>, k: usize) -> Result<Svd> {
    let svd = a.thin_svd().map_err(|_| NoConvergence)?;
    let largest = svd.S().column_vector().iter().fold(0.0, |largest: f64, s| largest.max(*s));
    let s: Vec<f64> =
        svd.S().column_vector().iter().take(k).map(|&s| if s > ZERO * largest { s } else { 0.0 }).collect();
    let kept = |j: usize| if s[j] > 0.0 { 1.0 } else { 0.0 };
    let (u, v) = (scaled(svd.U().subcols(0, k), kept), scaled(svd.V().subcols(0, k), kept));
    Ok(Svd { u, s, v })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random.
    fn noise(rows: usize, columns: usize, seed: u64) -> Dense {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1 << 24) - 0.5
        };
        Dense { rows, columns, values: (0..rows * columns).map(|_| next()).collect() }
    }

    /// Largest difference of two matrices.
    fn distance(a: &Dense, b: &Dense) -> f64 {
        assert_eq!((a.rows, a.columns), (b.rows, b.columns));
        a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    /// How far the columns are from orthonormal.
    fn skew(a: MatRef<'_, f64>) -> f64 {
        let product = gram_of(a);
        let off = |(i, j): (usize, usize)| (product[(i, j)] - f64::from(u8::from(i == j))).abs();
        (0..a.ncols()).flat_map(|i| (0..a.ncols()).map(move |j| (i, j))).map(off).fold(0.0, f64::max)
    }

    #[test]
    fn tall_wide_and_square_matrices_are_put_together_again() {
        for (rows, columns) in [(40, 16), (16, 40), (16, 16), (1, 5), (5, 1), (1, 1)] {
            let a = noise(rows, columns, 7);
            let svd = svd(a.view()).unwrap();
            assert!(svd.s.is_sorted_by(|a, b| a >= b) && svd.s.len() == rows.min(columns));
            assert!(skew(svd.u.as_ref()) < 1e-10 && skew(svd.v.as_ref()) < 1e-10, "{rows}x{columns}");
            assert!(distance(&svd.compose(|j| svd.s[j]), &a) < 1e-12, "{rows}x{columns}");
            let polar = polar(a.view()).unwrap();
            assert!(distance(&polar.factor, &svd.compose(|_| 1.0)) < 1e-9, "{rows}x{columns}");
            assert!((polar.nuclear - svd.s.iter().sum::<f64>()).abs() < 1e-10);
        }
    }

    #[test]
    fn small_singular_values_are_exact_too() {
        let (u, v) = (svd(noise(30, 12, 1).view()).unwrap().u, svd(noise(20, 12, 2).view()).unwrap().u);
        let values = |j: usize| 10f64.powi(-(j as i32));
        let a = compose(u.as_ref(), values, v.as_ref());
        let found = leading(a.view(), 10).unwrap();
        for (j, s) in found.s.iter().enumerate() {
            assert!((s / values(j) - 1.0).abs() < 1e-5, "{j}: {s}");
        }
        assert!(skew(found.u.as_ref()) < 1e-12);
        let factor = polar(a.view()).unwrap().factor;
        // Twelve directions, of which the last lies at the edge of what f64 can tell from nothing.
        let (exact, without) = (compose(u.as_ref(), |_| 1.0, v.as_ref()), 1e-4);
        let last = compose(u.as_ref(), |j| f64::from(u8::from(j < 11)), v.as_ref());
        assert!(distance(&factor, &exact).min(distance(&factor, &last)) < without);
    }

    #[test]
    fn directions_that_a_matrix_does_not_have_are_left_out() {
        let (column, row) = (noise(9, 1, 3), noise(1, 6, 4));
        let a = Dense::product(column.view(), row.view());
        let polar = polar(a.view()).unwrap();
        let expected = a.values.iter().map(|x| x / a.norm()).collect();
        assert!(distance(&polar.factor, &Dense { values: expected, ..a.clone() }) < 1e-12);
        assert!((polar.nuclear - a.norm()).abs() < 1e-12);
        let svd = svd(a.view()).unwrap();
        assert!(svd.s[1..].iter().all(|s| *s == 0.0) && svd.u.col(1).norm_l2() == 0.0 && svd.v.col(5).norm_l2() == 0.0);
        let nothing = Dense::zeros(4, 3);
        assert_eq!(super::polar(nothing.view()).unwrap().factor, nothing);
        assert_eq!(super::svd(nothing.view()).unwrap().s, [0.0; 3]);
        assert_eq!(super::polar(Dense::zeros(0, 3).view()).unwrap().factor, Dense::zeros(0, 3));
    }
}
