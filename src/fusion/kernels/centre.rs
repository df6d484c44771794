//! Routers seen from the middle of what they look at.
//!
//! A x + b is also A (x − μ) + c with c = b + A μ: the same routers under other numbers. Tokens of all tasks have much in
//! common, their mean μ is about as long as what tells them apart. Moved as (A, b), every image of one task that asks for
//! more of its expert also turns that expert up for all the others, along μ; moved as (A, c), along what is the task's
//! own. So for the mean over all tasks it is left to c what an expert weighs, and routers choose instead of turning
//! everything up.

use crate::fusion::{Body, Perceptron};
use std::ops::Range;

/// Where the first layer of each router has its numbers among those of all routers, and the mean of what it is given.
pub(super) struct Centre(Vec<First>);

struct First {
    /// Row after row, each as long as `mean`.
    weight: Range<usize>,
    mean: Vec<f64>,
}

impl Centre {
    /// The origin: nothing is seen otherwise.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// `seen` are the means of what each of the body's places is given, `[place][input]`. Routers that several places
    /// share have the mean over these; those that look at nothing, or of which the mean is not known or no number, stay
    /// as they are.
    pub fn new(body: &Body, routers: &[Perceptron], seen: &[Vec<f64>]) -> Self {
        let mut start = 0;
        let mut firsts = Vec::new();
        for (at, router) in routers.iter().enumerate() {
            let places = body.places.iter().zip(seen).filter(|(place, _)| place.router == at);
            let seen: Vec<&Vec<f64>> = places.map(|(_, seen)| seen).collect();
            if let Some(first) = router.layers.first() {
                let mean: Vec<f64> = (0..first.inputs)
                    .map(|input| seen.iter().filter_map(|seen| seen.get(input)).sum::<f64>() / seen.len() as f64)
                    .collect();
                if first.inputs > 0 && mean.iter().all(|x| x.is_finite()) {
                    firsts.push(First { weight: start..start + first.weight.len(), mean });
                }
            }
            start += router.len();
        }
        Self(firsts)
    }

    /// (A, b) → (A, c)
    pub fn enter(&self, numbers: &mut [f64]) {
        self.each(|first| first.shift(numbers, 1.0));
    }

    /// (A, c) → (A, b)
    pub fn leave(&self, numbers: &mut [f64]) {
        self.each(|first| first.shift(numbers, -1.0));
    }

    /// The slope over (A, b) → the slope over (A, c).
    pub fn slope(&self, slope: &mut [f64]) {
        self.each(|First { weight, mean }| {
            let (rows, rest) = slope[weight.start..].split_at_mut(weight.len());
            for (row, bias) in rows.chunks_exact_mut(mean.len()).zip(rest) {
                row.iter_mut().zip(mean).for_each(|(x, mean)| *x -= *bias * mean);
            }
        });
    }

    fn each(&self, act: impl FnMut(&First)) {
        self.0.iter().for_each(act);
    }
}

impl First {
    /// Adds `sign` · A μ to the biases.
    fn shift(&self, numbers: &mut [f64], sign: f64) {
        let (rows, rest) = numbers[self.weight.start..].split_at_mut(self.weight.len());
        for (row, bias) in rows.chunks_exact(self.mean.len()).zip(rest) {
            *bias += sign * row.iter().zip(&self.mean).map(|(x, mean)| x * mean).sum::<f64>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::{Affine, Place, Sees, Unit};
    use crate::weights::StateDict;

    /// Two routers, the second of two layers and asked by two places.
    fn some() -> (Body, Vec<Perceptron>, Vec<Vec<f64>>) {
        let layer = |inputs, weight: &[f32], bias: &[f32]| Affine { inputs, weight: weight.into(), bias: bias.into() };
        let router = |layers| Perceptron { sees: Sees::Tokens, layers, select: None };
        let routers = vec![
            router(vec![layer(2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[0.1, 0.2, 0.3])]),
            router(vec![layer(1, &[7.0, 8.0], &[0.0, 0.5]), layer(2, &[1.0, -1.0], &[0.3])]),
        ];
        let place = |router| Place { name: String::new(), router, unit: Unit::Expert, layers: Vec::new() };
        let body =
            Body { backbone: StateDict::default(), experts: Vec::new(), places: vec![place(0), place(1), place(1)] };
        (body, routers, vec![vec![10.0, -1.0], vec![2.0], vec![4.0]])
    }

    fn numbers(routers: &[Perceptron]) -> Vec<f64> {
        routers.iter().flat_map(Perceptron::numbers).map(f64::from).collect()
    }

    #[test]
    fn biases_become_answers_to_the_mean_and_back() {
        let (body, routers, seen) = some();
        let centre = Centre::new(&body, &routers, &seen);
        let before = numbers(&routers);
        let mut inside = before.clone();
        centre.enter(&mut inside);
        let want = [8.1, 26.2, 44.3];
        assert!(inside[6..9].iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{inside:?}");
        // The mean over both places is 3; the second layer's numbers stay.
        assert_eq!(inside[9..], [7.0, 8.0, 21.0, 24.5, 1.0, -1.0, f64::from(0.3f32)]);
        centre.leave(&mut inside);
        assert!(inside.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn slopes_follow_the_numbers() {
        let (body, routers, seen) = some();
        let centre = Centre::new(&body, &routers, &seen);
        // A loss that is linear in the routers' own numbers: its slope there is the same everywhere.
        let own: Vec<f64> = (0..numbers(&routers).len()).map(|at| (at as f64).sin()).collect();
        let loss = |inside: &[f64]| {
            let mut numbers = inside.to_vec();
            centre.leave(&mut numbers);
            numbers.iter().zip(&own).map(|(x, slope)| x * slope).sum::<f64>()
        };
        let mut slope = own.clone();
        centre.slope(&mut slope);
        let at = numbers(&routers);
        for (number, slope) in slope.iter().enumerate() {
            let mut moved = at.clone();
            moved[number] += 1.0;
            assert!((loss(&moved) - loss(&at) - slope).abs() < 1e-9, "{number}: {slope}");
        }
    }

    #[test]
    fn without_a_mean_nothing_is_moved() {
        let (body, routers, _) = some();
        let before = numbers(&routers);
        for seen in [Vec::new(), vec![Vec::new(); 3], vec![vec![f64::NAN; 2], vec![f64::INFINITY], vec![0.0]]] {
            let centre = Centre::new(&body, &routers, &seen);
            let mut after = before.clone();
            centre.enter(&mut after);
            assert_eq!(after, before, "{seen:?}");
        }
    }
}
