//! Progressive evaluation: small chunks of all tasks in turn, tallied as they come.

use super::device::OpenDevice;
use super::lanes::Lanes;
use super::order::{Chunk, permutation, round_robin};
use super::predictor::{Answered, Predictor};
use super::score::{Scored, score};
use super::{EngineError, Plan, TaskReport};
use crate::tasks::preprocess::{self, InputShape};
use crate::tasks::{Data, Images};
use crate::zoo::{Head, Zoo};
use std::sync::Arc;

/// Tally of one task.
struct Tally {
    id: String,
    images: Arc<Images>,
    head: Head,
    order: Vec<usize>,
    samples: usize,
    seen: usize,
    correct: u64,
    loss: f64,
    /// Sums of what routers gave, `[place · expert]`, and how many experts there are.
    routed: Vec<f64>,
    experts: usize,
    /// In data-set order; only the first `samples` of `order` are ever filled.
    outcomes: Vec<Option<bool>>,
}

/// The evaluation of one fused model, advanced step by step.
pub(super) struct Evaluation {
    tallies: Vec<Tally>,
    chunks: std::vec::IntoIter<Chunk>,
    input: InputShape,
    data: Data,
}

/// Where a task stands after a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    pub task: String,
    pub correct: u64,
    pub seen: u64,
    pub total: u64,
}

/// Samples of a task's first chunk and of its later ones.
const CPU_CHUNKS: (usize, usize) = (16, 32);
/// One shape only, since kernels are tuned per shape.
const GPU_CHUNKS: (usize, usize) = (256, 256);

impl Evaluation {
    /// Prepares the tasks that `wanted` names (by place in the plan).
    ///
    /// # Errors
    /// When a task's images cannot be read.
    pub fn new(zoo: &Zoo, plan: &Plan, wanted: &[usize], device: &OpenDevice) -> Result<Self, EngineError> {
        let mut tallies = Vec::with_capacity(wanted.len());
        for &at in wanted {
            let (id, samples) = &plan.tasks[at];
            let place = zoo.tasks().iter().position(|task| task.id == *id).unwrap_or(0);
            let images = zoo.images(id, plan.data.split)?;
            let known = || zoo.tasks().iter().map(|task| task.id.as_str());
            let head = zoo.head(id).ok_or_else(|| EngineError::unknown_task(id, known()))?.clone();
            tallies.push(Tally {
                id: id.clone(),
                order: permutation(images.len(), place as u64),
                samples: (*samples).min(images.len()),
                outcomes: vec![None; images.len()],
                images,
                head,
                seen: 0,
                correct: 0,
                loss: 0.0,
                routed: Vec::new(),
                experts: 0,
            });
        }
        let samples: Vec<usize> = tallies.iter().map(|tally| tally.samples).collect();
        let (first, rest) = if device.is_gpu { GPU_CHUNKS } else { CPU_CHUNKS };
        let chunks = round_robin(&samples, first, rest).into_iter();
        Ok(Self { tallies, chunks, input: zoo.input(), data: plan.data })
    }

    /// Evaluates the next chunks, one a core (one in all on a GPU); an empty answer means that all is done.
    ///
    /// # Errors
    /// When the device fails or the model's output is not finite.
    pub fn step(
        &mut self,
        predictor: &Predictor,
        device: &OpenDevice,
        lanes: &Lanes,
    ) -> Result<Vec<Standing>, EngineError> {
        let at_once = if device.is_gpu { 1 } else { lanes.len() };
        let chunks: Vec<Chunk> = self.chunks.by_ref().take(at_once).collect();
        let answers = lanes.map(&chunks, device.is_gpu, |&chunk| self.answer(chunk, predictor, device));
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut standings: Vec<Standing> = Vec::new();
        for (chunk, (scored, answered)) in chunks.iter().zip(answers) {
            let tally = &mut self.tallies[chunk.task];
            for (position, correct) in (chunk.start..).zip(scored.correct) {
                tally.outcomes[tally.order[position]] = Some(correct);
                tally.correct += u64::from(correct);
            }
            tally.seen += chunk.len;
            tally.loss += scored.loss;
            tally.add_routed(&answered, chunk.len);
            standings.retain(|standing| standing.task != tally.id);
            standings.push(tally.standing());
        }
        Ok(standings)
    }

    fn answer(
        &self,
        chunk: Chunk,
        predictor: &Predictor,
        device: &OpenDevice,
    ) -> Result<(Scored, Answered), EngineError> {
        let tally = &self.tallies[chunk.task];
        let indices = &tally.order[chunk.start..chunk.start + chunk.len];
        let labels: Vec<u16> = indices.iter().map(|&at| tally.images.labels[at]).collect();
        let mut pixels = match self.data.corruption {
            None => preprocess::pixels(&tally.images, indices, self.input)?,
            Some(corruption) => {
                let images = corruption.apply(&tally.images, indices, &tally.id, self.data.split);
                let all: Vec<usize> = (0..images.len()).collect();
                preprocess::pixels(&images, &all, self.input)?
            }
        };
        let mut batch = chunk.len;
        if device.is_gpu && batch < GPU_CHUNKS.0 {
            pixels.resize(pixels.len() / batch * GPU_CHUNKS.0, 0.0);
            batch = GPU_CHUNKS.0;
        }
        let mut answered = predictor.logits(&tally.id, pixels, batch, self.input, &tally.head, device)?;
        answered.logits.truncate(chunk.len * tally.head.classes);
        let scored = score(&answered.logits, tally.head.classes, &labels)
            .ok_or_else(|| EngineError::NotFiniteOutput { task: tally.id.clone() })?;
        Ok((scored, answered))
    }

    /// Samples seen of the tasks that are not complete.
    pub fn seen_in_progress(&self) -> u64 {
        self.tallies.iter().filter(|tally| tally.seen < tally.samples).map(|tally| tally.seen as u64).sum()
    }

    /// Whom the task's images went to so far, `[place][expert]`; empty where there are no routers.
    pub fn routing(&self, task: &str) -> Vec<Vec<f64>> {
        self.tallies.iter().find(|tally| tally.id == task).map_or_else(Vec::new, Tally::routing)
    }

    /// Reports of the tasks that are complete.
    pub fn finished(&self) -> impl Iterator<Item = TaskReport> {
        self.tallies.iter().filter(|tally| tally.seen == tally.samples).map(Tally::report)
    }
}

impl Tally {
    fn standing(&self) -> Standing {
        Standing { task: self.id.clone(), correct: self.correct, seen: self.seen as u64, total: self.samples as u64 }
    }

    /// Adds the rows of the first `n` images: what stands after them is padding.
    fn add_routed(&mut self, Answered { routed, width, experts, .. }: &Answered, n: usize) {
        self.experts = *experts;
        self.routed.resize(*width, 0.0);
        for row in routed.chunks_exact((*width).max(1)).take(n) {
            self.routed.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
    }

    fn routing(&self) -> Vec<Vec<f64>> {
        let n = self.seen.max(1) as f64;
        let row = |row: &[f64]| row.iter().map(|sum| sum / n).collect();
        self.routed.chunks_exact(self.experts.max(1)).map(row).collect()
    }

    fn report(&self) -> TaskReport {
        let n = self.seen.max(1) as f64;
        TaskReport {
            task: self.id.clone(),
            accuracy: self.correct as f64 / n,
            loss: self.loss / n,
            n: self.seen as u64,
            correct: self.correct,
            routing: self.routing(),
            outcomes: self.outcomes.iter().filter_map(|outcome| *outcome).collect(),
        }
    }
}
