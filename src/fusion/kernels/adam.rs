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

    /// Another learning rate from now on.
    pub(in crate::fusion) fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
    }

    /// One step down the gradient; all slices are of the length given before.
    pub(in crate::fusion) fn step(&mut self, values: &mut [f64], gradient: &[f64]) {
        self.step += 1;
        let stride = Stride::new(self.rate, self.step);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, &g), (m, v)) in values.iter_mut().zip(gradient).zip(moments) {
            *value -= stride.down(m, v, g);
        }
    }
}

/// Moments in f32, for tensors as large as a model's; sums are still made in f64.
#[derive(Debug, Clone)]
pub(in crate::fusion) struct Narrow {
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Narrow {
    /// For a tensor of `length` elements.
    pub(in crate::fusion) fn new(length: usize) -> Self {
        Self { first: vec![0.0; length], second: vec![0.0; length] }
    }

    /// One step down the gradient; all slices are of the length given before.
    pub(in crate::fusion) fn step(&mut self, stride: Stride, values: &mut [f32], gradient: &[f32]) {
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, &g), (m, v)) in values.iter_mut().zip(gradient).zip(moments) {
            let (mut first, mut second) = (f64::from(*m), f64::from(*v));
            *value = (f64::from(*value) - stride.down(&mut first, &mut second, f64::from(g))) as f32;
            (*m, *v) = (first as f32, second as f32);
        }
    }
}

/// What a step is the same in for all elements.
#[derive(Debug, Clone, Copy)]
pub(in crate::fusion) struct Stride {
    size: f64,
    unbias: f64,
}

impl Stride {
    /// That of step `step`, counted from 1.
    pub(in crate::fusion) fn new(rate: f64, step: i32) -> Self {
        Self { size: rate / (1.0 - BETA.0.powi(step)), unbias: (1.0 - BETA.1.powi(step)).sqrt() }
    }

    /// Takes an element's gradient into its moments; how far the element goes down.
    fn down(self, m: &mut f64, v: &mut f64, g: f64) -> f64 {
        *m += (1.0 - BETA.0) * (g - *m);
        *v += (1.0 - BETA.1) * (g * g - *v);
        self.size * *m / (v.sqrt() / self.unbias + EPSILON)
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

    #[test]
    fn moments_in_f32_go_the_same_way() {
        let (mut wide, mut narrow) = ([0.5f64, -2.0], [0.5f32, -2.0]);
        let (mut adam, mut moments) = (Adam::new(0.01, 2), Narrow::new(2));
        for step in 1..=200 {
            let gradient = wide.map(|x| 3.0 * x - 1.0);
            adam.step(&mut wide, &gradient);
            let gradient = narrow.map(|x| 3.0 * x - 1.0);
            moments.step(Stride::new(0.01, step), &mut narrow, &gradient);
        }
        for (wide, narrow) in wide.iter().zip(narrow) {
            assert!((wide - f64::from(narrow)).abs() < 1e-4, "{wide} {narrow}");
        }
    }
}
