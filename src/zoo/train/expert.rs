//! An expert: the base's encoder fine-tuned on one task against its frozen head, in steps small enough that task vectors
//! still add up.

use super::TrainEvent;
use super::batch::{Draw, Sets};
use super::fit::{Plan, SHARDS, cosine_loss, fit, warm_up};
use super::options::Recipe;
use crate::cancel::Cancel;
use crate::models::clip_vit::ClipVit;
use crate::weights::{DType, StateDict};
use crate::zoo::{Head, ZooError};
use burn::tensor::{Device, Tensor, TensorData};

/// Fine-tunes all of the encoder's weights on the task at `at`.
pub(super) fn train(
    recipe: &Recipe,
    start: &StateDict,
    head: &Head,
    sets: &Sets,
    at: usize,
    progress: &mut dyn FnMut(TrainEvent),
    cancel: &Cancel,
) -> Result<StateDict, ZooError> {
    let Recipe { config, options } = recipe;
    let device = Device::flex().autodiff();
    let mut encoder = ClipVit::new(config, &device)?;
    encoder.load(start)?;
    let rows = Tensor::<2>::from_data(TensorData::new(head.rows.clone(), [head.classes, head.dim]), &device);
    let plan = Plan {
        stage: &sets.tasks[at].id,
        steps: options.expert_steps,
        rate: &|share| options.expert_rate * warm_up(share),
        weight_decay: 0.0,
        beta_2: 0.999,
    };
    let loss = |encoder: &ClipVit, step: usize, shard: usize| {
        let mut draw = Draw::new(options.seed, 1 + at as u64, step * SHARDS + shard);
        let batch = sets.of_task(at, options.expert_batch.div_ceil(SHARDS), config.image_size, &mut draw);
        let shape = [batch.labels.len(), config.num_channels, config.image_size, config.image_size];
        let pixels = Tensor::from_data(TensorData::new(batch.pixels, shape), &device);
        cosine_loss(encoder.differentiable_features(pixels), rows.clone(), &batch.labels, head.scale, 0.0)
    };
    Ok(fit(encoder, &device, &plan, loss, progress, cancel)?.weights(DType::F16)?)
}
