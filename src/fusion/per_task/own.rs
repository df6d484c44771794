//! What one expert keeps of one tensor.

use crate::fusion::kernels::bits::Bits;
use crate::fusion::kernels::superposition::retrieve;
use crate::weights::TensorInfo;

/// How an expert's tensor is made of the base θ₀, of what all tasks share, and of what is here.
#[derive(Debug, Clone, PartialEq)]
pub enum Own {
    /// θ₀: nothing is kept.
    Base,
    /// θ₀ + scale · mask∘shared
    Masked { mask: Bits, scale: f32 },
    /// θ₀ + scale · signs∘shared, the shared tensor being that in place `source`; a sign for each column of the last
    /// dimension, made again from a seed whenever it is needed. Without signs: all of them plus.
    Flipped { source: usize, signs: Vec<f32>, scale: f32 },
    /// θ₀ ± scale
    Signs { signs: Bits, scale: f32 },
    /// θ₀ + scale · mask∘(θ − θ₀): some of the expert's changes as they are, read from its checkpoint.
    Kept { mask: Bits, scale: f32 },
    /// θ: the expert's own values, read from its checkpoint.
    Whole,
}

/// Bytes of a scale.
const SCALE: u64 = 4;

impl Own {
    /// Whether values of the expert itself are needed.
    pub(super) fn reads_the_expert(&self) -> bool {
        matches!(self, Self::Kept { .. } | Self::Whole)
    }

    /// Writes the elements of a chunk that begins at `start`; `shared` gives the chunk of a shared tensor.
    pub(super) fn write<'s>(
        &self,
        tensor: usize,
        start: usize,
        base: &[f32],
        expert: &[f32],
        shared: &dyn Fn(usize) -> &'s [f32],
        out: &mut [f32],
    ) {
        match self {
            Self::Base => out.copy_from_slice(base),
            Self::Whole => out.copy_from_slice(expert),
            Self::Masked { mask, scale } => mask.add_masked(start, base, shared(tensor), *scale, out),
            Self::Kept { mask, scale } => mask.add_kept(start, base, expert, *scale, out),
            Self::Signs { signs, scale } => signs.add_signs(start, base, *scale, out),
            Self::Flipped { source, signs, scale } => {
                retrieve(base, shared(*source), start, signs, *scale, out);
            }
        }
    }

    /// Bytes to store: bits packed, the expert's values in their own dtype. What a seed makes again takes none.
    pub(super) fn bytes(&self, info: &TensorInfo) -> u64 {
        match self {
            Self::Base => 0,
            Self::Masked { mask: bits, .. } | Self::Signs { signs: bits, .. } => bits.bytes() + SCALE,
            Self::Flipped { .. } => SCALE,
            Self::Kept { mask, .. } => mask.bytes() + (info.dtype.size() * mask.count()) as u64 + SCALE,
            Self::Whole => info.bytes() as u64,
        }
    }
}
