//! Slopes of a network's answers over its weights.

use super::Source;
use super::answers::{answers, telling};
use super::compute::{number, pixels, values};
use super::spare::Spare;
use super::two_way::Passages;
use super::work::{Answer, Batch, Of};
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::fusion::{FusionError, Slopes, seeded};
use crate::models::clip_vit::{ClipVit, TracedClipVit};
use crate::tasks::objective::{entropy, fisher_surrogate, log_likelihood};
use crate::weights::{Data, StateDict};
use crate::zoo::Head;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use rand_chacha::rand_core::RngCore;

/// A network whose weights ask for slopes, in front of one task's examples.
pub(super) struct Tracked<'a> {
    network: Network<'a>,
    source: &'a dyn Source,
    batch: &'a Batch,
    head: &'a Head,
    cancel: &'a Cancel,
}

enum Network<'a> {
    /// By burn's autodiff, with its own leaves of the graph: backward passes over shared ones wait for each other for ever.
    Burn(Box<ClipVit>),
    /// By hand, on the CPU.
    Host(Box<TracedClipVit<'a>>, &'a Spare),
}

impl<'a> Tracked<'a> {
    /// On the model's own device.
    ///
    /// # Errors
    /// No head for the task.
    pub fn on_device(
        model: &ClipVit,
        source: &'a dyn Source,
        batch: &'a Batch,
        cancel: &'a Cancel,
    ) -> Result<Self, EngineError> {
        let network = Network::Burn(Box::new(model.clone().fork(&model.device())));
        Ok(Self { network, source, batch, head: source.head(&batch.task)?, cancel })
    }

    /// On the CPU.
    ///
    /// # Errors
    /// Weights that do not fit; no head for the task.
    pub fn on_host(
        (weights, spare): (&'a StateDict, &'a Spare),
        source: &'a dyn Source,
        batch: &'a Batch,
        cancel: &'a Cancel,
    ) -> Result<Self, EngineError> {
        let network = Network::Host(Box::new(TracedClipVit::new(source.config(), weights)?), spare);
        Ok(Self { network, source, batch, head: source.head(&batch.task)?, cancel })
    }

    /// A function of the answers to some examples, and its slope over all weights.
    fn follow(
        &self,
        indices: &[usize],
        of: impl FnOnce(Tensor<2>) -> Result<Tensor<1>, EngineError>,
    ) -> Result<(f64, StateDict), EngineError> {
        self.cancel.check()?;
        let (found, slope) = match &self.network {
            Network::Burn(model) => {
                let batch = Batch { indices: indices.to_vec(), ..self.batch.clone() };
                let features = model.differentiable_features(pixels(self.source, &batch, &model.device())?);
                let found = of(answers(features, self.head))?;
                let slope = model.gradients(&found.backward())?;
                (found, slope)
            }
            Network::Host(tower, spare) => self.follow_on_host((tower, spare), indices, of)?,
        };
        Ok((number(found)?, slope))
    }

    fn follow_on_host(
        &self,
        (tower, spare): (&TracedClipVit<'_>, &Spare),
        indices: &[usize],
        of: impl FnOnce(Tensor<2>) -> Result<Tensor<1>, EngineError>,
    ) -> Result<(Tensor<1>, StateDict), EngineError> {
        let passages = Passages::new(tower, self.source, self.batch, indices, self.cancel)?;
        let mut slope = tower.zero(spare.take());
        let found = passages.back(self.head, of, &mut slope)?;
        Ok((found, tower.named(slope)))
    }

    /// # Errors
    /// Examples that cannot be read, a device that fails, cancellation.
    pub fn answer(&self, of: Of) -> Result<Answer, EngineError> {
        let indices = &self.batch.indices;
        let mut told = None;
        let (loss, slope) = match of {
            Of::Entropy => self.follow(indices, telling(&mut told, entropy))?,
            Of::CrossEntropy => {
                let labels = self.labels(indices)?;
                let share = -1.0 / indices.len().max(1) as f32;
                let loss = |logits| log_likelihood(logits, &labels).mul_scalar(share);
                self.follow(indices, telling(&mut told, loss))?
            }
            Of::Examples { what, seed } => (0.0, self.measure(what, seed)?),
        };
        let information = told.map_or(Ok(0.0), number)?;
        Ok(Answer::Slope { loss, information, slope })
    }

    /// True classes.
    fn labels(&self, indices: &[usize]) -> Result<Vec<usize>, EngineError> {
        let labels = self.source.labels(&self.batch.task, self.batch.shown, indices)?;
        let classes = self.head.classes;
        if labels.len() == indices.len() && labels.iter().all(|&label| label < classes) {
            return Ok(labels);
        }
        let reason = format!("labels are missing or not below {classes}, the number of classes");
        Err(FusionError::Data { task: self.batch.task.clone(), reason }.into())
    }

    fn measure(&self, what: Slopes, seed: u64) -> Result<StateDict, EngineError> {
        let mut sum = None;
        match what {
            Slopes::BatchSquares => {
                let (_, slope) = self.follow(&self.batch.indices, |logits| Ok(fisher_surrogate(logits)))?;
                self.add_squares(&mut sum, slope, 1.0);
            }
            Slopes::SampledSquares => {
                for &index in &self.batch.indices {
                    let of = |logits: Tensor<2>| {
                        let label = drawn(&probabilities(&logits)?, uniform(&self.batch.task, seed, index));
                        Ok(log_likelihood(logits, &[label]))
                    };
                    self.add_squares(&mut sum, self.follow(&[index], of)?.1, 1.0);
                }
            }
            Slopes::LabelledMagnitudes => {
                for (&index, label) in self.batch.indices.iter().zip(self.labels(&self.batch.indices)?) {
                    let (_, slope) = self.follow(&[index], |logits| Ok(log_likelihood(logits, &[label])))?;
                    self.add(&mut sum, slope, f32::abs);
                }
            }
            Slopes::ExactSquares => {
                for &index in &self.batch.indices {
                    for label in 0..self.head.classes {
                        // A backward pass uses its graph up.
                        let mut p = 0.0;
                        let of = |logits: Tensor<2>| {
                            p = probabilities(&logits)?.get(label).copied().unwrap_or_default();
                            Ok(log_likelihood(logits, &[label]))
                        };
                        let (_, slope) = self.follow(&[index], of)?;
                        self.add_squares(&mut sum, slope, p);
                    }
                }
            }
        }
        Ok(sum.unwrap_or_default())
    }

    /// sum += factor · slope²
    fn add_squares(&self, sum: &mut Option<StateDict>, slope: StateDict, factor: f32) {
        self.add(sum, slope, |x| factor * x * x);
    }

    /// sum += measure(slope), element by element.
    fn add(&self, sum: &mut Option<StateDict>, mut slope: StateDict, measure: impl Fn(f32) -> f32) {
        let Some(sum) = sum else {
            each(&mut slope, |_, values| values.iter_mut().for_each(|x| *x = measure(*x)));
            *sum = Some(slope);
            return;
        };
        each(sum, |at, sum| {
            let more = slope.tensors()[at].values().unwrap_or_default();
            sum.iter_mut().zip(more).for_each(|(sum, x)| *sum += measure(*x));
        });
        if let Network::Host(_, spare) = &self.network {
            spare.put(slope);
        }
    }
}

/// Shows `f` the numbers of every tensor.
fn each(slope: &mut StateDict, mut f: impl FnMut(usize, &mut [f32])) {
    for (at, tensor) in slope.tensors_mut().iter_mut().enumerate() {
        if let Data::Float(values) = &mut tensor.data {
            f(at, values);
        }
    }
}

fn probabilities(logits: &Tensor<2>) -> Result<Vec<f32>, EngineError> {
    values(softmax(logits.clone().detach(), 1))
}

/// The label at `position`, in 0..1, of labels laid side by side, each as wide as it is likely.
fn drawn(p: &[f32], position: f64) -> usize {
    let mut left = position * p.iter().map(|p| f64::from(*p)).sum::<f64>();
    let found = p.iter().position(|p| {
        left -= f64::from(*p);
        left < 0.0
    });
    found.unwrap_or(p.len().saturating_sub(1))
}

/// A number in 0..1 that depends on seed and example only.
fn uniform(task: &str, seed: u64, index: usize) -> f64 {
    let mut stream = seeded::stream("label", seed, &[&(index as u64).to_le_bytes(), task.as_bytes()]);
    f64::from(stream.next_u32()) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_drawn_as_often_as_they_are_likely() {
        let p = [0.5, 0.0, 0.3, 0.2];
        let mut counts = [0; 4];
        for index in 0..2000 {
            counts[drawn(&p, uniform("mnist", 7, index))] += 1;
        }
        for (count, p) in counts.iter().zip(p) {
            assert!((f64::from(*count) / 2000.0 - f64::from(p)).abs() < 0.04, "{counts:?}");
        }
        assert_eq!(counts[1], 0);
        assert!(uniform("a", 0, 1) != uniform("a", 1, 1) && uniform("a", 0, 1) != uniform("b", 0, 1));
    }
}
