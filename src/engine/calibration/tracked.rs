//! Slopes of a network's answers over its weights.

use super::Source;
use super::compute::{pixels, values};
use super::work::{Answer, Batch};
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::fusion::{FusionError, Slopes, seeded};
use crate::models::clip_vit::ClipVit;
use crate::tasks::objective::{cosine_logits, entropy, fisher_surrogate, log_likelihood};
use crate::weights::{Data, StateDict};
use crate::zoo::Head;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::rand_core::RngCore;

/// A network whose weights ask for slopes, in front of one task's examples.
pub(super) struct Tracked<'a> {
    /// Its own leaves of the graph: backward passes over shared ones wait for each other for ever.
    model: ClipVit,
    source: &'a dyn Source,
    batch: &'a Batch,
    head: &'a Head,
    device: Device,
    cancel: &'a Cancel,
}

impl<'a> Tracked<'a> {
    /// # Errors
    /// No head for the task.
    pub fn new(
        model: &ClipVit,
        source: &'a dyn Source,
        batch: &'a Batch,
        cancel: &'a Cancel,
    ) -> Result<Self, EngineError> {
        use burn::module::Module;
        let device = model.device();
        Ok(Self { model: model.clone().fork(&device), source, batch, head: source.head(&batch.task)?, device, cancel })
    }

    /// `[n, classes]`
    fn logits(&self, indices: &[usize]) -> Result<Tensor<2>, EngineError> {
        self.cancel.check()?;
        let batch = Batch { indices: indices.to_vec(), ..self.batch.clone() };
        let features = self.model.differentiable_features(pixels(self.source, &batch, &self.device)?);
        Ok(answers(features, self.head))
    }

    fn slope(&self, of: &Tensor<1>) -> Result<StateDict, EngineError> {
        Ok(self.model.gradients(&of.backward())?)
    }

    pub fn entropy(&self) -> Result<Answer, EngineError> {
        let loss = entropy(self.logits(&self.batch.indices)?);
        let slope = self.slope(&loss)?;
        let loss = values(loss)?.first().copied().unwrap_or(f32::NAN);
        Ok(Answer::Slope { loss: f64::from(loss), slope })
    }

    pub fn cross_entropy(&self) -> Result<Answer, EngineError> {
        let indices = &self.batch.indices;
        let labels = self.labels(indices)?;
        let loss = log_likelihood(self.logits(indices)?, &labels).mul_scalar(-1.0 / indices.len().max(1) as f32);
        let slope = self.slope(&loss)?;
        let loss = values(loss)?.first().copied().unwrap_or(f32::NAN);
        Ok(Answer::Slope { loss: f64::from(loss), slope })
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

    pub fn measure(&self, what: Slopes, seed: u64) -> Result<Answer, EngineError> {
        let mut sum = None;
        match what {
            Slopes::BatchSquares => {
                let slope = self.slope(&fisher_surrogate(self.logits(&self.batch.indices)?))?;
                add_squares(&mut sum, slope, 1.0);
            }
            Slopes::SampledSquares => {
                for &index in &self.batch.indices {
                    let logits = self.logits(&[index])?;
                    let label = drawn(&probabilities(&logits)?, uniform(&self.batch.task, seed, index));
                    add_squares(&mut sum, self.slope(&log_likelihood(logits, &[label]))?, 1.0);
                }
            }
            Slopes::LabelledMagnitudes => {
                for (&index, label) in self.batch.indices.iter().zip(self.labels(&self.batch.indices)?) {
                    let slope = self.slope(&log_likelihood(self.logits(&[index])?, &[label]))?;
                    add(&mut sum, slope, f32::abs);
                }
            }
            Slopes::ExactSquares => {
                for &index in &self.batch.indices {
                    let p = probabilities(&self.logits(&[index])?)?;
                    for (label, &p) in p.iter().enumerate() {
                        // A backward pass uses its graph up.
                        let slope = self.slope(&log_likelihood(self.logits(&[index])?, &[label]))?;
                        add_squares(&mut sum, slope, p);
                    }
                }
            }
        }
        Ok(Answer::Slope { loss: 0.0, slope: sum.unwrap_or_default() })
    }
}

/// What a head answers to features: `[n, dim]` → `[n, classes]`
pub(super) fn answers(features: Tensor<2>, head: &Head) -> Tensor<2> {
    let Head { classes, dim, rows, scale } = head;
    let rows = Tensor::<2>::from_data(TensorData::new(rows.clone(), [*classes, *dim]), &features.device());
    cosine_logits(features, rows, *scale)
}

/// sum += factor · slope²
fn add_squares(sum: &mut Option<StateDict>, slope: StateDict, factor: f32) {
    add(sum, slope, |x| factor * x * x);
}

/// sum += measure(slope), element by element.
fn add(sum: &mut Option<StateDict>, mut slope: StateDict, measure: impl Fn(f32) -> f32) {
    let floats = |slope: &mut StateDict, f: &mut dyn FnMut(usize, &mut [f32])| {
        for (at, tensor) in slope.tensors_mut().iter_mut().enumerate() {
            if let Data::Float(values) = &mut tensor.data {
                f(at, values);
            }
        }
    };
    floats(&mut slope, &mut |_, values| values.iter_mut().for_each(|x| *x = measure(*x)));
    match sum {
        None => *sum = Some(slope),
        Some(sum) => floats(sum, &mut |at, sum| {
            let more = slope.tensors()[at].values().unwrap_or_default();
            sum.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
        }),
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
