//! How answers are scored, and how sure one may be of a score.

/// The quantile of the standard normal distribution for two-sided 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % score interval for a share of `n` (Wilson 1927): honest also for small `n` and for shares near 0 and 1.
/// `(0, 1)` when nothing was seen.
#[must_use]
pub fn wilson(correct: u64, n: u64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (total, share) = (n as f64, correct as f64 / n as f64);
    let spread = Z * Z / total;
    let centre = (share + spread / 2.0) / (1.0 + spread);
    let half = Z / (1.0 + spread) * (share * (1.0 - share) / total + spread / (4.0 * total)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// Two recipes compared on the same samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// Samples that only the first got right.
    pub wins: u64,
    /// Samples that only the second got right.
    pub losses: u64,
    /// Two-sided p-value of "they are equally good".
    pub p: f64,
}

impl Paired {
    /// The variance of the difference of the two accuracies on `n` common samples.
    #[must_use]
    pub fn variance(&self, n: u64) -> f64 {
        let (n, wins, losses) = (n as f64, self.wins as f64, self.losses as f64);
        (wins + losses - (wins - losses).powi(2) / n) / n.powi(2)
    }
}

/// Half the width of a two-sided 95 % interval whose centre has this variance.
#[must_use]
pub fn margin(variance: f64) -> f64 {
    Z * variance.sqrt()
}

/// p-values as if there had been one test (Holm 1979): who looks at many tasks will find one that differs by chance.
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut adjusted, mut largest) = (vec![1.0; p.len()], 0.0f64);
    for (rank, &at) in order.iter().enumerate() {
        largest = largest.max((p[at] * (p.len() - rank) as f64).min(1.0));
        adjusted[at] = largest;
    }
    adjusted
}

/// McNemar's exact test (McNemar 1947) on per-sample outcomes, paired by position; surplus samples are ignored.
#[must_use]
pub fn mcnemar(first: &[bool], second: &[bool]) -> Paired {
    let pairs = || first.iter().zip(second);
    let wins = pairs().filter(|(a, b)| **a && !**b).count() as u64;
    let losses = pairs().filter(|(a, b)| !**a && **b).count() as u64;
    Paired { wins, losses, p: binomial_two_sided(wins.min(losses), wins + losses) }
}

/// Probability that `n` fair coins are at least as uneven as `fewer` against the rest.
fn binomial_two_sided(fewer: u64, n: u64) -> f64 {
    // Σ C(n, k)/2ⁿ over k ≤ fewer, each term from the one before, in logarithms so that 2⁻ⁿ does not vanish.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=fewer {
        tail += term.exp();
        term += ((n - k) as f64 / (k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// One sample's answer: was the largest logit the label's, and the cross-entropy in nats. A NaN anywhere is a wrong
/// answer with a NaN loss.
#[must_use]
pub fn score(logits: &[f32], label: usize) -> (bool, f64) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    let Some(&own) = logits.get(label) else { return (false, f64::NAN) };
    // The first of equally large logits is the answer, as argmax does it.
    let first = logits.iter().position(|&logit| logit == largest);
    let finite = !logits.iter().any(|logit| logit.is_nan());
    let loss = if finite { sum.ln() - f64::from(own - largest) } else { f64::NAN };
    (finite && first == Some(label), loss)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 5e-5
    }

    #[test]
    fn wilson_agrees_with_published_values() {
        // statsmodels.stats.proportion.proportion_confint(8, 10, method="wilson")
        let (low, high) = wilson(8, 10);
        assert!(close(low, 0.490_16) && close(high, 0.943_32), "{low} {high}");
        let (low, high) = wilson(0, 20);
        assert!(low == 0.0 && close(high, 0.161_13), "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn mcnemar_counts_only_disagreements() {
        let first = [true, true, true, true, true, false, true];
        let second = [true, false, false, false, false, false, false];
        let paired = mcnemar(&first, &second);
        assert_eq!((paired.wins, paired.losses), (5, 0));
        assert!(close(paired.p, 2.0 / 32.0), "{}", paired.p);
        assert!(close(mcnemar(&second, &first).p, 2.0 / 32.0));
        assert!(close(mcnemar(&first, &first).p, 1.0));
        // scipy.stats.binomtest(3, 13).pvalue
        assert!(close(binomial_two_sided(3, 13), 0.092_29), "{}", binomial_two_sided(3, 13));
        assert!(binomial_two_sided(900, 4000) < 1e-100 && binomial_two_sided(2000, 4000) > 0.99);
    }

    #[test]
    fn differences_have_margins_and_many_tests_cost_something() {
        // 12 against 4 of 100: 0.08 ± 1.96 · √((16 − 0.64)/10⁴)
        let paired = Paired { wins: 12, losses: 4, p: 0.0 };
        assert!(close(margin(paired.variance(100)), 1.959_964 * (15.36f64 / 1e4).sqrt()));
        // statsmodels.stats.multitest.multipletests([0.01, 0.04, 0.03, 0.005], method="holm")
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!(close(*found, expected), "{adjusted:?}");
        }
        assert!(holm(&[]).is_empty() && holm(&[0.7, 0.9]) == [1.0, 1.0]);
    }

    #[test]
    fn scores_are_argmax_and_cross_entropy() {
        let (right, loss) = score(&[1.0, 3.0, 2.0], 1);
        assert!(right && close(loss, 0.407_606), "{loss}");
        assert!(!score(&[1.0, 3.0, 2.0], 2).0);
        assert!(score(&[2.0, 2.0], 0).0 && !score(&[2.0, 2.0], 1).0);
        let (right, loss) = score(&[f32::NAN, 1.0], 1);
        assert!(!right && loss.is_nan());
        assert!(!score(&[f32::NEG_INFINITY, f32::NAN], 0).0);
    }
}
