//! Fusing out of core: window after window, in pieces that are handed on as soon as they are computed.

use super::kernels::chunks::CHUNK;
use super::kernels::rows::{Row, Scratch, rows};
use super::{Context, Examples, Fused, FusionError, Method, PER_TASK, Pool};
use crate::params::ParamSet;
use crate::weights::Data;
use rayon::prelude::*;
use std::ops::Range;

/// Methods that have to see the whole model at once, because what they make of one tensor depends on the result for
/// another; a test holds every other method to give the same by windows as at once.
pub const WHOLE: &[&str] = &["opcm", "trust_region", "tatr", "doge_ta"];

/// Elements in a piece: large enough to be written at once, small enough to stay in a cache until then.
pub const PIECE: usize = 16 * CHUNK;

/// Takes fused values, from several threads at once.
pub trait Sink: Sync {
    /// Elements from `offset` on of the flattened tensor `tensor`, an index into the window's reference; f32, at most
    /// [`PIECE`] of them, and every piece starts at a multiple of that. `model` is the place among the models that were
    /// asked for; those of a piece come one after the other, from the first on.
    ///
    /// # Errors
    /// Whatever stops the fusion.
    fn floats(&self, model: usize, tensor: usize, offset: usize, values: &mut [f32]) -> Result<(), FusionError>;

    /// A buffer that is passed through, whole; the same for all models.
    ///
    /// # Errors
    /// Whatever stops the fusion.
    fn raw(&self, tensor: usize, bytes: &[u8]) -> Result<(), FusionError>;
}

impl Method {
    /// Whether the result can be computed window by window.
    #[must_use]
    pub fn streams(&self) -> bool {
        // What looks at data runs whole networks.
        !WHOLE.contains(&self.id) && self.needs.data == Examples::None
    }

    /// Fuses what `pool` shows (all of the models or a window) and hands it to `sink`: of a method with one model per
    /// task, those of the experts in the slots `experts`, of any other the one result. What is linear is never held: each
    /// piece is computed in a cache and handed on; so are the tasks' models.
    ///
    /// # Errors
    /// As [`Method::run`]; a result that is not one set of weights; whatever the sink returns.
    pub fn stream(
        &self,
        params: &ParamSet,
        pool: &Pool,
        experts: &[usize],
        cx: &mut Context<'_>,
        sink: &impl Sink,
    ) -> Result<(), FusionError> {
        match self.run(params, pool, cx)? {
            Fused::Linear(plan) => {
                let rows = rows(pool)?;
                let table = plan.table(pool, &rows)?;
                stream_chunks(&rows, 1, cx, sink, |_, at, range, out, scratch| {
                    plan.compute_chunk(&rows[at], &table[at], range, out, scratch);
                })
            }
            Fused::PerTask(models) => {
                if experts.is_empty() {
                    return Err(self.not_streamed(PER_TASK));
                }
                let rows = rows(pool)?;
                experts.iter().try_for_each(|&expert| models.check(expert, &rows))?;
                stream_chunks(&rows, experts.len(), cx, sink, |model, at, range, out, scratch| {
                    models.compute_chunk(experts[model], &rows[at], at, range, out, scratch);
                })
            }
            Fused::Weights(mut weights) => {
                let names = pool.reference().map_or(&[][..], |reference| reference.tensors());
                if weights.tensors().len() != names.len()
                    || weights.tensors().iter().zip(names).any(|(ours, info)| ours.name != info.name)
                {
                    return Err(self.not_streamed("its result has other tensors than its models"));
                }
                let cancel = cx.cancel;
                let pieces =
                    weights.tensors_mut().iter_mut().enumerate().flat_map(|(at, tensor)| match &mut tensor.data {
                        Data::Float(values) => values
                            .chunks_mut(PIECE)
                            .enumerate()
                            .map(|(i, out)| (at, i * PIECE, Ok(out)))
                            .collect::<Vec<_>>(),
                        Data::Raw(bytes) => vec![(at, 0, Err(&*bytes))],
                    });
                pieces.collect::<Vec<_>>().into_par_iter().try_for_each(|(at, offset, values)| {
                    cancel.check()?;
                    match values {
                        Ok(values) => sink.floats(0, at, offset, values),
                        Err(bytes) => sink.raw(at, bytes),
                    }
                })
            }
            Fused::Mixture(_) => {
                Err(self.not_streamed("its experts stay apart behind routers: there is no single set of weights"))
            }
            Fused::Ensemble(_) => Err(self.not_streamed("it keeps all its members: there is no single set of weights")),
        }
    }

    fn not_streamed(&self, reason: &str) -> FusionError {
        FusionError::Unusable { method: self.name, reason: reason.to_owned() }
    }
}

/// Hands on the floats that `compute` writes of each of so many `models`, piece by piece, and the buffers of the reference.
fn stream_chunks(
    rows: &[Row<'_>],
    models: usize,
    cx: &Context<'_>,
    sink: &impl Sink,
    compute: impl Fn(usize, usize, &Range<usize>, &mut [f32], &mut Scratch) + Sync,
) -> Result<(), FusionError> {
    let cancel = cx.cancel;
    let pieces = |(at, row): (usize, &Row<'_>)| -> Vec<(usize, usize, usize)> {
        let length = row.info.len();
        if row.info.dtype.is_float() {
            (0..length).step_by(PIECE).map(|start| (at, start, length.min(start + PIECE))).collect()
        } else {
            vec![(at, 0, length)]
        }
    };
    let pieces: Vec<_> = rows.iter().enumerate().flat_map(pieces).collect();
    let empty = || (Scratch::default(), Vec::new());
    pieces.into_par_iter().try_for_each_init(empty, |(scratch, out), (at, start, end)| {
        cancel.check()?;
        let row = &rows[at];
        if !row.info.dtype.is_float() {
            return sink
                .raw(at, row.base.as_ref().or_else(|| row.experts.first()).map_or(&[][..], |tensor| tensor.raw()));
        }
        out.resize(end - start, 0.0);
        for model in 0..models {
            for (index, out) in out.chunks_mut(CHUNK).enumerate() {
                let from = start + index * CHUNK;
                compute(model, at, &(from..from + out.len()), out, scratch);
            }
            sink.floats(model, at, start, out)?;
        }
        Ok(())
    })
}
