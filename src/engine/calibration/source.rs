//! Where examples and heads come from.

use crate::engine::EngineError;
use crate::fusion::{FusionError, Shown};
use crate::models::clip_vit::ClipVitConfig;
use crate::tasks::preprocess::{self, InputShape};
use crate::tasks::{Images, Split};
use crate::zoo::{Head, Zoo};
use std::sync::Arc;

/// Image classification tasks for CLIP vision towers of one architecture.
pub trait Source: Send + Sync {
    fn config(&self) -> &ClipVitConfig;

    /// The head that answers for a task.
    ///
    /// # Errors
    /// No such task.
    fn head(&self, task: &str) -> Result<&Head, EngineError>;

    /// How many examples a task has.
    ///
    /// # Errors
    /// No such task, data that cannot be read.
    fn count(&self, task: &str, shown: Shown) -> Result<usize, EngineError>;

    /// Examples as a network sees them, `[n, channels, side, side]`; indices are below [`count`](Self::count).
    ///
    /// # Errors
    /// Data that cannot be read, or do not fit the network.
    fn pixels(&self, task: &str, shown: Shown, indices: &[usize]) -> Result<Vec<f32>, EngineError>;

    /// The examples' classes, as the head counts them; indices are below [`count`](Self::count).
    ///
    /// # Errors
    /// Data that cannot be read, or have no labels.
    fn labels(&self, task: &str, shown: Shown, indices: &[usize]) -> Result<Vec<usize>, EngineError>;
}

impl Source for Zoo {
    fn config(&self) -> &ClipVitConfig {
        Self::config(self)
    }

    fn head(&self, task: &str) -> Result<&Head, EngineError> {
        Self::head(self, task).ok_or_else(|| no_data(task))
    }

    fn count(&self, task: &str, shown: Shown) -> Result<usize, EngineError> {
        Ok(images(self, task, shown)?.len())
    }

    fn pixels(&self, task: &str, shown: Shown, indices: &[usize]) -> Result<Vec<f32>, EngineError> {
        Ok(preprocess::pixels(&*images(self, task, shown)?, indices, self.input())?)
    }

    fn labels(&self, task: &str, shown: Shown, indices: &[usize]) -> Result<Vec<usize>, EngineError> {
        let images = images(self, task, shown)?;
        Ok(indices.iter().filter_map(|&at| images.labels.get(at)).map(|&label| usize::from(label)).collect())
    }
}

fn images(zoo: &Zoo, task: &str, shown: Shown) -> Result<Arc<Images>, EngineError> {
    if zoo.task(task).is_none() {
        return Err(no_data(task));
    }
    let split = match shown {
        Shown::Validation => Split::Validation,
        Shown::Test => Split::Test,
    };
    Ok(zoo.images(task, split)?)
}

fn no_data(task: &str) -> EngineError {
    let reason = "there are no data for this expert's task".to_owned();
    FusionError::Data { task: task.to_owned(), reason }.into()
}

/// What `source`'s networks take.
pub(super) fn input(source: &dyn Source) -> InputShape {
    InputShape { channels: source.config().num_channels, side: source.config().image_size }
}
