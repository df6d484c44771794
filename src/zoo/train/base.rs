//! The base: one encoder and one learned cosine head over the classes of all tasks together.

use super::TrainEvent;
use super::batch::{Draw, Sets};
use super::fit::{Plan, SHARDS, cosine_loss, fit, one_cycle};
use super::options::Recipe;
use crate::cancel::Cancel;
use crate::models::clip_vit::{ClipVit, random_weights};
use crate::weights::{DType, StateDict};
use crate::zoo::ZooError;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

const SMOOTHING: f32 = 0.1;

#[derive(Module, Debug)]
struct Joint {
    encoder: ClipVit,
    /// `[classes, projection]`, dropped after training.
    head: Param<Tensor<2>>,
}

/// Trains a base from random weights.
pub(super) fn train(
    recipe: &Recipe,
    sets: &Sets,
    progress: &mut dyn FnMut(TrainEvent),
    cancel: &Cancel,
) -> Result<StateDict, ZooError> {
    let Recipe { config, options } = recipe;
    let device = Device::flex().autodiff();
    let mut encoder = ClipVit::new(config, &device)?;
    encoder.load(&random_weights(config, options.seed)?)?;
    let mut draw = Draw::new(options.seed, 1 << 30, 0);
    let head = (0..sets.classes * config.projection_dim).map(|_| draw.normal()).collect::<Vec<_>>();
    let head = TensorData::new(head, [sets.classes, config.projection_dim]);
    let joint = Joint { encoder, head: Param::from_tensor(Tensor::from_data(head, &device)) };
    let plan = Plan {
        stage: "base",
        steps: options.base_steps,
        rate: &|share| options.base_rate * one_cycle(share),
        weight_decay: 0.1,
        beta_2: 0.98,
    };
    let loss = |joint: &Joint, step: usize, shard: usize| {
        let mut draw = Draw::new(options.seed, 0, step * SHARDS + shard);
        let batch = sets.mixed(options.base_batch.div_ceil(SHARDS), config.image_size, &mut draw);
        let shape = [batch.labels.len(), config.num_channels, config.image_size, config.image_size];
        let pixels = Tensor::from_data(TensorData::new(batch.pixels, shape), &device);
        let features = joint.encoder.differentiable_features(pixels);
        cosine_loss(features, joint.head.val(), &batch.labels, options.scale, SMOOTHING)
    };
    let joint = fit(joint, &device, &plan, loss, progress, cancel)?;
    Ok(joint.encoder.weights(DType::F16)?)
}
