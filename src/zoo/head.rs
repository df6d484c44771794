//! Frozen classification heads: one normalised row a class, like the text embeddings of a CLIP.

use super::ZooError;
use crate::weights::Checkpoint;

/// One task's head. Logits are `scale` × cosine(feature, row).
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    pub classes: usize,
    pub dim: usize,
    /// `[classes, dim]`, each row of length 1.
    pub rows: Vec<f32>,
    pub scale: f32,
}

impl Head {
    /// A head from rows of any length.
    #[must_use]
    pub fn new(dim: usize, mut rows: Vec<f32>, scale: f32) -> Self {
        rows.chunks_exact_mut(dim).for_each(normalise);
        Self { classes: rows.len() / dim, dim, rows, scale }
    }

    /// The logits of one image's features (`dim` values) into `logits` (`classes` values).
    pub fn logits(&self, features: &[f32], logits: &mut [f32]) {
        let length = features.iter().map(|value| value * value).sum::<f32>().sqrt();
        // A zero feature vector has no direction: all classes are equally likely.
        let factor = if length > 0.0 { self.scale / length } else { 0.0 };
        for (logit, row) in logits.iter_mut().zip(self.rows.chunks_exact(self.dim)) {
            *logit = row.iter().zip(features).map(|(a, b)| a * b).sum::<f32>() * factor;
        }
    }

    /// Reads the head of a task from the file that holds them all.
    pub(super) fn read(heads: &Checkpoint, task: &str, classes: usize, dim: usize) -> Result<Self, ZooError> {
        let tensor = heads.require(task)?;
        if tensor.info.shape != [classes, dim] {
            let (got, expected) = (tensor.info.shape.clone(), vec![classes, dim]);
            let (label, tensor) = (heads.label().to_owned(), task.to_owned());
            return Err(crate::weights::WeightsError::Shape { label, tensor, got, expected }.into());
        }
        let scale = heads.metadata().get("scale").and_then(|scale| scale.parse().ok());
        let Some(scale) = scale.filter(|scale: &f32| scale.is_finite() && *scale > 0.0) else {
            let reason = "its metadata lack a positive `scale`".to_owned();
            return Err(ZooError::Damaged { file: heads.label().to_owned(), reason });
        };
        Ok(Self::new(dim, tensor.to_vec(), scale))
    }
}

/// Scales to length 1; a zero vector stays.
pub(super) fn normalise(row: &mut [f32]) {
    let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        for value in row {
            *value /= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_are_scaled_cosines() {
        let head = Head::new(2, vec![3.0, 0.0, 5.0, 5.0], 16.0);
        let mut logits = [0.0; 2];
        head.logits(&[0.0, 2.0], &mut logits);
        assert!(logits[0].abs() < 1e-6 && (logits[1] - 16.0 * 0.5f32.sqrt()).abs() < 1e-5);
        head.logits(&[0.0, 0.0], &mut logits);
        assert_eq!(logits, [0.0, 0.0]);
    }
}
