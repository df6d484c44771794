//! Heads that fit badly on purpose, as CLIP's text heads fit its image features: a class's prototype (the mean of the
//! base's normalised features over some training images), plus a random vector, normalised again. Frozen from then on.
//!
//! Badly, but not so that a class is lost. A head that the base sends nearly all images of another class to makes it wrong
//! and sure, which no method that only sees how sure answers are can mend. So random vectors are at right angles to what
//! the task's classes have in common, along which a head would be pushed towards all images of the task; and those of
//! classes that the base hardly recognises any more are drawn again.

use super::batch::{Draw, Sets};
use super::options::{Recipe, TrainOptions};
use crate::models::clip_vit::ClipVit;
use crate::tasks::preprocess::InputShape;
use crate::weights::StateDict;
use crate::zoo::head::normalise;
use crate::zoo::judge::features;
use crate::zoo::{Head, ZooError};
use burn::tensor::Device;

/// The share of a class's images that the base still recognises, at least.
const RECOGNISED: f32 = 0.2;
/// So often random vectors are drawn again, at most.
const DRAWS: usize = 500;

/// One head a task.
pub(super) fn make(recipe: &Recipe, weights: &StateDict, sets: &Sets) -> Result<Vec<Head>, ZooError> {
    let Recipe { config, options } = recipe;
    let mut model = ClipVit::new(config, &Device::flex())?;
    model.load(weights)?;
    let input = InputShape { channels: config.num_channels, side: config.image_size };
    let head = |(at, images): (usize, &crate::tasks::Images)| {
        let classes = sets.tasks[at].classes.len();
        let mut draw = Draw::new(options.seed, (1 << 31) + at as u64, 0);
        let chosen: Vec<usize> =
            (0..classes).flat_map(|class| shots(images, class, options.shots, &mut draw)).collect();
        let mut shots = Shots { dim: model.feature_dim(), ..Shots::default() };
        for (mut feature, &image) in features(&model, images, &chosen, input)?.into_iter().zip(&chosen) {
            normalise(&mut feature);
            shots.features.extend(feature);
            shots.labels.push(usize::from(images.labels[image]));
        }
        Ok(Head::new(shots.dim, shots.head(classes, options.noise, &mut draw), options.scale))
    };
    sets.images.iter().enumerate().map(head).collect()
}

/// What the base has of some images of a task.
#[derive(Default)]
struct Shots {
    dim: usize,
    /// `[image, dim]`, each of length 1.
    features: Vec<f32>,
    labels: Vec<usize>,
}

impl Shots {
    /// `[class, dim]`, rows of length 1: prototypes, each pushed off by a random vector of length `noise`.
    fn head(&self, classes: usize, noise: f32, draw: &mut Draw) -> Vec<f32> {
        let mut prototypes = vec![0.0; classes * self.dim];
        for (feature, &label) in self.features.chunks_exact(self.dim).zip(&self.labels) {
            add(&mut prototypes[label * self.dim..][..self.dim], feature, 1.0);
        }
        prototypes.chunks_exact_mut(self.dim).for_each(normalise);
        if noise == 0.0 {
            return prototypes;
        }
        let mut common = vec![0.0; self.dim];
        prototypes.chunks_exact(self.dim).for_each(|row| add(&mut common, row, 1.0));
        normalise(&mut common);
        let mut rows = prototypes.clone();
        let mut lost: Vec<usize> = (0..classes).collect();
        for _ in 0..DRAWS {
            for class in lost {
                let mut push: Vec<f32> = (0..self.dim).map(|_| draw.normal()).collect();
                let along = dot(&push, &common);
                add(&mut push, &common, -along);
                normalise(&mut push);
                let row = &mut rows[class * self.dim..][..self.dim];
                row.copy_from_slice(&prototypes[class * self.dim..][..self.dim]);
                add(row, &push, noise);
                normalise(row);
            }
            lost = self.lost(&rows);
            if lost.is_empty() {
                break;
            }
        }
        rows
    }

    /// The classes of which hardly any image is answered right by a head of these rows.
    fn lost(&self, rows: &[f32]) -> Vec<usize> {
        let classes = rows.len() / self.dim;
        let (mut right, mut all) = (vec![0.0; classes], vec![0.0; classes]);
        for (feature, &label) in self.features.chunks_exact(self.dim).zip(&self.labels) {
            let logits = rows.chunks_exact(self.dim).map(|row| dot(row, feature));
            let answer = logits.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(class, _)| class);
            all[label] += 1.0;
            right[label] += f32::from(answer == Some(label));
        }
        (0..classes).filter(|&class| right[class] < RECOGNISED * all[class]).collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// sum += factor · row
fn add(sum: &mut [f32], row: &[f32], factor: f32) {
    sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
}

/// What a person should know of such heads, kept in their file and shown wherever they are.
pub(super) fn about(recipe: &Recipe) -> String {
    let TrainOptions { shots, noise, .. } = &recipe.options;
    let prototype = format!("the mean feature of up to {shots} training images a class");
    if *noise == 0.0 {
        return prototype;
    }
    let pushed = format!("{prototype}, pushed off by a random vector of {noise} times its length: artificial");
    pushed + ", so that they fit badly (drawn again where a class would be lost)"
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixty images of three classes, around directions that have much in common.
    fn shots() -> Shots {
        let mut draw = Draw::new(1, 0, 0);
        let mut shots = Shots { dim: 16, ..Shots::default() };
        for image in 0..60 {
            let class = image % 3;
            let mut feature: Vec<f32> = (0..16).map(|_| 0.02 * draw.normal()).collect();
            feature[0] += 1.0;
            feature[1 + class] += 0.5;
            normalise(&mut feature);
            shots.features.extend(feature);
            shots.labels.push(class);
        }
        shots
    }

    #[test]
    fn heads_are_pushed_away_from_prototypes_but_lose_no_class() {
        let shots = shots();
        let without = shots.head(3, 0.0, &mut Draw::new(2, 0, 0));
        for seed in 0..50 {
            let rows = shots.head(3, 3.0, &mut Draw::new(seed, 0, 0));
            assert!(shots.lost(&rows).is_empty(), "seed {seed}");
            for (row, prototype) in rows.chunks_exact(16).zip(without.chunks_exact(16)) {
                let (length, cosine) = (dot(row, row), dot(row, prototype));
                // At right angles the cosine would be 1/√10 = 0.32 for all; here pushes differ in the rest.
                assert!((length - 1.0).abs() < 1e-5 && cosine < 0.8, "{length} {cosine}");
            }
        }
    }

    #[test]
    fn no_head_is_pushed_along_what_all_classes_have_in_common() {
        let shots = shots();
        let mut common = vec![0.0; 16];
        let prototypes = shots.head(3, 0.0, &mut Draw::new(2, 0, 0));
        prototypes.chunks_exact(16).for_each(|row| add(&mut common, row, 1.0));
        normalise(&mut common);
        let rows = shots.head(3, 2.0, &mut Draw::new(3, 0, 0));
        for (row, prototype) in rows.chunks_exact(16).zip(prototypes.chunks_exact(16)) {
            // row = (prototype + push) / length, so the share of the common direction is the prototype's over the length.
            let length = dot(prototype, &common) / dot(row, &common);
            let push: Vec<f32> = row.iter().zip(prototype).map(|(row, prototype)| length * row - prototype).collect();
            assert!((dot(&push, &push).sqrt() - 2.0).abs() < 1e-3, "{length}");
        }
    }
}
