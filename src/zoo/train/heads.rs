//! Heads that fit badly on purpose, as CLIP's text heads fit its image features: a class's prototype (the mean of the
//! base's normalised features over some training images), plus a random vector, normalised again. Frozen from then on.

use super::TrainOptions;
use super::batch::{Draw, Sets};
use crate::models::clip_vit::ClipVit;
use crate::tasks::preprocess::InputShape;
use crate::weights::StateDict;
use crate::zoo::head::normalise;
use crate::zoo::judge::features;
use crate::zoo::{Head, ZooError};
use burn::tensor::Device;

/// One head a task.
pub(super) fn make(weights: &StateDict, sets: &Sets, options: &TrainOptions) -> Result<Vec<Head>, ZooError> {
    let config = options.config();
    let mut model = ClipVit::new(&config, &Device::flex())?;
    model.load(weights)?;
    let input = InputShape { channels: config.num_channels, side: config.image_size };
    let dim = model.feature_dim();
    let head = |(at, images): (usize, &crate::tasks::Images)| {
        let classes = sets.tasks[at].classes.len();
        let mut draw = Draw::new(options.seed, (1 << 31) + at as u64, 0);
        let chosen: Vec<usize> =
            (0..classes).flat_map(|class| shots(images, class, options.shots, &mut draw)).collect();
        let mut rows = vec![0.0; classes * dim];
        for (mut feature, &image) in features(&model, images, &chosen, input)?.into_iter().zip(&chosen) {
            normalise(&mut feature);
            let row = &mut rows[usize::from(images.labels[image]) * dim..][..dim];
            row.iter_mut().zip(feature).for_each(|(row, value)| *row += value);
        }
        for row in rows.chunks_exact_mut(dim) {
            normalise(row);
            let mut push: Vec<f32> = (0..dim).map(|_| draw.normal()).collect();
            normalise(&mut push);
            row.iter_mut().zip(push).for_each(|(row, push)| *row += options.noise * push);
        }
        Ok(Head::new(dim, rows, options.scale))
    };
    sets.images.iter().enumerate().map(head).collect()
}

/// What a person should know of such heads, kept in their file and shown wherever they are.
pub(super) fn about(options: &TrainOptions) -> String {
    let TrainOptions { shots, noise, .. } = options;
    let prototype = format!("the mean feature of up to {shots} training images a class");
    if *noise == 0.0 {
        return prototype;
    }
    format!(
        "{prototype}, pushed off by a random vector of {noise} times its length: artificial, so that they fit badly"
    )
}

/// Up to `n` different images of a class.
fn shots(images: &crate::tasks::Images, class: usize, n: usize, draw: &mut Draw) -> Vec<usize> {
    let mut all: Vec<usize> = (0..images.len()).filter(|&at| usize::from(images.labels[at]) == class).collect();
    for at in 0..n.min(all.len()) {
        let other = at + draw.below(all.len() - at);
        all.swap(at, other);
    }
    all.truncate(n);
    all
}
