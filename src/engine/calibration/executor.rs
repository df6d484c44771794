//! Who carries out pieces of work: the thread that asks, or the thread that owns the device.

use super::work::{Answer, Work};
use super::{Computer, Source};
use crate::cancel::Cancelled;
use crate::engine::EngineError;
use crate::engine::device::OpenDevice;
use crate::engine::lanes::Lanes;
use crate::fusion::FusionError;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};

/// Carries out pieces of work.
pub trait Executor: Send + Sync {
    /// Batches that are computed at once.
    fn width(&self) -> usize;

    /// One answer a batch, in their order.
    ///
    /// # Errors
    /// As [`Computer::compute`].
    fn run(&self, work: Work) -> Result<Vec<Answer>, FusionError>;
}

/// At once, on the CPU.
pub struct Direct {
    source: Arc<dyn Source>,
    device: OpenDevice,
    lanes: Lanes,
    computer: Mutex<Computer>,
}

impl Direct {
    /// # Errors
    /// When threads cannot be started.
    pub fn new(source: Arc<dyn Source>) -> Result<Self, EngineError> {
        Ok(Self { source, device: OpenDevice::cpu(), lanes: Lanes::new()?, computer: Mutex::default() })
    }
}

impl Executor for Direct {
    fn width(&self) -> usize {
        self.lanes.len()
    }

    fn run(&self, work: Work) -> Result<Vec<Answer>, FusionError> {
        let mut computer = self.computer.lock().unwrap_or_else(PoisonError::into_inner);
        computer.compute(&*self.source, &self.device, &self.lanes, &work).map_err(|error| match error {
            EngineError::Fusion(error) => error,
            EngineError::Cancelled(cancelled) => cancelled.into(),
            other => {
                let task = work.batches.first().map(|batch| batch.task.clone()).unwrap_or_default();
                FusionError::Data { task, reason: other.to_string() }
            }
        })
    }
}

/// A piece of work and where its answers go.
pub struct Question {
    pub work: Work,
    pub answers: Sender<Vec<Answer>>,
}

/// Sends the work to whoever owns the device. When that one gives up, because the work failed or nobody wants the result
/// any more, the asking thread is told that it was cancelled: the other one knows why.
pub struct Asking<M> {
    pub width: usize,
    pub ask: Sender<M>,
    pub wrap: fn(Question) -> M,
}

impl<M: Send> Executor for Asking<M> {
    fn width(&self) -> usize {
        self.width
    }

    fn run(&self, work: Work) -> Result<Vec<Answer>, FusionError> {
        let (answers, answer) = mpsc::channel();
        self.ask.send((self.wrap)(Question { work, answers })).map_err(|_| Cancelled)?;
        Ok(answer.recv().map_err(|_| Cancelled)?)
    }
}
