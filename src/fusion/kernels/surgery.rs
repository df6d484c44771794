//! Learning what a task corrects of a merged model's features: to what its expert has.

use super::adam::Adam;
use crate::fusion::{Adapter, Context, Features, FusionError, seeded};
use rand_chacha::rand_core::RngCore;

/// How adapters are learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::fusion) struct Surgery {
    /// Steps of Adam.
    pub iterations: usize,
    pub rate: f64,
    /// Width between the two layers.
    pub hidden: usize,
    /// Images in a step.
    pub batch: usize,
    pub seed: u64,
}

impl Surgery {
    /// An adapter that brings what the merged model sees closer, in ℓ₁, to what the expert sees of the same images; both
    /// are brought to length 1 first. Goes through the images batch by batch, round and round.
    ///
    /// # Errors
    /// Features that are not finite or do not fit together; cancellation.
    pub(in crate::fusion) fn operate(
        &self,
        task: &str,
        merged: &Features,
        expert: &Features,
        cx: &mut Context<'_>,
    ) -> Result<Adapter, FusionError> {
        let (width, hidden) = (merged.width.max(1), self.hidden);
        let data = |reason: &str| FusionError::Data { task: task.to_owned(), reason: reason.to_owned() };
        if merged.width != expert.width || merged.values.len() != expert.values.len() {
            return Err(data("the merged model and the expert have features of different sizes"));
        }
        if merged.values.iter().chain(&expert.values).any(|x| !x.is_finite()) {
            return Err(data("features are not finite"));
        }
        let (from, to) = (unit_rows(merged), unit_rows(expert));
        let images = from.len() / width;
        let mut numbers = self.first_numbers(task, width);
        let mut adam = Adam::new(self.rate, numbers.len());
        let mut next = 0;
        for _ in 0..if images > 0 { self.iterations } else { 0 } {
            cx.cancel.check()?;
            let mut slope = vec![0.0; numbers.len()];
            for _ in 0..self.batch.clamp(1, images) {
                let at = next * width..(next + 1) * width;
                add_slope(&numbers, (&from[at.clone()], &to[at]), hidden, &mut slope);
                next = (next + 1) % images;
            }
            adam.step(&mut numbers, &slope);
            cx.advance(1);
        }
        let (down, up) = numbers.split_at(hidden * width);
        let narrow = |part: &[f64]| part.iter().map(|x| *x as f32).collect();
        Ok(Adapter { width, down: narrow(down), up: narrow(up) })
    }

    /// D uniform in ±1/√width, as PyTorch's linear layers begin, and U zero: nothing is corrected at first.
    fn first_numbers(&self, task: &str, width: usize) -> Vec<f64> {
        let mut stream = seeded::stream("adapter", self.seed, &[task.as_bytes()]);
        let bound = (width as f64).powf(-0.5);
        let mut uniform = || (f64::from(stream.next_u32()) + 0.5) / 2_147_483_648.0 - 1.0;
        let mut numbers: Vec<f64> = (0..self.hidden * width).map(|_| bound * uniform()).collect();
        numbers.resize(2 * self.hidden * width, 0.0);
        numbers
    }
}

fn unit_rows(features: &Features) -> Vec<f64> {
    let row = |row: &[f32]| {
        let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
        row.iter().map(move |x| f64::from(*x) / length).collect::<Vec<f64>>()
    };
    features.values.chunks_exact(features.width.max(1)).flat_map(row).collect()
}

/// Adds the slope of ‖z − U max(0, Dz) − z*‖₁ over D and U.
fn add_slope(numbers: &[f64], (z, wanted): (&[f64], &[f64]), hidden: usize, slope: &mut [f64]) {
    let width = z.len();
    let (down, up) = numbers.split_at(hidden * width);
    let inner: Vec<f64> = down.chunks_exact(width).map(|row| dot(row, z).max(0.0)).collect();
    let (slope_down, slope_up) = slope.split_at_mut(hidden * width);
    let mut below = vec![0.0; hidden];
    for (at, row) in up.chunks_exact(hidden.max(1)).enumerate() {
        let off = z[at] - dot(row, &inner) - wanted[at];
        let sign = if off == 0.0 { 0.0 } else { off.signum() };
        for unit in 0..hidden {
            slope_up[at * hidden + unit] -= sign * inner[unit];
            below[unit] -= sign * row[unit];
        }
    }
    for (unit, below) in below.iter().enumerate().filter(|(unit, _)| inner[*unit] > 0.0) {
        let row = &mut slope_down[unit * width..(unit + 1) * width];
        row.iter_mut().zip(z).for_each(|(slope, x)| *slope += below * x);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;

    fn loss(numbers: &[f64], z: &[f64], wanted: &[f64], hidden: usize) -> f64 {
        let (down, up) = numbers.split_at(hidden * z.len());
        let inner: Vec<f64> = down.chunks_exact(z.len()).map(|row| dot(row, z).max(0.0)).collect();
        let rows = up.chunks_exact(hidden).zip(z.iter().zip(wanted));
        rows.map(|(row, (z, wanted))| (z - dot(row, &inner) - wanted).abs()).sum()
    }

    #[test]
    fn the_slope_is_what_differences_say() {
        let (z, wanted, hidden) = ([0.6, -0.3, 0.74], [0.1, 0.5, -0.2], 4);
        let numbers: Vec<f64> = (0..2 * hidden * 3).map(|at| (at as f64 * 1.7).sin()).collect();
        let mut slope = vec![0.0; numbers.len()];
        add_slope(&numbers, (&z, &wanted), hidden, &mut slope);
        for at in 0..numbers.len() {
            let nudged = |by: f64| {
                let mut nudged = numbers.clone();
                nudged[at] += by;
                loss(&nudged, &z, &wanted, hidden)
            };
            let measured = (nudged(1e-6) - nudged(-1e-6)) / 2e-6;
            assert!((measured - slope[at]).abs() < 1e-6, "{at}: {measured} {}", slope[at]);
        }
    }

    #[test]
    fn corrected_features_are_closer_to_the_experts() {
        let features = |shift: f32| {
            let values = (0..40 * 6).map(|at| (at as f32 * 0.37).sin() + shift * (at % 6) as f32).collect();
            Features { width: 6, values }
        };
        let (merged, expert) = (features(0.1), features(0.5));
        let (cancel, mut silent) = (Cancel::default(), |_, _| {});
        let mut cx = Context::new(&cancel, &mut silent);
        let surgery = Surgery { iterations: 300, rate: 3e-3, hidden: 8, batch: 8, seed: 0 };
        let adapter = surgery.operate("a", &merged, &expert, &mut cx).unwrap();
        let distance = |adapter: &Adapter| -> f64 {
            let mut corrected = merged.values.clone();
            for row in corrected.chunks_exact_mut(6) {
                adapter.correct(row);
            }
            corrected.iter().zip(unit_rows(&expert)).map(|(a, b)| (f64::from(*a) - b).abs()).sum()
        };
        let none = Adapter { width: 6, down: vec![0.0; 6], up: vec![0.0; 6] };
        assert!(distance(&adapter) < 0.5 * distance(&none), "{} {}", distance(&adapter), distance(&none));
        assert_eq!(surgery.operate("a", &merged, &expert, &mut cx).unwrap(), adapter);
        let error = surgery.operate("a", &merged, &Features { width: 3, values: vec![0.0; 240] }, &mut cx).unwrap_err();
        assert!(error.to_string().contains("different sizes"));
    }
}
