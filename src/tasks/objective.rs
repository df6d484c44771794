//! What is followed downhill or measured: functions of logits in burn operations.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Tensor, TensorData};

/// What keeps log p finite, as in AdaMerging's own code.
const TINY: f32 = 1e-8;

/// The mean over the batch of −Σ p log p, p = softmax(logits): how unsure the answers are. `[n, classes]` → `[1]`
#[must_use]
pub fn entropy(logits: Tensor<2>) -> Tensor<1> {
    let n = logits.dims()[0].max(1);
    let p = softmax(logits, 1);
    (p.clone() * p.add_scalar(TINY).log()).sum().mul_scalar(-1.0 / n as f32)
}

/// The mutual information of image and answer in nats: the entropy of the batch's mean answer less the mean
/// [`entropy`] of its answers. Zero where all images have the same answer. `[n, classes]` → `[1]`
#[must_use]
pub fn information(logits: Tensor<2>) -> Tensor<1> {
    let mean = softmax(logits.clone(), 1).mean_dim(0);
    (mean.clone() * mean.add_scalar(TINY).log()).sum().neg() - entropy(logits)
}

/// Σ √p log p over batch and classes, √p taken as a constant: its squared slope over a single example is the diagonal of
/// the Fisher matrix but for terms between classes. `[n, classes]` → `[1]`
#[must_use]
pub fn fisher_surrogate(logits: Tensor<2>) -> Tensor<1> {
    let weight = softmax(logits.clone().detach(), 1).sqrt();
    (weight * log_softmax(logits, 1)).sum()
}

/// The summed log-probability of one label an example. `[n, classes]` → `[1]`
#[must_use]
pub fn log_likelihood(logits: Tensor<2>, labels: &[usize]) -> Tensor<1> {
    let [n, classes] = logits.dims();
    let mut chosen = vec![0.0f32; n * classes];
    for (row, &label) in chosen.chunks_exact_mut(classes).zip(labels) {
        row[label] = 1.0;
    }
    let chosen = Tensor::<2>::from_data(TensorData::new(chosen, [n, classes]), &logits.device());
    (log_softmax(logits, 1) * chosen).sum()
}

/// `scale` · cosine of every feature with every row: `[n, dim]`, `[classes, dim]` → `[n, classes]`. Rows are taken as
/// they are.
#[must_use]
pub fn cosine_logits(features: Tensor<2>, rows: Tensor<2>, scale: f32) -> Tensor<2> {
    let length = features.clone().powf_scalar(2.0).sum_dim(1).sqrt().clamp_min(1e-12);
    (features / length).matmul(rows.transpose()).mul_scalar(scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn value(tensor: Tensor<1>) -> f32 {
        tensor.into_data().try_into_vec::<f32>().unwrap()[0]
    }

    fn logits() -> Tensor<2> {
        Tensor::from_floats([[1.0, 1.0, 1.0, 1.0], [50.0, 0.0, 0.0, 0.0]], &Device::flex())
    }

    #[test]
    fn the_entropy_is_between_sure_and_uniform() {
        assert!((value(entropy(logits())) - 4f32.ln() / 2.0).abs() < 1e-5);
        let slopes = {
            let logits = logits().clone().narrow(0, 0, 1).add_scalar(0.0);
            let tracked = Tensor::<2>::from_data(logits.into_data(), &Device::flex().autodiff()).require_grad();
            let gradients = entropy(tracked.clone()).backward();
            tracked.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap()
        };
        assert!(slopes.iter().all(|slope| slope.abs() < 1e-6), "uniform answers are a maximum: {slopes:?}");
    }

    #[test]
    fn information_is_what_answers_tell_of_their_images() {
        let of = |rows: [[f32; 2]; 4]| value(information(Tensor::from_floats(rows, &Device::flex())));
        let (a, b) = ([40.0, 0.0], [0.0, 40.0]);
        assert!((of([a, b, a, b]) - 2f32.ln()).abs() < 1e-5);
        assert!(of([a, a, a, a]).abs() < 1e-5, "sure, and of nothing");
        assert!(of([[1.0, 1.0]; 4]).abs() < 1e-5, "unsure of everything");
        assert!((of([a, b, [0.0, 0.0], [0.0, 0.0]]) - 2f32.ln() / 2.0).abs() < 1e-5);
    }

    #[test]
    fn likelihoods_and_their_surrogate() {
        let quarter = 0.25f32;
        assert!((value(log_likelihood(logits(), &[2, 0])) - quarter.ln()).abs() < 1e-5);
        // √¼ · ln ¼, four times; the sure answer adds nothing.
        assert!((value(fisher_surrogate(logits())) - 4.0 * 0.5 * quarter.ln()).abs() < 1e-4);
    }

    #[test]
    fn logits_are_scaled_cosines() {
        let device = Device::flex();
        let features = Tensor::<2>::from_floats([[3.0, 4.0], [0.0, 0.0]], &device);
        let rows = Tensor::<2>::from_floats([[1.0, 0.0], [0.0, 1.0]], &device);
        let found = cosine_logits(features, rows, 10.0).into_data().try_into_vec::<f32>().unwrap();
        for (found, expected) in found.iter().zip([6.0, 8.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-5);
        }
    }
}
