//! The same tensor of every model of a pool, side by side.

use crate::fusion::{FusionError, Pool};
use crate::weights::{Data, StateDict, Tensor, TensorInfo, TensorRef};
use rayon::prelude::*;
use std::ops::Range;

/// One tensor: as the reference describes it, of the base, and of every expert.
#[derive(Debug)]
pub(in crate::fusion) struct Row<'a> {
    pub info: &'a TensorInfo,
    pub base: Option<TensorRef<'a>>,
    pub experts: Vec<TensorRef<'a>>,
}

/// All tensors of a pool, in the reference's order.
///
/// # Errors
/// When a model lacks a tensor that the reference has.
pub(in crate::fusion) fn rows<'a>(pool: &'a Pool) -> Result<Vec<Row<'a>>, FusionError> {
    let Some(reference) = pool.reference() else { return Ok(Vec::new()) };
    let row = |info: &'a TensorInfo| -> Result<Row<'a>, FusionError> {
        let base = pool.base().map(|base| base.require(&info.name)).transpose()?;
        let experts = pool.experts().iter().map(|(_, expert)| expert.require(&info.name)).collect::<Result<_, _>>()?;
        Ok(Row { info, base, experts })
    };
    reference.tensors().iter().map(row).collect()
}

/// The fused model before fusion: floats zero, integer buffers as the reference has them.
pub(in crate::fusion) fn blank(rows: &[Row<'_>]) -> StateDict {
    let tensor = |row: &Row<'_>| {
        let raw = row.base.as_ref().or_else(|| row.experts.first()).map_or(&[][..], TensorRef::raw);
        let floats = row.info.dtype.is_float();
        Tensor {
            name: row.info.name.clone(),
            shape: row.info.shape.clone(),
            dtype: row.info.dtype.written(),
            data: if floats { Data::Float(vec![0.0; row.info.len()]) } else { Data::Raw(raw.to_vec()) },
        }
    };
    // In parallel: on Linux most of the work is the kernel's, making pages.
    StateDict::new(rows.par_iter().map(tensor).collect())
}

/// Elements of a tensor that belong to one output: the weights of a row, or all of a vector.
pub(in crate::fusion) fn row_length(info: &TensorInfo) -> usize {
    match info.shape.as_slice() {
        [_, rest @ ..] if !rest.is_empty() => rest.iter().product(),
        _ => info.len(),
    }
}

/// Buffers of one worker, kept from chunk to chunk.
#[derive(Debug, Default)]
pub(in crate::fusion) struct Scratch {
    pub decode: Decode,
    pub work: Work,
}

/// Where models that are not stored as f32 are decoded; unused for those that are.
#[derive(Debug, Default)]
pub(in crate::fusion) struct Decode {
    base: Vec<f32>,
    experts: Vec<Vec<f32>>,
}

/// Room for what a kernel computes on the way.
#[derive(Debug, Default)]
pub(in crate::fusion) struct Work {
    /// One expert's task vector.
    pub delta: Vec<f32>,
    /// Which of its elements are kept.
    pub keep: Vec<bool>,
    /// What is kept of all task vectors, expert after expert.
    pub kept: Vec<f32>,
    /// The probability of each element to be dropped.
    pub drops: Vec<f32>,
    /// The elements of a row, in order of their magnitudes.
    pub order: Vec<u32>,
    /// The election's sums, and what the merged elements are divided by.
    pub election: [Vec<f32>; 2],
}

/// So many experts are handed to a kernel without a heap allocation.
const INLINE: usize = 16;

impl Row<'_> {
    /// Calls `kernel` with the elements `range` of the base (empty when there is none) and of the experts in `slots`.
    pub(in crate::fusion) fn read<R>(
        &self,
        slots: &[usize],
        range: &Range<usize>,
        decode: &mut Decode,
        kernel: impl FnOnce(&[f32], &[&[f32]]) -> R,
    ) -> R {
        decode.experts.resize_with(self.experts.len(), Vec::new);
        let base = self.base.as_ref().map_or(&[][..], |base| base.read(range.clone(), &mut decode.base));
        let slices =
            slots.iter().zip(&mut decode.experts).map(|(&slot, own)| self.experts[slot].read(range.clone(), own));
        if slots.len() > INLINE {
            return kernel(base, &slices.collect::<Vec<_>>());
        }
        let mut inline: [&[f32]; INLINE] = [&[]; INLINE];
        inline.iter_mut().zip(slices).for_each(|(slot, slice)| *slot = slice);
        kernel(base, &inline[..slots.len()])
    }
}
