//! Representation surgery: what a task corrects of the features of a model that several tasks share.

/// ẑ = z − U max(0, Dz) for features z of length 1 (Yang et al. 2024).
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    pub width: usize,
    /// D, `[hidden, width]`
    pub down: Vec<f32>,
    /// U, `[width, hidden]`
    pub up: Vec<f32>,
}

impl Adapter {
    /// Numbers it consists of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.down.len() + self.up.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Brings one image's features to length 1 and corrects them. What comes out has another length, which it gives: a
    /// head that looks at cosines must multiply its answers by it.
    pub fn correct(&self, z: &mut [f32]) -> f32 {
        let size = length(z);
        if size > 0.0 {
            for x in z.iter_mut() {
                *x /= size;
            }
        }
        let hidden: Vec<f32> = self.down.chunks_exact(self.width.max(1)).map(|row| dot(row, z).max(0.0)).collect();
        for (x, row) in z.iter_mut().zip(self.up.chunks_exact(hidden.len().max(1))) {
            *x -= dot(row, &hidden);
        }
        length(z)
    }
}

fn length(z: &[f32]) -> f32 {
    dot(z, z).sqrt()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_brought_to_length_one_and_corrected_by_what_is_switched_on() {
        let adapter = Adapter { width: 2, down: vec![1.0, 0.0, -1.0, 0.0], up: vec![0.5, 9.0, 1.0, 9.0] };
        let mut features = [3.0, 4.0];
        let length = adapter.correct(&mut features);
        // z = (0.6, 0.8): the first hidden unit says 0.6, the second nothing.
        let close = |a: f32, b: f32| (a - b).abs() < 1e-6;
        assert!(close(features[0], 0.3) && close(features[1], 0.2), "{features:?}");
        assert!(close(length, 0.13f32.sqrt()));
        let mut nothing = [0.0, 0.0];
        assert!(adapter.correct(&mut nothing) == 0.0 && nothing == [0.0, 0.0]);
    }
}
