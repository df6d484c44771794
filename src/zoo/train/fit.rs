//! The optimiser loop that base and experts share: AdamW, gradients clipped, learning rate by schedule, every core at work
//! on its own shards of a batch.

use super::TrainEvent;
use crate::cancel::Cancel;
use crate::zoo::ZooError;
use burn::grad_clipping::GradientClippingConfig;
use burn::module::{Module, ParamGroup};
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Steps between two reports.
const REPORT: usize = 10;

/// Parts of a batch. Their number is fixed, so that the same seed gives the same weights on any number of cores.
pub(super) const SHARDS: usize = 4;

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

/// Minimises the mean of `loss` over the shards of each step; it is asked with step and shard.
pub(super) fn fit<M: Module + Sync>(
    mut model: M,
    device: &Device,
    plan: &Plan<'_>,
    loss: impl Fn(&M, usize, usize) -> Tensor<1> + Sync,
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
        let shards = each_shard(|shard| {
            // Its own leaves of the graph: backward passes over shared ones wait for each other for ever.
            let model = model.clone().fork(device);
            let loss = loss(&model, step, shard).mul_scalar(1.0 / SHARDS as f32);
            (scalar(&loss), GradientsParams::from_grads(loss.backward(), &model))
        });
        let mut gradients = GradientsAccumulator::new();
        let mut value = 0.0;
        for (part, gradient) in shards {
            value += part;
            gradients.accumulate(&model, gradient);
        }
        if !value.is_finite() {
            return Err(ZooError::Diverged { stage: plan.stage.to_owned(), step });
        }
        smooth = if smooth.is_nan() { value } else { 0.95 * smooth + 0.05 * value };
        let rate = (plan.rate)(step as f64 / plan.steps as f64);
        model = optimiser.step(rate, model, gradients.grads());
        if (step + 1) % REPORT == 0 || step + 1 == plan.steps {
            let stage = plan.stage.to_owned();
            progress(TrainEvent::Step { stage, step: step + 1, steps: plan.steps, loss: smooth });
        }
    }
    Ok(model)
}

/// The results of all shards in their order, computed by one thread a core.
fn each_shard<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let shard = next.fetch_add(1, Ordering::Relaxed);
            if shard >= SHARDS {
                return done;
            }
            done.push((shard, work(shard)));
        }
    };
    // A pool of one thread each, so that matrix products do not fight over cores.
    let alone = || match rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build() {
        Ok(pool) => pool.install(worker),
        Err(_) => worker(),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(SHARDS);
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..cores).map(|_| scope.spawn(alone)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().flat_map(join).collect()
    });
    all.sort_by_key(|(shard, _)| *shard);
    all.into_iter().map(|(_, result)| result).collect()
}

fn scalar(loss: &Tensor<1>) -> f64 {
    let value = loss.clone().into_data().try_into_vec::<f32>().ok().and_then(|values| values.first().copied());
    f64::from(value.unwrap_or(f32::NAN))
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
