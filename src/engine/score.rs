//! From features to answers, batch by batch.

use crate::fusion::Adapter;
use crate::tasks::metrics;
use crate::zoo::Head;

/// Answers of one chunk.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scored {
    /// Per sample: was the answer right?
    pub correct: Vec<bool>,
    /// Summed cross-entropy.
    pub loss: f64,
}

/// Logits `[n, classes]` of features `[n, dim]`.
pub(super) fn logits(head: &Head, features: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; features.len() / head.dim * head.classes];
    for (feature, logits) in features.chunks_exact(head.dim).zip(out.chunks_exact_mut(head.classes)) {
        head.logits(feature, logits);
    }
    out
}

/// The same of features that a task's adapter corrects.
pub(super) fn corrected_logits(head: &Head, adapter: &Adapter, mut features: Vec<f32>) -> Vec<f32> {
    let lengths: Vec<f32> = features.chunks_exact_mut(head.dim).map(|row| adapter.correct(row)).collect();
    let mut out = logits(head, &features);
    // Heads divide by the length that features have now; before the correction it was 1.
    out.chunks_exact_mut(head.classes).zip(lengths).for_each(|(row, length)| row.iter_mut().for_each(|x| *x *= length));
    out
}

/// Compares logits `[n, classes]` with labels; `None` when a logit is not finite.
pub(super) fn score(logits: &[f32], classes: usize, labels: &[u16]) -> Option<Scored> {
    let mut scored = Scored::default();
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        if row.iter().any(|logit| !logit.is_finite()) {
            return None;
        }
        let (correct, loss) = metrics::score(row, usize::from(label));
        scored.correct.push(correct);
        scored.loss += loss;
    }
    Some(scored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_of_a_batch_is_answered_by_itself() {
        let head = Head::new(2, vec![1.0, 0.0, 0.0, 1.0], 16.0);
        let logits = logits(&head, &[3.0, 4.0, 0.03, 0.04]);
        for (got, expected) in logits.iter().zip([9.6, 12.8, 9.6, 12.8]) {
            assert!((got - expected).abs() < 1e-5);
        }
        let scored = score(&logits, 2, &[1, 0]).unwrap();
        assert_eq!(scored.correct, [true, false]);
        let loss = (1.0 + (-3.2f64).exp()).ln() + (1.0 + 3.2f64.exp()).ln();
        assert!((scored.loss - loss).abs() < 1e-5);
    }

    #[test]
    fn a_logit_that_is_not_finite_is_no_answer() {
        assert_eq!(score(&[0.0, f32::NAN], 2, &[0]), None);
    }
}
