//! Methods that look at one whole tensor of all models at a time: several tensors at once, the largest first.

use super::chunks::check_finite;
use super::rows::{Row, blank, rows};
use super::spectral::{Dense, NoConvergence};
use crate::cancel::Cancel;
use crate::fusion::{Context, FusionError, Pool};
use crate::weights::{Data, StateDict, Tensor, TensorRef};
use rayon::prelude::*;
use std::sync::mpsc;

/// One float tensor of every model.
pub(in crate::fusion) struct Task<'a> {
    pub row: &'a Row<'a>,
    /// The method's name, for messages.
    method: &'static str,
    pub cancel: &'a Cancel,
}

/// The model that `body` computes, tensor by tensor, in no particular order; `body` fills the last argument.
///
/// Memory: what `body` holds of one tensor, for each core.
///
/// # Errors
/// Cancellation, before the next tensor and whenever `body` asks; a result that is not finite; what `body` returns.
pub(in crate::fusion) fn each_tensor(
    method: &'static str,
    pool: &Pool,
    cx: &mut Context<'_>,
    body: impl Fn(&Task<'_>, &mut [f32]) -> Result<(), FusionError> + Sync,
) -> Result<StateDict, FusionError> {
    let rows = rows(pool)?;
    let mut fused = blank(&rows);
    let (cancel, lenient, total) = (cx.cancel, cx.lenient, rows.len());
    let mut work: Vec<(&Row<'_>, &mut Tensor)> = rows.iter().zip(fused.tensors_mut()).collect();
    // The longest last would leave the other cores idle.
    work.sort_by_key(|(row, _)| std::cmp::Reverse(row.info.len()));
    let (sender, done) = mpsc::channel();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            work.into_iter().par_bridge().try_for_each_with(sender, |sender, (row, tensor)| {
                cancel.check()?;
                if let Data::Float(out) = &mut tensor.data {
                    body(&Task::new(row, method, cancel), out)?;
                    if !lenient {
                        check_finite(out, tensor.dtype, &tensor.name)?;
                    }
                }
                // Nobody listens any more when another tensor has failed.
                let _ = sender.send(());
                Ok::<(), FusionError>(())
            })
        });
        for (count, ()) in done.iter().enumerate() {
            (cx.progress)(count + 1, total);
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    Ok(fused)
}

impl<'a> Task<'a> {
    pub(in crate::fusion) fn new(row: &'a Row<'a>, method: &'static str, cancel: &'a Cancel) -> Self {
        Self { row, method, cancel }
    }
}

impl Task<'_> {
    /// The method's name, for messages.
    pub(in crate::fusion) fn method(&self) -> &'static str {
        self.method
    }

    pub(in crate::fusion) fn experts(&self) -> usize {
        self.row.experts.len()
    }

    pub(in crate::fusion) fn name(&self) -> &str {
        &self.row.info.name
    }

    /// Whether it has singular values: two dimensions, and something in them.
    pub(in crate::fusion) fn is_matrix(&self) -> bool {
        self.row.info.shape.len() == 2 && !self.row.info.is_empty()
    }

    /// The base's values.
    pub(in crate::fusion) fn base(&self) -> Vec<f32> {
        self.row.base.as_ref().map_or_else(|| vec![0.0; self.row.info.len()], |base| base.to_vec())
    }

    /// One expert's task vector, in f64, so that the difference is exact.
    ///
    /// # Errors
    /// Cancellation; numbers that are not finite.
    pub(in crate::fusion) fn delta(&self, expert: usize) -> Result<Dense, FusionError> {
        self.difference(expert, self.row.base.as_ref())
    }

    /// One expert's values, in f64.
    ///
    /// # Errors
    /// Cancellation; numbers that are not finite.
    pub(in crate::fusion) fn expert(&self, expert: usize) -> Result<Dense, FusionError> {
        self.difference(expert, None)
    }

    fn difference(&self, expert: usize, base: Option<&TensorRef<'_>>) -> Result<Dense, FusionError> {
        self.cancel.check()?;
        let info = self.row.info;
        let (mut own, mut buffer) = (Vec::new(), Vec::new());
        let values = self.row.experts[expert].read(0..info.len(), &mut own);
        let base = base.map(|base| base.read(0..info.len(), &mut buffer));
        let mut delta = Dense::like(info);
        match base {
            Some(base) => {
                let pairs = values.iter().zip(base);
                delta.values.iter_mut().zip(pairs).for_each(|(x, (a, b))| *x = f64::from(*a) - f64::from(*b));
            }
            None => delta.values.iter_mut().zip(values).for_each(|(x, a)| *x = f64::from(*a)),
        }
        if delta.values.iter().all(|x| x.is_finite()) {
            Ok(delta)
        } else {
            Err(FusionError::NotFinite { tensor: info.name.clone() })
        }
    }

    /// All task vectors.
    ///
    /// # Errors
    /// As [`Task::delta`].
    pub(in crate::fusion) fn deltas(&self) -> Result<Vec<Dense>, FusionError> {
        (0..self.experts()).map(|expert| self.delta(expert)).collect()
    }

    /// Σ factor · task vector; one factor an expert.
    ///
    /// # Errors
    /// As [`Task::delta`].
    pub(in crate::fusion) fn sum(&self, factors: impl Fn(usize) -> f64) -> Result<Dense, FusionError> {
        let mut sum = Dense::like(self.row.info);
        for expert in 0..self.experts() {
            sum.add(factors(expert), &self.delta(expert)?);
        }
        Ok(sum)
    }

    /// The mean of the task vectors.
    ///
    /// # Errors
    /// As [`Task::delta`].
    pub(in crate::fusion) fn mean(&self) -> Result<Dense, FusionError> {
        let share = 1.0 / self.experts() as f64;
        self.sum(|_| share)
    }

    /// out = base + factor · delta, rounded once.
    pub(in crate::fusion) fn write(&self, factor: f64, delta: &Dense, out: &mut [f32]) {
        let mut buffer = Vec::new();
        match self.row.base.as_ref().map(|base| base.read(0..out.len(), &mut buffer)) {
            Some(base) => {
                let pairs = base.iter().zip(&delta.values);
                out.iter_mut().zip(pairs).for_each(|(out, (b, d))| *out = (f64::from(*b) + factor * d) as f32);
            }
            None => out.iter_mut().zip(&delta.values).for_each(|(out, d)| *out = (factor * d) as f32),
        }
    }

    /// Names the tensor whose singular values were not found.
    pub(in crate::fusion) fn solved<T>(&self, result: Result<T, NoConvergence>) -> Result<T, FusionError> {
        let reason = || format!("the singular values of `{}` were not found: no convergence", self.name());
        result.map_err(|NoConvergence| FusionError::Unusable { method: self.method, reason: reason() })
    }
}
