//! What a method works with beside parameters and pool.

use super::survey::Surveys;
use super::{Calibration, FusionError, MaskSource, Pool};
use crate::cancel::Cancel;
use crate::params::Value;
use std::any::Any;
use std::sync::Arc;

/// What a method has to say while it works.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// A stretch of work begins, in which progress counts up to `total`; without one, progress counts tensors.
    Phase { name: &'static str, total: usize, unit: &'static str },
    /// Something that whoever reads the result should know.
    Warning(String),
    /// Coefficients were moved.
    Adapted(Adapted),
    /// Whom the routers of a mixture asked in a step.
    Routed { places: Vec<String>, experts: Vec<String>, tasks: Vec<RoutedTask> },
    /// A parameter turned out to be another than was asked for: with this one the result comes out again.
    Settled { param: &'static str, value: Value },
}

/// Whom routers sent a task's images to.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutedTask {
    pub task: String,
    /// What each expert weighed on the mean, `[place][expert]`.
    pub weights: Vec<Vec<f64>>,
}

/// Coefficients that are being learned, after a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Adapted {
    /// Steps taken, and asked for.
    pub step: usize,
    pub steps: usize,
    /// The loss of each expert's task before the step.
    pub losses: Vec<f64>,
    /// What the columns of `coefficients` stand for.
    pub blocks: Arc<Vec<String>>,
    /// `[expert][block]`; empty where routers are learned.
    pub coefficients: Vec<Vec<f64>>,
    /// Whether these are all coefficients there are; else means over the tensors of a block.
    pub exact: bool,
    /// Whether a mask lies on the task vectors, so that no coefficients give the same model: then these are multiplied by
    /// what it leaves of each task vector.
    pub masked: bool,
}

/// What a method works with beside parameters and pool.
pub struct Context<'a> {
    pub cancel: &'a Cancel,
    /// Called with (tensors done, tensors in all); several times over by methods that take several passes.
    pub progress: &'a mut dyn FnMut(usize, usize),
    /// Masks to use instead of those that a method would draw from its seed.
    pub masks: Option<&'a dyn MaskSource>,
    /// Data, for methods that need some.
    pub data: Option<&'a dyn Calibration>,
    /// Set once whoever waits would rather have what there is; for methods that get better step by step.
    pub enough: Option<&'a Cancel>,
    /// Hears what the method has to say.
    pub listener: Option<&'a mut dyn FnMut(News)>,
    /// Lets results through that are not finite, instead of failing: whoever takes them decides.
    pub lenient: bool,
    /// The pool is one of several parts with different parameters: nothing can be said of the whole model.
    pub partial: bool,
    /// How far the phase is, and what it counts up to.
    phase: (usize, usize),
    surveys: Surveys,
}

impl<'a> Context<'a> {
    #[must_use]
    pub fn new(cancel: &'a Cancel, progress: &'a mut dyn FnMut(usize, usize)) -> Self {
        Self {
            cancel,
            progress,
            masks: None,
            data: None,
            enough: None,
            listener: None,
            lenient: false,
            partial: false,
            phase: (0, 0),
            surveys: Surveys::default(),
        }
    }

    /// What a method has to know of the whole model before it can compute a part of it, such as a threshold: `measure`
    /// gets the whole pool. Measured once for all windows that are fused in this context with one recipe; `S` is a type
    /// of the method's own.
    ///
    /// # Errors
    /// What `measure` returns.
    pub fn survey<S: Any + Send + Sync>(
        &mut self,
        pool: &Pool,
        measure: impl FnOnce(&Pool, &mut Self) -> Result<S, FusionError>,
    ) -> Result<Arc<S>, FusionError> {
        if self.partial {
            let reason =
                "it needs to know the whole model, so its parameters cannot differ by layer or tensor".to_owned();
            return Err(FusionError::Unusable { method: "this method", reason });
        }
        if !pool.is_window() {
            return measure(pool, self).map(Arc::new);
        }
        if let Some(known) = self.surveys.get() {
            return Ok(known);
        }
        let measured = Arc::new(measure(pool.whole(), self)?);
        self.surveys.put(Arc::clone(&measured));
        Ok(measured)
    }

    /// Uses the given masks, whatever the method's seed.
    #[must_use]
    pub fn with_masks(mut self, masks: &'a dyn MaskSource) -> Self {
        self.masks = Some(masks);
        self
    }

    /// Lets the method look at data.
    #[must_use]
    pub fn with_data(mut self, data: &'a dyn Calibration) -> Self {
        self.data = Some(data);
        self
    }

    /// Tells `listener` what the method has to say.
    #[must_use]
    pub fn with_listener(mut self, listener: &'a mut dyn FnMut(News)) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Ends methods that get better step by step as soon as `enough` is set.
    #[must_use]
    pub fn with_enough(mut self, enough: &'a Cancel) -> Self {
        self.enough = Some(enough);
        self
    }

    pub(super) fn is_enough(&self) -> bool {
        self.enough.is_some_and(Cancel::is_cancelled)
    }

    /// Says something.
    pub(super) fn tell(&mut self, news: News) {
        if let Some(listener) = &mut self.listener {
            listener(news);
        }
    }

    /// A stretch of work begins, in which [`advance`](Self::advance) counts up to `total`.
    pub(super) fn phase(&mut self, name: &'static str, total: usize, unit: &'static str) {
        self.phase = (0, total);
        self.tell(News::Phase { name, total, unit });
    }

    /// So many more of the phase are done.
    pub fn advance(&mut self, by: usize) {
        self.phase.0 += by;
        (self.progress)(self.phase.0, self.phase.1);
    }
}
