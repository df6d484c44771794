//! The point of least norm in the convex hull of some vectors (Sener and Koltun 2018, MGDA), from their scalar products.

/// Steps of projected gradient descent, for three vectors and more.
const STEPS: usize = 250;
/// A step that moves all weights together by less than this is the last.
const STOP: f64 = 1e-5;
/// Where the best point of a segment is an end of it, so much of the other end stays in: no task is ever dropped.
const KEEP: f64 = 0.001;

/// Weights that sum up to one, and the squared norm of the combination; `products[i][j]` is ⟨vᵢ, vⱼ⟩.
///
/// Exact for two vectors, but for the share of a thousandth that either keeps. One vector has all the weight.
#[must_use]
pub fn min_norm(products: &[Vec<f64>]) -> (Vec<f64>, f64) {
    let n = products.len();
    let mut weights = vec![0.0; n];
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    let best = pairs
        .map(|(i, j)| (i, j, segment(products[i][i], products[i][j], products[j][j])))
        .min_by(|a, b| a.2.1.total_cmp(&b.2.1));
    let Some((i, j, (share, mut square))) = best else {
        weights.fill(1.0);
        return (weights, products.first().map_or(0.0, |row| row[0]));
    };
    (weights[i], weights[j]) = (share, 1.0 - share);
    if n < 3 {
        return (weights, square);
    }
    for _ in 0..STEPS {
        let target = next_point(products, &weights);
        let (share, found) = segment(
            product(products, &weights, &weights),
            product(products, &weights, &target),
            product(products, &target, &target),
        );
        square = found;
        let moved: Vec<f64> = weights.iter().zip(&target).map(|(old, new)| share * old + (1.0 - share) * new).collect();
        let change: f64 = moved.iter().zip(&weights).map(|(new, old)| (new - old).abs()).sum();
        if change < STOP {
            break;
        }
        weights = moved;
    }
    (weights, square)
}

/// Where on the segment from y (0) to x (1) the norm is least, and its square there.
fn segment(xx: f64, xy: f64, yy: f64) -> (f64, f64) {
    if xy >= xx {
        return (1.0 - KEEP, xx);
    }
    if xy >= yy {
        return (KEEP, yy);
    }
    let share = (yy - xy) / (xx + yy - 2.0 * xy);
    (share, yy + share * (xy - yy))
}

/// ⟨Σ aᵢvᵢ, Σ bᵢvᵢ⟩
fn product(products: &[Vec<f64>], a: &[f64], b: &[f64]) -> f64 {
    let row = |(a, row): (&f64, &Vec<f64>)| a * row.iter().zip(b).map(|(x, b)| x * b).sum::<f64>();
    a.iter().zip(products).map(row).sum()
}

/// Down the gradient within the plane Σ = 1, as far as the first weight that reaches 0 or 1.
fn next_point(products: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let slope = |row: &Vec<f64>| -row.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>();
    let mut direction: Vec<f64> = products.iter().map(slope).collect();
    let mean = direction.iter().sum::<f64>() / direction.len() as f64;
    for slope in &mut direction {
        *slope -= mean;
    }
    let reach = |down: bool| {
        let steps = weights.iter().zip(&direction).filter_map(move |(w, d)| match (down, *d < 0.0, *d > 0.0) {
            (true, true, _) => Some(-w / d),
            (false, _, true) => Some((1.0 - w) / d),
            _ => None,
        });
        steps.filter(|step| *step > 1e-7).min_by(f64::total_cmp)
    };
    let step = match (reach(true), reach(false)) {
        (Some(down), Some(up)) => down.min(up),
        (Some(down), None) => down,
        (None, up) => up.unwrap_or(1.0).min(1.0),
    };
    to_simplex(weights.iter().zip(&direction).map(|(w, d)| w + step * d).collect())
}

/// The nearest point with weights that are not negative and sum up to one.
fn to_simplex(point: Vec<f64>) -> Vec<f64> {
    let mut sorted = point.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut shift = (point.iter().sum::<f64>() - 1.0) / point.len() as f64;
    let mut sum = 0.0;
    for (at, pair) in sorted.windows(2).enumerate() {
        sum += pair[0];
        let candidate = (sum - 1.0) / (at + 1) as f64;
        if candidate > pair[1] {
            shift = candidate;
            break;
        }
    }
    point.into_iter().map(|x| (x - shift).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn products(vectors: &[&[f64]]) -> Vec<Vec<f64>> {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
        vectors.iter().map(|a| vectors.iter().map(|b| dot(a, b)).collect()).collect()
    }

    #[test]
    fn two_vectors() {
        let (weights, square) = min_norm(&products(&[&[1.0, 1.0], &[1.0, -1.0]]));
        assert_eq!((weights, square), (vec![0.5, 0.5], 1.0));
        // The shorter of two that point the same way, but for a thousandth.
        let (weights, _) = min_norm(&products(&[&[1.0], &[3.0]]));
        assert_eq!(weights, [0.999, 1.0 - 0.999]);
        assert_eq!(min_norm(&products(&[&[2.0]])), (vec![1.0], 4.0));
        assert_eq!(min_norm(&[]), (vec![], 0.0));
    }

    #[test]
    fn a_triangle_around_nothing_has_norm_zero() {
        let (weights, square) = min_norm(&products(&[&[1.0, 0.0], &[-0.5, 0.9], &[-0.5, -0.9]]));
        assert!(weights.iter().sum::<f64>() > 1.0 - 1e-9 && weights.iter().all(|w| *w >= 0.0), "{weights:?}");
        assert!(square < 1e-4, "{square}");
    }
}
