//! Adam (Kingma and Ba 2015) on one tensor, as PyTorch computes it: β = (0.9, 0.999), ε = 1e-8, no weight decay.

/// Moments of one tensor's gradients.
#[derive(Debug, Clone)]
pub(in crate::fusion) struct Adam {
    rate: f64,
    step: i32,
    first: Vec<f64>,
    second: Vec<f64>,
}

const BETA: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

impl Adam {
    /// For a tensor of `length` elements, with learning rate `rate`.
    pub(in crate::fusion) fn new(rate: f64, length: usize) -> Self {
        Self { rate, step: 0, first: vec![0.0; length], second: vec![0.0; length] }
    }

    /// One step down the gradient; all slices are of the length given before.
    pub(in crate::fusion) fn step(&mut self, values: &mut [f64], gradient: &[f64]) {
        self.step += 1;
        let (unbias1, unbias2) = (1.0 - BETA.0.powi(self.step), (1.0 - BETA.1.powi(self.step)).sqrt());
        let size = self.rate / unbias1;
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, &g), (m, v)) in values.iter_mut().zip(gradient).zip(moments) {
            *m += (1.0 - BETA.0) * (g - *m);
            *v += (1.0 - BETA.1) * (g * g - *v);
            *value -= size * *m / (v.sqrt() / unbias2 + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_rate_whatever_the_scale() {
        let mut values = [0.0; 3];
        Adam::new(0.1, 3).step(&mut values, &[1e-3, -2.0, 0.0]);
        assert!((values[0] + 0.1).abs() < 1e-5 && (values[1] - 0.1).abs() < 1e-8 && values[2] == 0.0);
    }

    #[test]
    fn a_parabola_is_descended() {
        let (mut x, mut adam) = ([1.0], Adam::new(0.05, 1));
        for _ in 0..500 {
            let gradient = [2.0 * (x[0] - 0.25)];
            adam.step(&mut x, &gradient);
        }
        assert!((x[0] - 0.25).abs() < 1e-4, "{x:?}");
    }
}
