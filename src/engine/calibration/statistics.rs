//! Batches to statistics, added up in the batches' order: the same on any number of cores.

use super::draws::{chosen, step};
use super::executor::Executor;
use super::memo::Memo;
use super::spare::Spare;
use super::work::{Answer, Batch, Of, Products, Subject, Wanted, Work};
use super::{Direct, Source};
use crate::engine::EngineError;
use crate::fusion::{
    Calibration, Context, Draw, Entropy, Features, FusionError, Gram, Grams, Layout, Mixture, Routed, Slopes,
};
use crate::models::clip_vit::Linear;
use crate::weights::{Checkpoint, Data, StateDict, Tensor};
use rayon::prelude::*;
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

/// Statistics of networks that are shown the examples of a source.
pub struct Statistics {
    source: Arc<dyn Source>,
    executor: Box<dyn Executor>,
    memo: Arc<Memo>,
    spare: Arc<Spare>,
}

impl Statistics {
    /// Computed by the thread that asks, on the CPU.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn direct(source: Arc<dyn Source>) -> Result<Self, EngineError> {
        let executor = Box::new(Direct::new(Arc::clone(&source))?);
        Ok(Self::new(source, executor, Arc::default()))
    }

    /// Computed by `executor`; what is in `memo` is not computed again.
    pub(in crate::engine) fn new(source: Arc<dyn Source>, executor: Box<dyn Executor>, memo: Arc<Memo>) -> Self {
        Self { source, executor, memo, spare: Arc::default() }
    }

    /// How many examples the task has.
    fn available(&self, task: &str, draw: Draw) -> Result<usize, FusionError> {
        let data = |reason: String| FusionError::Data { task: task.to_owned(), reason };
        let count = self.source.count(task, draw.shown).map_err(|error| match error {
            EngineError::Fusion(error) => error,
            other => data(other.to_string()),
        })?;
        if count == 0 || draw.samples == 0 {
            return Err(data(format!("there are no {} examples to look at", draw.shown)));
        }
        Ok(count)
    }

    /// Has `batches` computed, as many at a time as there are cores, and hands `take` the answers in order.
    fn run(
        &self,
        batches: &[Batch],
        subject: &Subject,
        cx: &mut Context<'_>,
        mut take: impl FnMut(Answer, &mut Context<'_>),
    ) -> Result<(), FusionError> {
        for batches in batches.chunks(self.executor.width().max(1)) {
            cx.cancel.check()?;
            let (subject, spare, cancel) = (subject.clone(), Arc::clone(&self.spare), cx.cancel.clone());
            let answers = self.executor.run(Work { subject, batches: batches.to_vec(), spare, cancel })?;
            for answer in answers {
                take(answer, cx);
            }
        }
        Ok(())
    }

    /// Hands `take` the answers for all examples of a draw, so many at a time, and counts them.
    fn all(
        &self,
        (task, draw): (&str, Draw),
        batch: usize,
        subject: &Subject,
        cx: &mut Context<'_>,
        mut take: impl FnMut(Answer),
    ) -> Result<usize, FusionError> {
        let indices = chosen(task, draw, self.available(task, draw)?);
        let batches: Vec<Batch> = indices
            .chunks(batch.max(1))
            .map(|indices| Batch { task: task.to_owned(), shown: draw.shown, indices: indices.to_vec() })
            .collect();
        let mut sizes = batches.iter().map(|batch| batch.indices.len());
        self.run(&batches, subject, cx, |answer, cx| {
            take(answer);
            cx.advance(sizes.next().unwrap_or_default());
        })?;
        Ok(indices.len())
    }

    /// The Gram matrices of all linear layers, or of those of one block.
    fn products(
        &self,
        task: &str,
        weights: &Arc<StateDict>,
        block: Option<usize>,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Grams, FusionError> {
        let mut sums: HashMap<Linear, Sum> = HashMap::new();
        let subject = Subject::Model { weights: Arc::clone(weights), wanted: Wanted::Products { block } };
        self.all((task, draw), draw.batch, &subject, cx, |answer| {
            let Answer::Products(products) = answer else { return };
            for product in &products {
                sums.entry(product.of).or_default().add(product);
            }
        })?;
        let mut grams = Grams::new();
        for (linear, sum) in sums {
            let gram = sum.gram();
            for name in linear.weights() {
                let name = own_name(&name, |name| weights.get(name).is_some()).to_owned();
                grams.insert(name, gram.clone());
            }
        }
        Ok(grams)
    }

    /// A loss and its slope on the batch of one step of every task.
    fn loss(
        &self,
        of: Of,
        (tasks, shares, draw, at): (&[&str], Option<&[f64]>, Draw, usize),
        weights: &Arc<StateDict>,
        cx: &mut Context<'_>,
    ) -> Result<Entropy, FusionError> {
        let batches = self.batches(tasks, draw, at)?;
        let (mut total, mut losses, mut told) = (Total::default(), Vec::with_capacity(tasks.len()), 0.0);
        let subject = Subject::Model { weights: Arc::clone(weights), wanted: Wanted::Slope(of) };
        self.run(&batches, &subject, cx, |answer, _| {
            let share = shares.and_then(|shares| shares.get(losses.len())).copied().unwrap_or(1.0);
            if let Some((loss, information)) = total.add(answer, share, &self.spare) {
                losses.push(loss);
                told += information;
            }
        })?;
        let slope = total.named(1.0, |name| weights.get(name).is_some());
        Ok(Entropy { losses, information: judged(told, &batches), slope })
    }

    /// The batch of one step of every task.
    fn batches(&self, tasks: &[&str], draw: Draw, at: usize) -> Result<Vec<Batch>, FusionError> {
        let batch = |task: &&str| {
            let indices = step(task, draw, self.available(task, draw)?, at);
            Ok(Batch { task: (*task).to_owned(), shown: draw.shown, indices })
        };
        tasks.iter().map(batch).collect()
    }
}

impl Calibration for Statistics {
    fn recall(&self, key: &[u8; 32]) -> Option<Arc<dyn Any + Send + Sync>> {
        self.memo.recall(key)
    }

    fn keep(&self, key: [u8; 32], learned: Arc<dyn Any + Send + Sync>) {
        self.memo.learn(key, learned);
    }

    fn grams(
        &self,
        task: &str,
        model: &Checkpoint,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Arc<Grams>, FusionError> {
        let (question, kept) = ((draw, None), &self.memo.grams);
        if let Some(known) = kept.known(question, model, task) {
            cx.advance(self.count(task, draw)?);
            return Ok(known);
        }
        kept.keep(question, model, task, || self.products(task, &Arc::new(StateDict::load(model)), None, draw, cx))
    }

    fn block_grams(
        &self,
        task: &str,
        weights: Arc<StateDict>,
        names: &[&str],
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Grams, FusionError> {
        let blocks = self.source.config().num_hidden_layers;
        let holds = |linear: &Linear| {
            let own = |name: &String| own_name(name, |name| weights.get(name).is_some()).to_owned();
            linear.weights().iter().map(own).any(|name| names.contains(&name.as_str()))
        };
        let block = (0..blocks).find(|&layer| Linear::of_block(layer).iter().any(holds));
        match block.or_else(|| holds(&Linear::Projection).then_some(blocks)) {
            Some(block) => self.products(task, &weights, Some(block), draw, cx),
            None => {
                cx.advance(self.count(task, draw)?);
                Ok(Grams::new())
            }
        }
    }

    fn slopes(
        &self,
        task: &str,
        model: &Checkpoint,
        what: Slopes,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Arc<StateDict>, FusionError> {
        let (question, kept) = ((draw, Some(what)), &self.memo.slopes);
        if let Some(known) = kept.known(question, model, task) {
            cx.advance(self.count(task, draw)?);
            return Ok(known);
        }
        // Example by example a batch is only a portion of work: small, so that nobody waits for it.
        let batch = match what {
            Slopes::BatchSquares => draw.batch,
            Slopes::SampledSquares | Slopes::LabelledMagnitudes => 8,
            Slopes::ExactSquares => 1,
        };
        kept.keep(question, model, task, || {
            let mut total = Total::default();
            let wanted = Wanted::Slope(Of::Examples { what, seed: draw.seed });
            let subject = Subject::Model { weights: Arc::new(StateDict::load(model)), wanted };
            let examples = self.all((task, draw), batch, &subject, cx, |answer| {
                total.add(answer, 1.0, &self.spare);
            })?;
            let has = |name: &str| model.get(name).is_some();
            Ok(total.named(1.0 / examples as f64, has))
        })
    }

    fn entropy(
        &self,
        tasks: &[&str],
        weights: Arc<StateDict>,
        draw: Draw,
        at: usize,
        cx: &mut Context<'_>,
    ) -> Result<Entropy, FusionError> {
        self.loss(Of::Entropy, (tasks, None, draw, at), &weights, cx)
    }

    fn cross_entropy(
        &self,
        tasks: &[&str],
        shares: Option<&[f64]>,
        weights: Arc<StateDict>,
        draw: Draw,
        at: usize,
        cx: &mut Context<'_>,
    ) -> Result<Entropy, FusionError> {
        self.loss(Of::CrossEntropy, (tasks, shares, draw, at), &weights, cx)
    }

    fn routed(
        &self,
        tasks: &[&str],
        mixture: &Mixture,
        draw: Draw,
        at: usize,
        cx: &mut Context<'_>,
    ) -> Result<Routed, FusionError> {
        let batches = self.batches(tasks, draw, at)?;
        let mut sum =
            Routed { losses: Vec::new(), information: None, slopes: Vec::new(), weights: Vec::new(), seen: Vec::new() };
        let mut told = 0.0;
        let subject = Subject::Mixture { mixture: mixture.clone(), slopes: true };
        self.run(&batches, &subject, cx, |answer, _| {
            let Answer::Routed(found) = answer else { return };
            sum.losses.push(found.loss);
            told += found.information;
            sum.weights.push(mean(&total(&found.weights, found.images), found.images));
            sum.slopes.resize(found.slopes.len(), Vec::new());
            for (sum, slope) in sum.slopes.iter_mut().zip(&found.slopes) {
                add(sum, slope.iter().map(|x| f64::from(*x)));
            }
            sum.seen.resize(found.seen.len(), Vec::new());
            for (sum, seen) in sum.seen.iter_mut().zip(&found.seen) {
                add(sum, seen.iter().map(|x| f64::from(*x) / tasks.len() as f64));
            }
        })?;
        sum.information = judged(told, &batches);
        Ok(sum)
    }

    fn routing(
        &self,
        task: &str,
        mixture: &Mixture,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Vec<f64>, FusionError> {
        let mut sum = Vec::new();
        let subject = Subject::Mixture { mixture: mixture.clone(), slopes: false };
        let images = self.all((task, draw), draw.batch, &subject, cx, |answer| {
            if let Answer::Routed(found) = answer {
                add(&mut sum, total(&found.weights, found.images));
            }
        })?;
        Ok(mean(&sum, images))
    }

    fn features(
        &self,
        task: &str,
        weights: Arc<StateDict>,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Features, FusionError> {
        let mut all = Features { width: 0, values: Vec::new() };
        let subject = Subject::Model { weights, wanted: Wanted::Features };
        self.all((task, draw), draw.batch, &subject, cx, |answer| {
            if let Answer::Features { width, values } = answer {
                all.width = width;
                all.values.extend(values);
            }
        })?;
        Ok(all)
    }

    fn count(&self, task: &str, draw: Draw) -> Result<usize, FusionError> {
        Ok(self.available(task, draw)?.min(draw.samples))
    }
}

/// The mean over batches of what their answers tell of their images, from the sum; a batch of a few images tells nothing.
fn judged(sum: f64, batches: &[Batch]) -> Option<f64> {
    let enough = batches.iter().all(|batch| batch.indices.len() >= 8)
        && batches.iter().map(|batch| batch.indices.len()).sum::<usize>() >= 16;
    (enough && sum.is_finite()).then(|| sum / batches.len() as f64)
}

/// The sum of `rows` rows.
fn total(values: &[f32], rows: usize) -> Vec<f64> {
    let mut sum = Vec::new();
    for row in values.chunks_exact((values.len() / rows.max(1)).max(1)) {
        add(&mut sum, row.iter().map(|x| f64::from(*x)));
    }
    sum
}

/// sum += values; an empty sum becomes as long as they are.
fn add(sum: &mut Vec<f64>, values: impl IntoIterator<Item = f64>) {
    for (at, value) in values.into_iter().enumerate() {
        match sum.get_mut(at) {
            Some(sum) => *sum += value,
            None => sum.push(value),
        }
    }
}

fn mean(sum: &[f64], count: usize) -> Vec<f64> {
    sum.iter().map(|x| x / count.max(1) as f64).collect()
}

/// Sums of outer products, and of how many rows.
#[derive(Default)]
struct Sum {
    rows: usize,
    size: usize,
    values: Vec<f64>,
}

impl Sum {
    fn add(&mut self, product: &Products) {
        self.rows += product.rows;
        self.size = product.size;
        self.values.resize(product.values.len(), 0.0);
        self.values.iter_mut().zip(&product.values).for_each(|(sum, x)| *sum += f64::from(*x));
    }

    fn gram(self) -> Gram {
        let rows = self.rows.max(1) as f64;
        let values = self.values.into_iter().map(|x| x / rows).collect();
        Gram { size: self.size, values: Arc::new(values), layout: Layout::OutIn }
    }
}

/// A sum of slopes, in f64.
#[derive(Default)]
struct Total {
    /// As the first answer has them.
    tensors: Vec<(String, Vec<usize>)>,
    sums: Vec<Vec<f64>>,
}

impl Total {
    /// Adds an answer's slope times `factor`, and returns its loss and information; the room goes to `spare`.
    fn add(&mut self, answer: Answer, factor: f64, spare: &Spare) -> Option<(f64, f64)> {
        let Answer::Slope { loss, information, slope } = answer else { return None };
        if self.tensors.is_empty() {
            self.tensors = slope.tensors().iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect();
            self.sums =
                slope.tensors().iter().map(|tensor| vec![0.0; tensor.values().map_or(0, <[f32]>::len)]).collect();
        }
        self.sums.par_iter_mut().zip(slope.tensors()).for_each(|(sum, tensor)| {
            sum.iter_mut().zip(tensor.values().unwrap_or_default()).for_each(|(sum, x)| *sum += factor * f64::from(*x));
        });
        spare.put(slope);
        Some((loss, information))
    }

    /// The sum times `factor`, under the names that the model `has`.
    fn named(self, factor: f64, has: impl Fn(&str) -> bool + Sync) -> StateDict {
        let tensor = |((name, shape), sum): ((String, Vec<usize>), Vec<f64>)| Tensor {
            name: own_name(&name, &has).to_owned(),
            shape,
            dtype: crate::weights::DType::F32,
            data: Data::Float(sum.into_iter().map(|x| (factor * x) as f32).collect()),
        };
        StateDict::new(self.tensors.into_par_iter().zip(self.sums).map(tensor).collect())
    }
}

/// The name that a model itself gives a tensor: with or without `vision_model.`, as transformers' versions differ.
fn own_name(name: &str, has: impl Fn(&str) -> bool) -> &str {
    match name.strip_prefix("vision_model.") {
        Some(short) if !has(name) => short,
        _ => name,
    }
}
