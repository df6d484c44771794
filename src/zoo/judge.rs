//! What a zoo is worth: base and experts on their tasks, and the merges that show whether it behaves like the
//! literature. Settings are chosen on validation, then looked at on test once.

use super::train::TrainEvent;
use crate::cancel::Cancel;
use crate::fusion::{self, Context, Fused, FusionError, PerTask};
use crate::models::clip_vit::ClipVit;
use crate::params::{ParamSet, Value};
use crate::tasks::metrics::score;
use crate::tasks::preprocess::{InputShape, pixels};
use crate::tasks::{Images, Split, Task};
use crate::weights::StateDict;
use crate::zoo::{Accuracy, Merging, TaskScores, Zoo, ZooError};
use burn::tensor::{Device, Tensor, TensorData};
use std::collections::BTreeMap;

/// Images in one piece of work of one core.
const CHUNK: usize = 96;

/// The features of the images at `indices`, one vector an image; every core works on its own images.
pub(super) fn features(
    model: &ClipVit,
    images: &Images,
    indices: &[usize],
    input: InputShape,
) -> Result<Vec<Vec<f32>>, ZooError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = indices.len().div_ceil(cores).max(1);
    let work = |indices: &[usize]| -> Result<Vec<Vec<f32>>, ZooError> {
        let mut features = Vec::with_capacity(indices.len());
        for chunk in indices.chunks(CHUNK) {
            let pixels = pixels(images, chunk, input)?;
            let shape = [chunk.len(), input.channels, input.side, input.side];
            let out = model.features(Tensor::from_data(TensorData::new(pixels, shape), &Device::flex()));
            let width = out.dims()[1];
            let out: Vec<f32> = out.into_data().try_into_vec().unwrap_or_default();
            features.extend(out.chunks_exact(width).map(<[f32]>::to_vec));
        }
        Ok(features)
    };
    // A pool of one thread each, so that matrix products do not fight over cores.
    let alone = |indices: &[usize]| match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(|| work(indices)),
        Err(_) => work(indices),
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = indices.chunks(share).map(|part| scope.spawn(|| alone(part))).collect();
        let mut features = Vec::with_capacity(indices.len());
        for part in running {
            features.extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(features)
    })
}

/// Evaluates models on the zoo's tasks.
#[derive(Debug)]
pub struct Judge<'a> {
    zoo: &'a Zoo,
    data: &'a Zoo,
    model: ClipVit,
    tasks: Vec<Task>,
    limit: usize,
    cancel: &'a Cancel,
}

impl<'a> Judge<'a> {
    /// Judges `zoo` by the data of `data`, which may be the same.
    ///
    /// # Errors
    /// A configuration that makes no model.
    pub fn new(zoo: &'a Zoo, data: &'a Zoo, cancel: &'a Cancel) -> Result<Self, ZooError> {
        let model = ClipVit::new(zoo.config(), &Device::flex())?;
        Ok(Self { zoo, data, model, tasks: zoo.tasks().to_vec(), limit: usize::MAX, cancel })
    }

    /// Judges by these tasks only.
    #[must_use]
    pub fn with_tasks(self, tasks: Vec<Task>) -> Self {
        Self { tasks, ..self }
    }

    /// Looks at no more than the first `limit` images of a split.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// The accuracy of the weights that were loaded last.
    fn accuracy(&self, task: &str, split: Split) -> Result<f64, ZooError> {
        self.cancel.check()?;
        let images = self.data.images(task, split)?;
        let head = self.zoo.head(task).ok_or_else(|| ZooError::UnknownTask { task: task.to_owned() })?;
        let all: Vec<usize> = (0..images.len().min(self.limit)).collect();
        let mut logits = vec![0.0; head.classes];
        let mut right = 0usize;
        for (feature, label) in features(&self.model, &images, &all, self.zoo.input())?.iter().zip(&images.labels) {
            head.logits(feature, &mut logits);
            right += usize::from(score(&logits, usize::from(*label)).0);
        }
        Ok(right as f64 / all.len().max(1) as f64)
    }

    /// Base and experts, each expert on its own task.
    ///
    /// # Errors
    /// Damaged data or weights, cancellation.
    pub fn own_scores(
        &mut self,
        progress: &mut dyn FnMut(TrainEvent),
    ) -> Result<BTreeMap<String, TaskScores>, ZooError> {
        self.own_scores_on(&[Split::Validation, Split::Test], progress)
    }

    /// [`own_scores`](Self::own_scores) on some splits only; the others stay 0.
    ///
    /// # Errors
    /// Damaged data or weights, cancellation.
    pub fn own_scores_on(
        &mut self,
        splits: &[Split],
        progress: &mut dyn FnMut(TrainEvent),
    ) -> Result<BTreeMap<String, TaskScores>, ZooError> {
        let zoo = self.zoo;
        let mut scores: BTreeMap<String, TaskScores> = BTreeMap::new();
        let base = zoo.pool().base().map(|base| ("base", base));
        let experts = zoo.pool().experts().iter().map(|(name, expert)| (name.as_str(), expert));
        for (name, checkpoint) in base.into_iter().chain(experts) {
            let tasks: Vec<Task> =
                self.tasks.iter().filter(|task| name == "base" || task.id == name).cloned().collect();
            if tasks.is_empty() {
                continue;
            }
            self.model.load(&StateDict::load(checkpoint))?;
            for task in &tasks {
                let mut accuracy = Accuracy::default();
                for &split in splits {
                    let measured = self.accuracy(&task.id, split)?;
                    *(if split == Split::Test { &mut accuracy.test } else { &mut accuracy.validation }) = measured;
                }
                let (model, task_id) = (name.to_owned(), task.id.clone());
                progress(TrainEvent::Accuracy { model, task: task_id, accuracy: accuracy.validation });
                let entry = scores.entry(task.id.clone()).or_default();
                *(if name == "base" { &mut entry.base } else { &mut entry.expert }) = accuracy;
            }
        }
        Ok(scores)
    }

    /// All experts merged: simple average; task arithmetic at λ = 1 ⁄ experts, at the λ that is best on validation and
    /// at 1; TIES at the best λ.
    ///
    /// # Errors
    /// Damaged data or weights, cancellation.
    pub fn merges(&mut self, progress: &mut dyn FnMut(TrainEvent)) -> Result<Vec<Merging>, ZooError> {
        let eighth = 1.0 / self.zoo.pool().experts().len() as f64;
        let scaling = |value: f64| vec![("scaling", Value::Float(value))];
        let arithmetic: Vec<_> =
            [0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0].into_iter().map(scaling).collect();
        let mut ties = Vec::new();
        for density in [0.1, 0.2, 0.3] {
            // A smaller density keeps less, so its best λ is larger.
            for value in [0.5, 0.6, 0.7, 0.8, 1.0, 1.2] {
                ties.push(vec![("scaling", Value::Float(value)), ("density", Value::Float(density))]);
            }
        }
        Ok(vec![
            self.best("simple_average", &[Vec::new()], progress)?,
            self.best("task_arithmetic", &[scaling(eighth)], progress)?,
            self.best("task_arithmetic", &arithmetic, progress)?,
            self.best("task_arithmetic", &[scaling(1.0)], progress)?,
            self.best("ties", &ties, progress)?,
        ])
    }

    /// The setting that is best on validation, with its accuracy on both splits.
    fn best(
        &mut self,
        method: &str,
        settings: &[Vec<(&'static str, Value)>],
        progress: &mut dyn FnMut(TrainEvent),
    ) -> Result<Merging, ZooError> {
        let mut best: Option<(&[(&str, Value)], f64)> = None;
        for setting in settings {
            let validation = self.merged(method, setting, Split::Validation)?;
            progress(TrainEvent::Accuracy { model: method.to_owned(), task: describe(setting), accuracy: validation });
            if best.is_none_or(|(_, known)| validation > known) {
                best = Some((setting, validation));
            }
        }
        let (setting, validation) = best.unwrap_or((&[], 0.0));
        let test = self.merged(method, setting, Split::Test)?;
        let accuracy = Accuracy { validation, test };
        Ok(Merging { method: method.to_owned(), setting: describe(setting), accuracy })
    }

    /// Mean accuracy over tasks, each with its own expert's model; the base answers for tasks that have none.
    fn per_task(&mut self, models: &PerTask, split: Split) -> Result<f64, ZooError> {
        let (zoo, mut ignore) = (self.zoo, |_: usize, _: usize| ());
        let pool = zoo.pool();
        let mut sum = 0.0;
        for task in &self.tasks.clone() {
            match (pool.experts().iter().position(|(name, _)| *name == task.id), pool.base()) {
                (Some(expert), _) => {
                    let mut cx = Context::new(self.cancel, &mut ignore);
                    self.model.load(&models.model(expert, pool, &mut cx)?)?;
                }
                (None, Some(base)) => self.model.load(&StateDict::load(base))?,
                (None, None) => return Err(ZooError::UnknownTask { task: task.id.clone() }),
            }
            sum += self.accuracy(&task.id, split)?;
        }
        Ok(sum / self.tasks.len() as f64)
    }

    /// Mean accuracy over tasks of all experts merged by the method `id`; parameters that are not given
    /// keep their defaults.
    ///
    /// # Errors
    /// Unknown methods and values out of range, damaged data or weights, cancellation.
    pub fn merged(&mut self, id: &str, given: &[(&str, Value)], split: Split) -> Result<f64, ZooError> {
        let method = fusion::find(id)?;
        let params = ParamSet::checked(method.specs, given.iter().cloned())
            .map_err(|source| FusionError::Param { method: method.name, source })?;
        let mut ignore = |_: usize, _: usize| ();
        let mut cx = Context::new(self.cancel, &mut ignore);
        match (method.fuse)(&params, self.zoo.pool(), &mut cx)? {
            Fused::Linear(plan) => self.model.load(&plan.materialise(self.zoo.pool(), &mut cx)?)?,
            Fused::Weights(weights) => self.model.load(&weights)?,
            Fused::PerTask(models) => return self.per_task(&models, split),
            // Neither is one set of weights.
            Fused::Ensemble(_) | Fused::Mixture(_) => {}
        }
        let tasks = &self.tasks;
        let sum = tasks.iter().map(|task| self.accuracy(&task.id, split)).sum::<Result<f64, _>>()?;
        Ok(sum / tasks.len() as f64)
    }
}

/// `scaling = 0.3, density = 0.2`
fn describe(setting: &[(&str, Value)]) -> String {
    setting.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
}

/// Mean over tasks, split by split.
pub(super) fn mean(all: impl Iterator<Item = Accuracy>) -> Accuracy {
    let (mut sum, mut n) = (Accuracy::default(), 0.0);
    for one in all {
        sum = Accuracy { validation: sum.validation + one.validation, test: sum.test + one.test };
        n += 1.0;
    }
    Accuracy { validation: sum.validation / n, test: sum.test / n }
}
