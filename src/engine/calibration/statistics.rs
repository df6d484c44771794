//! Batches to statistics, added up in the batches' order: the same on any number of cores.

use super::draws::chosen;
use super::executor::Executor;
use super::work::{Answer, Batch, Wanted, Work};
use super::{Direct, Source};
use crate::engine::EngineError;
use crate::fusion::{Calibration, Context, Draw, FusionError, Gram, Grams, Layout};
use crate::models::clip_vit::Linear;
use crate::weights::{Checkpoint, StateDict};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What was computed for the last draw, by checkpoint and task: a slider that only changes what is made of it costs no
/// second look at the data.
#[derive(Default)]
pub struct Memo(Mutex<Option<(Draw, HashMap<(String, String), Arc<Grams>>)>>);

impl Memo {
    fn get(&self, draw: Draw, key: &(String, String)) -> Option<Arc<Grams>> {
        let memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memo.as_ref().filter(|(known, _)| *known == draw)?.1.get(key).cloned()
    }

    fn put(&self, draw: Draw, key: (String, String), grams: Arc<Grams>) {
        let mut memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, known) = match memo.take() {
            Some(kept) if kept.0 == draw => memo.insert(kept),
            _ => memo.insert((draw, HashMap::new())),
        };
        known.insert(key, grams);
    }
}

/// Statistics of networks that are shown the examples of a source.
pub struct Statistics {
    source: Arc<dyn Source>,
    executor: Box<dyn Executor>,
    memo: Arc<Memo>,
}

impl Statistics {
    /// Computed by the thread that asks, on the CPU.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn direct(source: Arc<dyn Source>) -> Result<Self, EngineError> {
        let executor = Box::new(Direct::new(Arc::clone(&source))?);
        Ok(Self { source, executor, memo: Arc::default() })
    }

    /// Computed by `executor`; what is in `memo` is not computed again.
    pub(in crate::engine) fn new(source: Arc<dyn Source>, executor: Box<dyn Executor>, memo: Arc<Memo>) -> Self {
        Self { source, executor, memo }
    }

    /// The examples of a draw.
    fn chosen(&self, task: &str, draw: Draw) -> Result<Vec<usize>, FusionError> {
        let data = |reason: String| FusionError::Data { task: task.to_owned(), reason };
        let count = self.source.count(task, draw.shown).map_err(|error| match error {
            EngineError::Fusion(error) => error,
            other => data(other.to_string()),
        })?;
        if count == 0 || draw.samples == 0 {
            return Err(data(format!("there are no {} examples to look at", draw.shown)));
        }
        Ok(chosen(task, draw, count))
    }

    /// Hands `take` the answer for every batch of a draw, in order.
    fn each(
        &self,
        (task, draw, wanted): (&str, Draw, Wanted),
        weights: &Arc<StateDict>,
        cx: &mut Context<'_>,
        mut take: impl FnMut(Answer),
    ) -> Result<(), FusionError> {
        let indices = self.chosen(task, draw)?;
        let batches: Vec<Batch> = indices
            .chunks(draw.batch.max(1))
            .map(|indices| Batch { task: task.to_owned(), shown: draw.shown, indices: indices.to_vec() })
            .collect();
        for batches in batches.chunks(self.executor.width().max(1)) {
            cx.cancel.check()?;
            let seen = batches.iter().map(|batch| batch.indices.len()).sum();
            let (weights, cancel) = (Arc::clone(weights), cx.cancel.clone());
            self.executor
                .run(Work { weights, batches: batches.to_vec(), wanted, cancel })?
                .into_iter()
                .for_each(&mut take);
            cx.advance(seen);
        }
        Ok(())
    }
}

/// Sums of outer products, and of how many rows.
struct Sum {
    rows: usize,
    size: usize,
    values: Vec<f64>,
}

impl Calibration for Statistics {
    fn grams(
        &self,
        task: &str,
        model: &Checkpoint,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Arc<Grams>, FusionError> {
        let key = (model.fingerprint().to_owned(), task.to_owned());
        if let Some(known) = self.memo.get(draw, &key) {
            cx.advance(self.count(task, draw)?);
            return Ok(known);
        }
        let mut sums: HashMap<Linear, Sum> = HashMap::new();
        self.each((task, draw, Wanted::Products), &Arc::new(StateDict::load(model)), cx, |answer| {
            let Answer::Products(products) = answer;
            for product in products {
                let empty = || Sum { rows: 0, size: product.size, values: vec![0.0; product.values.len()] };
                let sum = sums.entry(product.of).or_insert_with(empty);
                sum.rows += product.rows;
                sum.values.iter_mut().zip(&product.values).for_each(|(sum, x)| *sum += f64::from(*x));
            }
        })?;
        let mut grams = Grams::new();
        for (linear, mut sum) in sums {
            sum.values.iter_mut().for_each(|x| *x /= sum.rows as f64);
            let gram = Gram { size: sum.size, values: Arc::new(sum.values), layout: Layout::OutIn };
            for name in linear.weights() {
                grams.insert(own_name(model, name), gram.clone());
            }
        }
        let grams = Arc::new(grams);
        self.memo.put(draw, key, Arc::clone(&grams));
        Ok(grams)
    }

    fn count(&self, task: &str, draw: Draw) -> Result<usize, FusionError> {
        self.chosen(task, draw).map(|indices| indices.len())
    }
}

/// The name that the checkpoint itself gives a tensor: with or without `vision_model.`, as transformers' versions differ.
fn own_name(model: &Checkpoint, name: String) -> String {
    match name.strip_prefix("vision_model.") {
        Some(short) if model.get(&name).is_none() => short.to_owned(),
        _ => name,
    }
}
