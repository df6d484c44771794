//! Training images: drawn with a seed, augmented, as model input.

use super::folder::Folder;
use crate::tasks::{Images, Split, Task};
use crate::zoo::{ZooError, files};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// How often the base sees each task, for those that the recipe knows; 1 for others.
const WEIGHTS: [(&str, f64); 8] = [
    ("mnist", 1.0),
    ("letters", 1.3),
    ("fashion", 1.2),
    ("emoji", 1.0),
    ("optdigits", 0.5),
    ("animals", 1.2),
    ("scripts", 1.8),
    ("clipart", 0.8),
];

/// The training splits of all tasks.
pub(super) struct Sets {
    pub tasks: Vec<Task>,
    pub images: Vec<Images>,
    /// Number of the first class of each task in the joint list of classes.
    pub first_class: Vec<usize>,
    pub classes: usize,
}

impl Sets {
    pub fn load(folder: &Folder) -> Result<Self, ZooError> {
        let tasks = folder.tasks()?;
        if let Some(task) = tasks.iter().find(|task| task.train == 0) {
            let reason = format!("{} has no training images", task.id);
            return Err(ZooError::Damaged { file: files::TASKS.to_owned(), reason });
        }
        let images = tasks.iter().map(|task| folder.images(task, Split::Train)).collect::<Result<_, _>>()?;
        let mut first_class = Vec::with_capacity(tasks.len());
        let mut classes = 0;
        for task in &tasks {
            first_class.push(classes);
            classes += task.classes.len();
        }
        Ok(Self { tasks, images, first_class, classes })
    }

    /// A batch over all tasks, each drawn as often as its weight says, with labels in the joint list.
    pub fn mixed(&self, n: usize, side: usize, draw: &mut Draw) -> Batch {
        let weight = |task: &Task| WEIGHTS.iter().find(|(id, _)| *id == task.id).map_or(1.0, |(_, weight)| *weight);
        let weights: Vec<f64> = self.tasks.iter().map(weight).collect();
        let total: f64 = weights.iter().sum();
        let mut batch = Batch::default();
        for _ in 0..n {
            let mut left = draw.uniform() * total;
            let chosen = weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            self.push(&mut batch, chosen.unwrap_or(0), side, draw, true);
        }
        batch
    }

    /// A batch of one task, with its own labels.
    pub fn of_task(&self, task: usize, n: usize, side: usize, draw: &mut Draw) -> Batch {
        let mut batch = Batch::default();
        (0..n).for_each(|_| self.push(&mut batch, task, side, draw, false));
        batch
    }

    fn push(&self, batch: &mut Batch, task: usize, side: usize, draw: &mut Draw, joint: bool) {
        let images = &self.images[task];
        let at = draw.below(images.len());
        augment(images, at, side, draw, &mut batch.pixels);
        batch.labels.push(usize::from(images.labels[at]) + if joint { self.first_class[task] } else { 0 });
    }
}

/// `[n, 3, side, side]` and `n` labels.
#[derive(Default)]
pub(super) struct Batch {
    pub pixels: Vec<f32>,
    pub labels: Vec<usize>,
}

/// Random numbers that depend only on seed, stage and step.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    pub fn new(seed: u64, stage: u64, step: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream((stage << 32) | step as u64);
        Self(rng)
    }

    /// In 0..1.
    pub fn uniform(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    pub fn between(&mut self, low: f64, high: f64) -> f32 {
        (low + (high - low) * self.uniform()) as f32
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// Standard normal (Box–Muller).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * self.uniform()).cos()) as f32
    }
}

/// Turns (±0.2 rad), scales (±15 %), shifts (±12 %), and changes contrast and brightness (±20 %) of one image; appends
/// it as three planes in −1..1. What is looked up outside the image repeats its border.
fn augment(images: &Images, at: usize, side: usize, draw: &mut Draw, out: &mut Vec<f32>) {
    let image = images.image(at);
    let (height, width, channels) = (images.height, images.width, images.channels);
    let (angle, size) = (draw.between(-0.2, 0.2), draw.between(0.85, 1.15));
    let shift = (draw.between(-0.12, 0.12), draw.between(-0.12, 0.12));
    let (contrast, brightness) = (draw.between(0.8, 1.2), draw.between(-0.2, 0.2));
    let (sin, cos) = (angle.sin() * size, angle.cos() * size);
    let centre = (side as f32 - 1.0) / 2.0;
    let pixel = |y: f32, x: f32, channel: usize| {
        let (y, x) = (y.clamp(0.0, height as f32 - 1.0), x.clamp(0.0, width as f32 - 1.0));
        let (top, left) = (y as usize, x as usize);
        let (bottom, right) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
        let (down, across) = (y - top as f32, x - left as f32);
        let get = |y: usize, x: usize| f32::from(image[(y * width + x) * channels + channel]) / 255.0;
        let upper = get(top, left) * (1.0 - across) + get(top, right) * across;
        let lower = get(bottom, left) * (1.0 - across) + get(bottom, right) * across;
        upper * (1.0 - down) + lower * down
    };
    for channel in 0..3 {
        let channel = channel.min(channels - 1);
        for row in 0..side {
            for column in 0..side {
                let (v, u) = (row as f32 - centre, column as f32 - centre);
                let x = cos * u - sin * v + shift.0 * width as f32 + (width as f32 - 1.0) / 2.0;
                let y = sin * u + cos * v + shift.1 * height as f32 + (height as f32 - 1.0) / 2.0;
                let value = (pixel(y, x, channel) - 0.5) * contrast + 0.5 + brightness;
                out.push(value.clamp(0.0, 1.0) * 2.0 - 1.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_stage_and_step_only() {
        let draw = |seed, stage, step| {
            let mut draw = Draw::new(seed, stage, step);
            [draw.uniform(), f64::from(draw.normal())]
        };
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        assert_ne!(draw(1, 2, 3), draw(2, 2, 3));
        assert_ne!(draw(1, 2, 3), draw(1, 3, 3));
        assert_ne!(draw(1, 2, 3), draw(1, 2, 4));
    }

    #[test]
    fn augmented_images_keep_their_range_and_move() {
        let pixels: Vec<u8> = (0..28 * 28).map(|at| if at % 28 > 13 { 255 } else { 0 }).collect();
        let images = Images { height: 28, width: 28, channels: 1, pixels, labels: vec![0] };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        augment(&images, 0, 28, &mut Draw::new(1, 0, 0), &mut first);
        augment(&images, 0, 28, &mut Draw::new(1, 0, 1), &mut second);
        assert_eq!(first.len(), 3 * 28 * 28);
        assert!(first.iter().all(|value| (-1.0..=1.0).contains(value)) && first != second);
        // Left stays darker than right under the small turns allowed.
        let column = |image: &[f32], at: usize| (0..28).map(|row| image[row * 28 + at]).sum::<f32>();
        assert!(column(&first, 3) < column(&first, 24) && column(&second, 3) < column(&second, 24));
    }
}
