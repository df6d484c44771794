//! The optimiser loop that base and experts share: AdamW, gradients clipped, learning rate by schedule.

use super::TrainEvent;
use crate::cancel::Cancel;
use crate::zoo::ZooError;
use burn::grad_clipping::GradientClippingConfig;
use burn::module::{Module, ParamGroup};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Tensor;

/// Steps between two reports.
const REPORT: usize = 10;

/// How long and how fast to optimise.
pub(super) struct Plan<'a> {
    pub stage: &'a str,
    pub steps: usize,
    /// The learning rate over the share of steps done.
    pub rate: &'a dyn Fn(f64) -> f64,
    /// For matrices only.
    pub weight_decay: f32,
    pub beta_2: f32,
}

/// Minimises `loss`, which is asked once a step.
pub(super) fn fit<M: Module>(
    mut model: M,
    plan: &Plan<'_>,
    loss: impl Fn(&M, usize) -> Tensor<1>,
    progress: &mut dyn FnMut(TrainEvent),
    cancel: &Cancel,
) -> Result<M, ZooError> {
    let clipping = GradientClippingConfig::Norm(1.0);
    let config = AdamWConfig::new().with_beta_2(plan.beta_2).with_epsilon(1e-8);
    let mut optimiser = config
        .clone()
        .with_weight_decay(plan.weight_decay)
        .with_grad_clipping(Some(clipping.clone()))
        .init()
        .with_group(
            ParamGroup::from_predicate("vectors"),
            config.with_weight_decay(0.0).build(),
            Some(clipping.init()),
        );
    let mut smooth = f64::NAN;
    for step in 0..plan.steps {
        cancel.check()?;
        let loss = loss(&model, step);
        let value = loss.clone().into_data().try_into_vec::<f32>().ok().and_then(|values| values.first().copied());
        let value = f64::from(value.unwrap_or(f32::NAN));
        if !value.is_finite() {
            return Err(ZooError::Diverged { stage: plan.stage.to_owned(), step });
        }
        smooth = if smooth.is_nan() { value } else { 0.95 * smooth + 0.05 * value };
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let rate = (plan.rate)(step as f64 / plan.steps as f64);
        model = optimiser.step(rate, model, gradients);
        if (step + 1) % REPORT == 0 || step + 1 == plan.steps {
            let stage = plan.stage.to_owned();
            progress(TrainEvent::Step { stage, step: step + 1, steps: plan.steps, loss: smooth });
        }
    }
    Ok(model)
}

/// Half a cosine from 1 down to 0.
fn fall(share: f64) -> f64 {
    f64::midpoint(1.0, (std::f64::consts::PI * share).cos())
}

/// One cycle: up over the first 30 % from a twenty-fifth, then down to nothing.
pub(super) fn one_cycle(share: f64) -> f64 {
    if share < 0.3 { 0.04 + 0.96 * (1.0 - fall(share / 0.3)) } else { fall((share - 0.3) / 0.7) }
}

/// Linear warm-up over the first tenth, then a cosine.
pub(super) fn warm_up(share: f64) -> f64 {
    if share < 0.1 { share / 0.1 } else { fall((share - 0.1) / 0.9) }
}

/// Cross-entropy of `scale` · cosine with smoothed labels, mean over the batch. `rows` need not be normalised.
pub(super) fn cosine_loss(
    features: Tensor<2>,
    rows: Tensor<2>,
    labels: &[usize],
    scale: f32,
    smoothing: f32,
) -> Tensor<1> {
    let unit = |rows: Tensor<2>| {
        let length = rows.clone().powf_scalar(2.0).sum_dim(1).sqrt().clamp_min(1e-6);
        rows / length
    };
    let (n, classes) = (labels.len(), rows.dims()[0]);
    let logits = unit(features).matmul(unit(rows).transpose()).mul_scalar(scale);
    let mut targets = vec![smoothing / classes as f32; n * classes];
    for (row, &label) in targets.chunks_exact_mut(classes).zip(labels) {
        row[label] += 1.0 - smoothing;
    }
    let targets = Tensor::<2>::from_data(burn::tensor::TensorData::new(targets, [n, classes]), &logits.device());
    (burn::tensor::activation::log_softmax(logits, 1) * targets).sum().mul_scalar(-1.0 / n as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn schedules_rise_and_fall() {
        assert!((one_cycle(0.0) - 0.04).abs() < 1e-9 && (one_cycle(0.3) - 1.0).abs() < 1e-9 && one_cycle(1.0) < 1e-9);
        assert!(warm_up(0.0) < 1e-9 && (warm_up(0.1) - 1.0).abs() < 1e-9 && warm_up(0.999) < 1e-4);
    }

    #[test]
    fn the_loss_is_cross_entropy_of_scaled_cosines() {
        let device = Device::flex();
        let features = Tensor::<2>::from_floats([[2.0, 0.0], [0.0, 3.0]], &device);
        let rows = Tensor::<2>::from_floats([[5.0, 0.0], [0.0, 0.5]], &device);
        let loss = cosine_loss(features, rows, &[0, 0], 2.0, 0.0).into_data().try_into_vec::<f32>().unwrap()[0];
        // Cosines 1, 0 and 0, 1: −ln softmax([2, 0])₀ and −ln softmax([0, 2])₀.
        let want = f32::midpoint((1.0 + (-2f32).exp()).ln(), (1.0 + 2f32.exp()).ln());
        assert!((loss - want).abs() < 1e-5, "{loss} {want}");
    }
}
