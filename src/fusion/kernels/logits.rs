//! A logit for each element of a model, of which masks are drawn, and which are moved down a loss (Tang et al. 2023).
//!
//! A mask is m = sigmoid((φ + ln u − ln(1 − u)) / t), u uniform in 0..1: a relaxed Bernoulli variable of temperature t, which
//! the slope goes through, ∂m/∂φ = m(1 − m)/t. It is divided by its mean over the tensor, r = m/μ, so that
//! ∂L/∂mⱼ = (gⱼ − Σₖ gₖrₖ/n)/μ with g = ∂L/∂r = ∂L/∂θ ∘ Σ λᵢτᵢ. No merge is part of a graph.
//!
//! Memory: six vectors of the model's size in f32, beside a model and its slope: logits, those of two places to go back to,
//! Adam's two moments, and a gradient; a mask is a seventh.

use super::accumulate::accumulate;
use super::adam::{Narrow, Stride};
use super::mask::{Mask, Part};
use super::rows::{Decode, Row};
use crate::cancel::Cancel;
use crate::fusion::linear::Coefficients;
use crate::fusion::{FusionError, seeded};
use crate::weights::StateDict;
use rand_chacha::rand_core::RngCore;
use rayon::prelude::*;

/// φ, tensor by tensor.
pub(in crate::fusion) struct Logits {
    tensors: Vec<Own>,
    temperature: f64,
    seed: u64,
    rate: f64,
    /// Steps taken.
    steps: usize,
}

/// What there is of one tensor; empty for an integer buffer.
struct Own {
    name: String,
    logits: Vec<f32>,
    adam: Narrow,
}

/// Where logits stood, after so many steps.
pub(in crate::fusion) struct Place {
    steps: usize,
    /// Tensor by tensor.
    logits: Vec<Vec<f32>>,
}

impl Logits {
    /// The same logit everywhere.
    pub(in crate::fusion) fn new(rows: &[Row<'_>], logit: f64, (temperature, rate, seed): (f64, f64, u64)) -> Self {
        let own = |row: &Row<'_>| {
            let length = if row.info.dtype.is_float() { row.info.len() } else { 0 };
            let logits = vec![logit as f32; length];
            Own { name: row.info.name.clone(), logits, adam: Narrow::new(length) }
        };
        Self { tensors: rows.par_iter().map(own).collect(), temperature, seed, rate, steps: 0 }
    }

    /// Steps taken.
    pub(in crate::fusion) fn steps(&self) -> usize {
        self.steps
    }

    /// The mask that is drawn after the steps taken so far: by seed, step and the tensors' names, whatever the number of
    /// cores.
    ///
    /// # Errors
    /// Cancellation.
    pub(in crate::fusion) fn sample(&self, cancel: &Cancel) -> Result<Mask, FusionError> {
        let step = (self.steps as u64).to_le_bytes();
        self.mask(cancel, |own| {
            let mut stream = seeded::stream("concrete", self.seed, &[&step, own.name.as_bytes()]);
            let mut draw = |logit: &f32| {
                let u = (f64::from(stream.next_u32()) + 0.5) / 4_294_967_296.0;
                sigmoid((f64::from(*logit) + u.ln() - (-u).ln_1p()) / self.temperature) as f32
            };
            own.logits.iter().map(&mut draw).collect()
        })
    }

    /// sigmoid(φ), what the Bernoulli variables are on average.
    ///
    /// # Errors
    /// Cancellation.
    pub(in crate::fusion) fn expected(&self, cancel: &Cancel) -> Result<Mask, FusionError> {
        self.mask(cancel, |own| own.logits.iter().map(|logit| sigmoid(f64::from(*logit)) as f32).collect())
    }

    fn mask(&self, cancel: &Cancel, of: impl Fn(&Own) -> Vec<f32> + Sync) -> Result<Mask, FusionError> {
        let part = |own: &Own| -> Result<Part, FusionError> {
            cancel.check()?;
            Ok(Part::rescaled(of(own)))
        };
        self.tensors.par_iter().map(part).collect::<Result<_, _>>().map(Mask::new)
    }

    /// ∂L/∂φ, tensor by tensor, where a loss has this slope over the weights that the mask drawn last and these
    /// coefficients give.
    ///
    /// # Errors
    /// Cancellation.
    pub(in crate::fusion) fn gradient(
        &self,
        mask: &Mask,
        (rows, table): (&[Row<'_>], &[Coefficients]),
        slope: &StateDict,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>, FusionError> {
        let of = |(at, row): (usize, &Row<'_>)| -> Result<Vec<f32>, FusionError> {
            cancel.check()?;
            let (part, length) = (&mask.parts()[at], self.tensors[at].logits.len());
            let mut gradient = vec![0.0; length];
            let slope = slope.get(&row.info.name).and_then(|tensor| tensor.values());
            // A mask without a mean does not depend on the logits.
            let Some(slope) = slope.filter(|slope| slope.len() == length && part.mean > 0.0) else {
                return Ok(gradient);
            };
            let Coefficients { slots, lambdas, .. } = &table[at];
            row.read(slots, &(0..length), &mut Decode::default(), |base, experts| {
                accumulate(&mut gradient, base, experts, lambdas);
            });
            gradient.iter_mut().zip(slope).for_each(|(g, slope)| *g *= slope);
            let along: f64 = gradient.iter().zip(&part.values).map(|(g, r)| f64::from(*g) * f64::from(*r)).sum();
            let along = along / length as f64;
            for (g, r) in gradient.iter_mut().zip(&part.values) {
                let m = f64::from(*r) * part.mean;
                *g = ((f64::from(*g) - along) / part.mean * m * (1.0 - m) / self.temperature) as f32;
            }
            Ok(gradient)
        };
        rows.par_iter().enumerate().map(of).collect()
    }

    /// One step of Adam down a gradient.
    pub(in crate::fusion) fn descend(&mut self, gradient: &[Vec<f32>]) {
        self.steps += 1;
        let stride = Stride::new(self.rate, i32::try_from(self.steps).unwrap_or(i32::MAX));
        self.tensors.par_iter_mut().zip(gradient).for_each(|(own, gradient)| {
            own.adam.step(stride, &mut own.logits, gradient);
        });
    }

    pub(in crate::fusion) fn place(&self) -> Place {
        Place { steps: self.steps, logits: self.tensors.iter().map(|own| own.logits.clone()).collect() }
    }

    /// Goes back to a place, for good: it is not where Adam's moments are from.
    pub(in crate::fusion) fn return_to(&mut self, place: Place) {
        self.steps = place.steps;
        self.tensors.iter_mut().zip(place.logits).for_each(|(own, logits)| own.logits = logits);
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::kernels::rows::rows;
    use crate::fusion::testing::{ELEMENTS, flat, model, pool};
    use crate::fusion::{Context, LinearPlan, Origin, Pool};

    fn two() -> Pool {
        let values = |seed: f32| (0..ELEMENTS).map(|at| ((at * at) as f32 * seed).sin()).collect::<Vec<_>>();
        pool(Some(&values(0.3)), &[values(0.7), values(1.9)])
    }

    fn logits(pool: &Pool, rate: f64) -> Logits {
        let mut logits = Logits::new(&rows(pool).unwrap(), 0.0, (0.5, rate, 7));
        for (at, own) in logits.tensors.iter_mut().enumerate() {
            own.logits.iter_mut().enumerate().for_each(|(j, x)| *x = ((at * 5 + j) as f32 * 0.9).sin());
        }
        logits
    }

    #[test]
    fn the_gradient_is_what_differences_say() {
        let pool = two();
        let rows = rows(&pool).unwrap();
        let (cancel, mut silent) = (Cancel::default(), |_, _| {});
        let plan = LinearPlan::uniform(Origin::Base, &pool, &[0.4, -0.7]);
        let table = plan.table(&pool, &rows).unwrap();
        // L = Σ θ²/2, of which the slope is θ.
        let mut weights = |logits: &Logits| {
            let mask = logits.sample(&cancel).unwrap();
            (mask.weights(&plan, &pool, &mut Context::new(&cancel, &mut silent)).unwrap(), mask)
        };
        let loss = |weights: &StateDict| flat(weights).iter().map(|x| f64::from(*x).powi(2) / 2.0).sum::<f64>();
        let mut own = logits(&pool, 0.1);
        let (here, mask) = weights(&own);
        let gradient = own.gradient(&mask, (&rows, &table), &here, &cancel).unwrap();
        for (tensor, gradient) in gradient.iter().enumerate() {
            for (at, expected) in gradient.iter().enumerate() {
                let mut moved = |by: f32| {
                    own.tensors[tensor].logits[at] += by;
                    let loss = loss(&weights(&own).0);
                    own.tensors[tensor].logits[at] -= by;
                    loss
                };
                let measured = (moved(0.01) - moved(-0.01)) / 0.02;
                assert!((measured - f64::from(*expected)).abs() < 5e-4, "{tensor} {at}: {measured} {expected}");
            }
        }
        assert!(gradient[0].iter().any(|x| x.abs() > 1e-3));
        assert_eq!(gradient[2], [0.0], "a tensor of one element is all there is, whatever its logit");
    }

    #[test]
    fn masks_are_drawn_by_seed_and_step_as_often_as_logits_say() {
        let model = |_: usize| model(&[0.0; ELEMENTS]);
        let pool = Pool::new(Some(model(0)), vec![("a".into(), model(1))]).unwrap();
        let cancel = Cancel::default();
        let mut logits = Logits::new(&rows(&pool).unwrap(), 0.0, (0.5, 0.1, 7));
        let drawn = |logits: &Logits| logits.sample(&cancel).unwrap().parts().to_vec();
        let first = drawn(&logits);
        assert_eq!(first, drawn(&logits));
        let other = Logits::new(&rows(&pool).unwrap(), 0.0, (0.5, 0.1, 8));
        assert_ne!(first, drawn(&other));
        let zero: Vec<Vec<f32>> = logits.tensors.iter().map(|own| vec![0.0; own.logits.len()]).collect();
        let place = logits.place();
        logits.descend(&zero);
        assert_ne!(first, drawn(&logits), "another step, another mask");
        logits.return_to(place);
        assert_eq!(first, drawn(&logits));
        assert!(logits.expected(&cancel).unwrap().parts().iter().all(|part| part.values.iter().all(|x| *x == 1.0)));
        // P(m > ½) = sigmoid(φ), whatever the temperature.
        for (logit, share) in [(0.0, 0.5), (1.0, 0.731), (-2.0, 0.119)] {
            let mut kept = 0;
            for seed in 0..400 {
                let logits = Logits::new(&rows(&pool).unwrap(), logit, (0.5, 0.1, seed));
                let part = &drawn(&logits)[0];
                kept += part.values.iter().filter(|r| f64::from(**r) * part.mean > 0.5).count();
            }
            let share_kept = kept as f64 / (400.0 * 12.0);
            assert!((share_kept - share).abs() < 0.02, "{logit}: {share_kept}");
        }
    }

    #[test]
    fn a_step_can_be_taken_back() {
        let pool = two();
        let mut logits = logits(&pool, 0.1);
        let all = |logits: &Logits| logits.tensors.iter().map(|own| own.logits.clone()).collect::<Vec<_>>();
        let before = all(&logits);
        let gradient: Vec<Vec<f32>> = before.iter().map(|own| vec![1.0; own.len()]).collect();
        let place = logits.place();
        logits.descend(&gradient);
        assert!(logits.steps() == 1 && (all(&logits)[0][0] - before[0][0] + 0.1).abs() < 1e-5);
        logits.return_to(place);
        assert!(logits.steps() == 0 && all(&logits) == before);
    }
}
