//! The linear layer that answers like each expert's on that expert's inputs, by least squares.

use super::spectral::Dense;
use crate::fusion::{Gram, Layout};
use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, MatRef, Par, Side};

/// A merged layer.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::fusion) struct Merged {
    pub weight: Dense,
    /// The ridge that had to be added, as a share of the mean diagonal of the summed Gram matrices: some of the inputs'
    /// directions do not occur in any task. Infinite where all inputs were zero, and the experts were averaged.
    pub ridge: Option<f64>,
}

/// Below this share of the largest, the square of a pivot is rounding: products of inputs are added up in f32, so that what is
/// exactly singular, as where inputs of a norm without scale and shift add up to zero, has pivots of some 1e-6.
const SINGULAR: f64 = 16.0 * f32::EPSILON as f64;
/// The smallest ridge; ten times as much where that does not help.
const RIDGE: f64 = 1e-6;

/// argmin_W Σ tr((W − Wᵢ) Gᵢ (W − Wᵢ)ᵀ), where off-diagonal elements of Gᵢ are multiplied by `alpha`; weights and Gram
/// matrices in the same order, the latter of the side that is summed over. Along directions that no task's inputs have
/// the weights are free: there the result is near the experts' mean.
pub(in crate::fusion) fn merge(weights: &[Dense], grams: &[&Gram], alpha: f64) -> Merged {
    let transposed = grams.first().is_none_or(|gram| gram.layout == Layout::OutIn);
    let seen = |weight: &Dense| -> Mat<f64> {
        let view = weight.view();
        if transposed { view.transpose().to_owned() } else { view.to_owned() }
    };
    let (rows, columns) = weights.first().map_or((0, 0), |weight| (weight.rows, weight.columns));
    let (n, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
    let (mut sum, mut target, mut mean) = (Mat::zeros(n, n), Mat::zeros(n, outputs), Mat::zeros(n, outputs));
    for (weight, gram) in weights.iter().zip(grams) {
        let (weight, gram) = (seen(weight), scaled(gram, alpha));
        matmul(target.as_mut(), Accum::Add, gram.as_ref(), weight.as_ref(), 1.0, Par::Seq);
        sum += gram;
        mean += faer::Scale(1.0 / weights.len() as f64) * weight;
    }
    let (solved, ridge) = solve(&sum, &target, &mean);
    let solved: MatRef<'_, f64> = if transposed { solved.transpose() } else { solved.as_ref() };
    let mut weight = Dense::zeros(rows, columns);
    weight.view_mut().copy_from(solved);
    Merged { weight, ridge }
}

/// The matrix with its off-diagonal elements multiplied by `alpha`.
fn scaled(gram: &Gram, alpha: f64) -> Mat<f64> {
    let values = MatRef::from_row_major_slice(&gram.values, gram.size, gram.size);
    Mat::from_fn(gram.size, gram.size, |i, j| if i == j { values[(i, j)] } else { alpha * values[(i, j)] })
}

/// X with (A + rI) X = B + r·mean, for the smallest ridge r that makes A + rI positive definite, and r as a share of A's
/// mean diagonal.
fn solve(a: &Mat<f64>, b: &Mat<f64>, mean: &Mat<f64>) -> (Mat<f64>, Option<f64>) {
    if let Some(solved) = cholesky(a, b) {
        return (solved, None);
    }
    let n = a.nrows();
    let diagonal = (0..n).map(|i| a[(i, i)]).sum::<f64>() / n.max(1) as f64;
    let mut share = RIDGE;
    while diagonal > 0.0 && share < 1e3 {
        let ridge = share * diagonal;
        let mut a = a.clone();
        (0..n).for_each(|i| a[(i, i)] += ridge);
        if let Some(solved) = cholesky(&a, &(b + faer::Scale(ridge) * mean)) {
            return (solved, Some(share));
        }
        share *= 10.0;
    }
    (mean.clone(), Some(f64::INFINITY))
}

/// A⁻¹B; nothing unless A is positive definite to more than rounding.
fn cholesky(a: &Mat<f64>, b: &Mat<f64>) -> Option<Mat<f64>> {
    let factor = a.llt(Side::Lower).ok()?;
    let pivots = || (0..a.nrows()).map(|i| factor.L()[(i, i)].powi(2));
    let (least, most) = pivots().fold((f64::INFINITY, 0.0f64), |(l, m), pivot| (l.min(pivot), m.max(pivot)));
    (a.nrows() == 0 || least > SINGULAR * most).then(|| factor.solve(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn dense(rows: usize, columns: usize, seed: f64) -> Dense {
        // Numbers that look random: sines of equal distances would all lie in a plane.
        let number = |at: usize| ((at as f64 + 1.0).powi(2) * seed).sin();
        Dense { rows, columns, values: (0..rows * columns).map(number).collect() }
    }

    fn gram(inputs: &Dense, layout: Layout) -> Gram {
        let product = Dense::product(inputs.view().transpose(), inputs.view());
        Gram { size: inputs.columns, values: Arc::new(product.values), layout }
    }

    fn close(a: &Dense, b: &Dense, tolerance: f64) {
        assert_eq!((a.rows, a.columns), (b.rows, b.columns));
        for (a, b) in a.values.iter().zip(&b.values) {
            assert!((a - b).abs() < tolerance, "{a} {b}");
        }
    }

    #[test]
    fn answers_are_as_near_as_they_can_be() {
        let (w, x) = ([dense(3, 5, 0.7), dense(3, 5, 1.3)], [dense(40, 5, 2.1), dense(30, 5, 0.37)]);
        let grams = x.each_ref().map(|x| gram(x, Layout::OutIn));
        let merged = merge(&w, &[&grams[0], &grams[1]], 1.0);
        assert_eq!(merged.ridge, None);
        // Σ (W − Wᵢ)Gᵢ = 0.
        let mut slope = Dense::zeros(3, 5);
        for (w, gram) in w.iter().zip(&grams) {
            let mut off = merged.weight.clone();
            off.add(-1.0, w);
            slope.add(1.0, &Dense::product(off.view(), MatRef::from_row_major_slice(&gram.values, 5, 5)));
        }
        assert!(slope.norm() < 1e-9 * 40.0, "{}", slope.norm());
        // The other layout is the same, transposed.
        let turned = w.each_ref().map(|w| {
            let mut turned = Dense::zeros(5, 3);
            turned.view_mut().copy_from(w.view().transpose());
            turned
        });
        let grams = x.each_ref().map(|x| gram(x, Layout::InOut));
        let again = merge(&turned, &[&grams[0], &grams[1]], 1.0).weight;
        let mut back = Dense::zeros(3, 5);
        back.view_mut().copy_from(again.view().transpose());
        close(&back, &merged.weight, 1e-10);
    }

    #[test]
    fn equal_inputs_or_no_correlations_give_averages_and_one_expert_itself() {
        let w = [dense(4, 6, 0.7), dense(4, 6, 1.9)];
        let mut mean = Dense::zeros(4, 6);
        for w in &w {
            mean.add(0.5, w);
        }
        let same = gram(&dense(50, 6, 0.9), Layout::OutIn);
        close(&merge(&w, &[&same, &same], 0.6).weight, &mean, 1e-9);
        close(&merge(&w[..1], &[&same], 1.0).weight, &w[0], 1e-9);
        // With α = 0 every input is weighted by its size alone.
        let diagonal =
            |d: [f64; 2]| Gram { size: 2, values: Arc::new(vec![d[0], 9.0, 9.0, d[1]]), layout: Layout::OutIn };
        let (a, b) = (diagonal([1.0, 4.0]), diagonal([3.0, 4.0]));
        let ones = |x: f64| Dense { rows: 1, columns: 2, values: vec![x; 2] };
        close(
            &merge(&[ones(0.0), ones(1.0)], &[&a, &b], 0.0).weight,
            &Dense { rows: 1, columns: 2, values: vec![0.75, 0.5] },
            1e-12,
        );
    }

    #[test]
    fn directions_that_never_occur_are_averaged_and_said_to_be() {
        let w = [dense(3, 8, 0.7), dense(3, 8, 1.3)];
        // Three inputs of eight numbers: five directions are free.
        let few = [dense(3, 8, 2.1), dense(3, 8, 2.1)];
        let grams = few.each_ref().map(|x| gram(x, Layout::OutIn));
        let merged = merge(&w, &[&grams[0], &grams[1]], 1.0);
        assert!(merged.ridge.is_some_and(|ridge| ridge < 1e-4), "{:?}", merged.ridge);
        let mut mean = Dense::zeros(3, 8);
        for w in &w {
            mean.add(0.5, w);
        }
        close(&merged.weight, &mean, 1e-4);
        let nothing = Gram { size: 8, values: Arc::new(vec![0.0; 64]), layout: Layout::OutIn };
        let merged = merge(&w, &[&nothing, &nothing], 0.9);
        assert_eq!(merged.ridge, Some(f64::INFINITY));
        close(&merged.weight, &mean, 1e-12);
    }
}
