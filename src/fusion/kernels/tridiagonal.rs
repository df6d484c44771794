//! Some eigenvalues and eigenvectors of a symmetric tridiagonal matrix: bisection on Sturm counts and inverse iteration
//! (the way of LAPACK's `dstebz` and `dstein`), linear in the size for each of them where all together would be cubic.

use super::wide::wide;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

/// Eigenvalues nearer to each other than this share of the matrix's norm have vectors that only orthogonalisation keeps apart.
const CLUSTER: f64 = 1e-3;
/// Solves for a vector; two are enough unless the start was unlucky.
const SOLVES: usize = 5;
/// How far vectors may be from orthonormal.
const SKEW: f64 = 1e-11;

/// A symmetric tridiagonal matrix: its diagonal, and what stands beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tridiagonal<'a> {
    pub diagonal: &'a [f64],
    /// One shorter.
    pub beside: &'a [f64],
}

/// Eigenvalues that are searched at a time: divisions are slow to come, and must be many to keep a core busy.
const LANES: usize = 32;

impl Tridiagonal<'_> {
    /// The `k` largest eigenvalues, falling, to the accuracy of rounding.
    pub fn largest(self, k: usize) -> Vec<f64> {
        let n = self.diagonal.len();
        let norm = self.norm();
        let squares: Vec<f64> = std::iter::once(0.0).chain(self.beside.iter().map(|x| x * x)).collect();
        // What keeps a pivot from zero without moving an eigenvalue.
        let tiny = (f64::EPSILON * norm).powi(2).max(f64::MIN_POSITIVE);
        let mut values = Vec::with_capacity(k);
        for start in (0..k).step_by(LANES) {
            let mut low = [-norm; LANES];
            let mut high = [norm * (1.0 + 4.0 * f64::EPSILON); LANES];
            loop {
                let middle: [f64; LANES] = std::array::from_fn(|lane| f64::midpoint(low[lane], high[lane]));
                let below = counts(self.diagonal, &squares, &middle, tiny);
                let mut open = false;
                for lane in 0..LANES {
                    // The j-th largest, counted from nought, has n − 1 − j below it.
                    let wanted = (n - 1).saturating_sub(start + lane);
                    if below[lane] as usize > wanted {
                        high[lane] = middle[lane];
                    } else {
                        low[lane] = middle[lane];
                    }
                    open |= high[lane] - low[lane] > 2.0 * f64::EPSILON * norm;
                }
                if !open {
                    break;
                }
            }
            values.extend((0..LANES.min(k - start)).map(|lane| f64::midpoint(low[lane], high[lane])));
        }
        values
    }

    /// The vectors `[n, k]` of the `k` given eigenvalues, which fall; nothing when they could not be had to full accuracy.
    pub fn vectors(self, values: &[f64]) -> Option<Mat<f64>> {
        let n = self.diagonal.len();
        let norm = self.norm();
        if norm <= 0.0 || !norm.is_finite() {
            return None;
        }
        let good = 16.0 * f64::EPSILON * norm * (n as f64).sqrt();
        let mut found: Vec<Vec<f64>> = Vec::with_capacity(values.len());
        let mut shifts: Vec<f64> = Vec::with_capacity(values.len());
        let mut solver = Solver::default();
        // Deterministic, and in no direction that a matrix would have.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for &value in values {
            // Equal values get different shifts, or they would give the same vector.
            let below = shifts.last().map_or(f64::INFINITY, |last| last - 10.0 * f64::EPSILON * norm);
            let shift = value.min(below);
            solver.factor(self, shift, norm);
            let near = shifts.iter().position(|other| other - shift < CLUSTER * norm).unwrap_or(found.len());
            let mut x: Vec<f64> = (0..n)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
                })
                .collect();
            let mut settled = 0;
            for _ in 0..SOLVES {
                solver.solve(&mut x);
                // Before the products below could overflow.
                let largest = x.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
                scale(&mut x, 1.0 / largest);
                for other in &found[near..] {
                    let along = dot(&x, other);
                    x.iter_mut().zip(other).for_each(|(x, other)| *x -= along * other);
                }
                let length = dot(&x, &x).sqrt();
                scale(&mut x, 1.0 / length);
                settled = if self.residual(&x, shift) <= good { settled + 1 } else { 0 };
                if settled == 2 {
                    break;
                }
            }
            if settled == 0 {
                return None;
            }
            shifts.push(shift);
            found.push(x);
        }
        let vectors = Mat::from_fn(n, values.len(), |i, j| found[j][i]);
        let mut product = Mat::zeros(values.len(), values.len());
        matmul(product.as_mut(), Accum::Replace, vectors.transpose(), vectors.as_ref(), 1.0, Par::Seq);
        let exact = |(i, j): (usize, usize)| (product[(i, j)] - f64::from(u8::from(i == j))).abs() <= SKEW;
        (0..values.len()).flat_map(|i| (0..=i).map(move |j| (i, j))).all(exact).then_some(vectors)
    }

    /// The largest sum of a row's absolute values.
    fn norm(self) -> f64 {
        let beside = |at: Option<usize>| at.and_then(|at| self.beside.get(at)).map_or(0.0, |x| x.abs());
        let row = |(at, x): (usize, &f64)| x.abs() + beside(at.checked_sub(1)) + beside(Some(at));
        self.diagonal.iter().enumerate().map(row).fold(0.0, f64::max)
    }

    /// ‖(T − λ)x‖ for a unit vector.
    fn residual(self, x: &[f64], value: f64) -> f64 {
        let n = x.len();
        let row = |at: usize| {
            let mut sum = (self.diagonal[at] - value) * x[at];
            if at > 0 {
                sum += self.beside[at - 1] * x[at - 1];
            }
            if at + 1 < n {
                sum += self.beside[at] * x[at + 1];
            }
            sum * sum
        };
        (0..n).map(row).sum::<f64>().sqrt()
    }
}

wide! {
    fn counts(diagonal: &[f64], squares: &[f64], at: &[f64; LANES], tiny: f64) -> [u64; LANES] = counts_body
}

/// How many eigenvalues lie below each point: the negative pivots of T − x (Sturm).
#[inline(always)]
fn counts_body(diagonal: &[f64], squares: &[f64], at: &[f64; LANES], tiny: f64) -> [u64; LANES] {
    let mut below = [0u64; LANES];
    let mut pivots = [1.0; LANES];
    for (diagonal, square) in diagonal.iter().zip(squares) {
        for lane in 0..LANES {
            let pivot = diagonal - at[lane] - square / pivots[lane];
            let pivot = if pivot.abs() < tiny { -tiny } else { pivot };
            below[lane] += u64::from(pivot < 0.0);
            pivots[lane] = pivot;
        }
    }
    below
}

fn scale(x: &mut [f64], factor: f64) {
    for x in x {
        *x *= factor;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// T − λ as P·L·U, with partial pivoting.
#[derive(Debug, Default)]
struct Solver {
    /// The three diagonals of U, reciprocals of the first.
    upper: [Vec<f64>; 3],
    /// Multipliers, and whether a row was swapped with the next.
    lower: Vec<(f64, bool)>,
}

impl Solver {
    fn factor(&mut self, matrix: Tridiagonal<'_>, shift: f64, norm: f64) {
        let n = matrix.diagonal.len();
        let beside = |at: usize| matrix.beside.get(at).copied().unwrap_or(0.0);
        let tiny = f64::EPSILON * norm;
        let [main, next, after] = &mut self.upper;
        [&mut *main, &mut *next, &mut *after].into_iter().for_each(Vec::clear);
        self.lower.clear();
        // The row at hand: what is left of it from its diagonal on.
        let mut row = [matrix.diagonal[0] - shift, beside(0)];
        for at in 0..n.saturating_sub(1) {
            let under = [beside(at), matrix.diagonal[at + 1] - shift, beside(at + 1)];
            let swapped = under[0].abs() > row[0].abs();
            let [above, below] = if swapped { [under, [row[0], row[1], 0.0]] } else { [[row[0], row[1], 0.0], under] };
            let pivot = if above[0].abs() < tiny { tiny.copysign(above[0]) } else { above[0] };
            let factor = below[0] / pivot;
            main.push(1.0 / pivot);
            next.push(above[1]);
            after.push(above[2]);
            self.lower.push((factor, swapped));
            row = [below[1] - factor * above[1], below[2] - factor * above[2]];
        }
        // The shift is an eigenvalue: this pivot is zero but for rounding.
        main.push(1.0 / if row[0].abs() < tiny { tiny.copysign(row[0]) } else { row[0] });
        next.push(0.0);
        after.push(0.0);
    }

    fn solve(&self, x: &mut [f64]) {
        for (at, &(factor, swapped)) in self.lower.iter().enumerate() {
            if swapped {
                x.swap(at, at + 1);
            }
            x[at + 1] -= factor * x[at];
        }
        let [main, next, after] = &self.upper;
        for at in (0..x.len()).rev() {
            let known = |by: usize| x.get(at + by).copied().unwrap_or(0.0);
            x[at] = (x[at] - next[at] * known(1) - after[at] * known(2)) * main[at];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Side;

    fn check(diagonal: &[f64], beside: &[f64], k: usize) {
        let n = diagonal.len();
        let dense = Mat::from_fn(n, n, |i, j| match i.abs_diff(j) {
            0 => diagonal[i],
            1 => beside[i.min(j)],
            _ => 0.0,
        });
        let mut values = dense.self_adjoint_eigenvalues(Side::Lower).unwrap();
        values.reverse();
        let matrix = Tridiagonal { diagonal, beside };
        let found = matrix.largest(k);
        let largest = values.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
        assert!(found.len() == k && found.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-14 * largest * n as f64));
        let vectors = matrix.vectors(&found).unwrap();
        let turned = &dense * &vectors;
        let norm = values.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
        for (j, value) in values[..k].iter().enumerate() {
            for i in 0..n {
                assert!((turned[(i, j)] - value * vectors[(i, j)]).abs() < 1e-12 * norm, "{n} {j} {i}");
            }
        }
        let product = vectors.transpose() * &vectors;
        assert!((0..k).all(|i| (0..i).all(|j| product[(i, j)].abs() < 1e-11) && (product[(i, i)] - 1.0).abs() < 1e-12));
    }

    #[test]
    fn vectors_of_known_values() {
        let wave = |n: usize, by: f64| (0..n).map(|at| (at as f64 * by).sin() + 2.0).collect::<Vec<f64>>();
        for (n, k) in [(2, 1), (2, 2), (3, 2), (17, 5), (120, 30)] {
            check(&wave(n, 0.7), &wave(n - 1, 1.3), k);
        }
    }

    #[test]
    fn equal_and_nearly_equal_values() {
        // Parts that do not touch: every value stands four times.
        let part = [[2.0, 5.0, 3.0]; 4].concat();
        let beside = [[1.0, 0.5, 0.0]; 4].concat();
        check(&part, &beside[..11], 8);
        // Wilkinson's matrix: pairs of values that agree to the last digits.
        let wilkinson: Vec<f64> = (0..21).map(|at| (f64::from(at) - 10.0).abs()).collect();
        check(&wilkinson, &[1.0; 20], 10);
        check(&[3.0; 6], &[0.0; 5], 4);
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert!(Tridiagonal { diagonal: &[0.0; 4], beside: &[0.0; 3] }.vectors(&[0.0]).is_none());
        assert!(Tridiagonal { diagonal: &[f64::NAN; 4], beside: &[0.0; 3] }.vectors(&[0.0]).is_none());
    }
}
