//! Thinning of long series: fewer points, the same picture.

/// At most about `limit` of the points (never fewer than the first and the last), ordered by x as they came.
///
/// The points between the ends are dealt into equal buckets of which the lowest and the highest stay, so that no peak
/// is lost, however short. Points that are not finite are dropped.
#[must_use]
pub fn decimate(points: &[(f64, f64)], limit: usize) -> Vec<(f64, f64)> {
    let finite: Vec<_> = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    if finite.len() <= limit.max(2) {
        return finite;
    }
    let [first, inner @ .., last] = finite.as_slice() else { return finite };
    let buckets = limit.saturating_sub(2) / 2;
    let mut kept = Vec::with_capacity(limit.max(2));
    kept.push(*first);
    for bucket in 0..buckets {
        let part = &inner[bucket * inner.len() / buckets..(bucket + 1) * inner.len() / buckets];
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        if let (Some(low), Some(high)) = (part.iter().min_by(by_height), part.iter().max_by(by_height)) {
            kept.extend(if low == high {
                vec![*low]
            } else if low.0 <= high.0 {
                vec![*low, *high]
            } else {
                vec![*high, *low]
            });
        }
    }
    kept.push(*last);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_single_peak_survives() {
        let mut points: Vec<_> = (0..10_000).map(|at| (f64::from(at), 0.5)).collect();
        points[7321].1 = 0.9;
        points[7322].1 = 0.1;
        let thin = decimate(&points, 100);
        assert!(thin.len() <= 100);
        assert!(thin.contains(&(7321.0, 0.9)) && thin.contains(&(7322.0, 0.1)));
    }

    #[test]
    fn short_series_stay_as_they_are() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)];
        assert_eq!(decimate(&points, 10), [(0.0, 1.0), (2.0, 3.0)]);
        assert_eq!(decimate(&[], 10), []);
    }

    proptest! {
        #[test]
        fn ends_extremes_order_and_size(ys in proptest::collection::vec(-1e6..1e6f64, 3..500), limit in 0usize..80) {
            let points: Vec<_> = ys.iter().enumerate().map(|(x, &y)| (x as f64, y)).collect();
            let thin = decimate(&points, limit);
            prop_assert!(thin.len() <= limit.max(2));
            prop_assert_eq!(thin[0], points[0]);
            prop_assert_eq!(thin[thin.len() - 1], points[points.len() - 1]);
            prop_assert!(thin.windows(2).all(|pair| pair[0].0 < pair[1].0));
            if limit >= 4 {
                let highest = |points: &[(f64, f64)]| points.iter().map(|p| p.1).fold(f64::MIN, f64::max);
                prop_assert_eq!(highest(&thin), highest(&points));
            }
        }
    }
}
