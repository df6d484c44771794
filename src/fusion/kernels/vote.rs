//! TIES within one tensor, in f64: trim each expert's entries to the largest, elect a sign, merge what agrees.

use super::disjoint::Merge;
use super::spectral::Dense;

/// The merged entries of matrices of one shape.
pub(in crate::fusion) fn vote(experts: &[Dense], density: f64, rule: Merge) -> Dense {
    let Some(first) = experts.first() else { return Dense::zeros(0, 0) };
    let thresholds: Vec<f64> = experts.iter().map(|expert| threshold(&expert.values, density)).collect();
    let mut merged = Dense::zeros(first.rows, first.columns);
    let kept = |at: usize| {
        let entries = experts.iter().map(move |expert| expert.values[at]).zip(&thresholds);
        entries.map(|(x, threshold)| if x.abs() >= *threshold { x } else { 0.0 })
    };
    for (at, out) in merged.values.iter_mut().enumerate() {
        let sum: f64 = kept(at).sum();
        // Where entries cancel exactly nobody has won.
        let agreeing = kept(at).filter(|x| *x != 0.0 && sum != 0.0 && (*x > 0.0) == (sum > 0.0));
        let (total, count, largest) = agreeing.fold((0.0, 0usize, 0.0f64), |(total, count, largest), x| {
            (total + x, count + 1, if x.abs() > largest.abs() { x } else { largest })
        });
        *out = match rule {
            Merge::Sum => total,
            Merge::Mean => total / count.max(1) as f64,
            Merge::Max => largest,
        };
    }
    merged
}

/// The magnitude from which on entries are kept: ⌊density·n⌋ of them, at least one, and any that are equal.
fn threshold(values: &[f64], density: f64) -> f64 {
    let keep = ((values.len() as f64 * density) as usize).clamp(1, values.len().max(1));
    let mut sizes: Vec<f64> = values.iter().map(|x| x.abs()).collect();
    if sizes.is_empty() {
        return 0.0;
    }
    let rank = sizes.len() - keep;
    *sizes.select_nth_unstable_by(rank, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_majority_by_size_wins() {
        let row = |values: [f64; 4]| Dense { rows: 1, columns: 4, values: values.to_vec() };
        let experts = [row([4.0, -3.0, 0.5, 1.0]), row([-1.0, -1.0, 0.1, -1.0])];
        assert_eq!(vote(&experts, 1.0, Merge::Sum).values, [4.0, -4.0, 0.6, 0.0]);
        assert_eq!(vote(&experts, 1.0, Merge::Mean).values, [4.0, -2.0, 0.3, 0.0]);
        assert_eq!(vote(&experts, 0.5, Merge::Max).values, [4.0, -3.0, 0.0, -1.0]);
        assert!(vote(&[], 1.0, Merge::Sum).values.is_empty());
    }
}
