//! What is done to every piece of a fused window: checked, rounded once, summed up with its inputs, handed on.

use super::{NotFinite, Part};
use crate::fusion::FusionError;
use crate::fusion::stream::{PIECE, Sink};
use crate::weights::{DType, Digest, Layout, TensorRef, WeightsError};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Where finished bytes go.
pub(super) trait Target: Sync {
    /// Bytes of a slot of the layout, from its byte `offset` on.
    fn put(&self, slot: usize, offset: u64, bytes: &[u8]) -> Result<(), WeightsError>;
}

/// One window on its way to a target.
pub(super) struct Pieces<'a, T> {
    target: &'a T,
    layout: &'a Layout,
    not_finite: NotFinite,
    /// Slots of the window's tensors …
    slots: &'a [usize],
    /// … and the same tensors of the part's models.
    inputs: Vec<Vec<TensorRef<'a>>>,
    /// By tensor and block: of the result, and of each input.
    digests: Mutex<Vec<BTreeMap<usize, Vec<Digest>>>>,
}

thread_local! {
    /// Encoded bytes of one piece.
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl<'a, T: Target> Pieces<'a, T> {
    pub fn new(
        target: &'a T,
        layout: &'a Layout,
        not_finite: NotFinite,
        slots: &'a [usize],
        part: &'a Part,
    ) -> Result<Self, WeightsError> {
        let of = |&slot: &usize| {
            part.models().map(|model| model.require(&layout.slots[slot].name)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            target,
            layout,
            not_finite,
            slots,
            inputs: slots.iter().map(of).collect::<Result<_, _>>()?,
            digests: Mutex::new(vec![BTreeMap::new(); slots.len()]),
        })
    }

    /// For every slot of the window, the digests of the result and of each input.
    pub fn finish(self) -> Vec<(usize, Vec<Digest>)> {
        let digests = self.digests.into_inner().unwrap_or_else(PoisonError::into_inner);
        let models = self.inputs.first().map_or(0, Vec::len) + 1;
        let joined = |blocks: BTreeMap<usize, Vec<Digest>>| {
            (0..models).map(|model| Digest::join(blocks.values().map(|block| block[model]))).collect()
        };
        self.slots.iter().copied().zip(digests.into_iter().map(joined)).collect()
    }

    /// Hands on the bytes of one block and keeps its digests.
    fn put(&self, tensor: usize, start: usize, length: usize, bytes: &[u8]) -> Result<(), FusionError> {
        let slot = self.slots[tensor];
        let mut digests = Vec::with_capacity(self.inputs[tensor].len() + 1);
        digests.push(Digest::of(bytes));
        for input in &self.inputs[tensor] {
            digests.push(input.digest(start..start + length));
        }
        self.target.put(slot, (start * self.layout.slots[slot].dtype.size()) as u64, bytes)?;
        let mut all = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        all[tensor].insert(start, digests);
        Ok(())
    }
}

impl<T: Target> Sink for Pieces<'_, T> {
    fn floats(&self, tensor: usize, offset: usize, values: &mut [f32]) -> Result<(), FusionError> {
        let slot = &self.layout.slots[self.slots[tensor]];
        settle(values, slot.dtype, self.not_finite)
            .map_err(|()| FusionError::NotFinite { tensor: slot.name.clone() })?;
        BYTES.with_borrow_mut(|buffer| self.put(tensor, offset, values.len(), slot.dtype.encode_into(values, buffer)))
    }

    fn raw(&self, tensor: usize, bytes: &[u8]) -> Result<(), FusionError> {
        let size = self.layout.slots[self.slots[tensor]].dtype.size();
        for (at, block) in bytes.chunks(PIECE * size).enumerate() {
            self.put(tensor, at * PIECE, block.len() / size, block)?;
        }
        Ok(())
    }
}

/// Treats values that would be written as infinity or NaN as they are to be treated.
fn settle(values: &mut [f32], dtype: DType, not_finite: NotFinite) -> Result<(), ()> {
    let limit = dtype.overflow_bits();
    let bad = |value: f32| value.to_bits() & 0x7fff_ffff >= limit;
    if not_finite == NotFinite::Keep || !values.iter().fold(false, |any, value| any | bad(*value)) {
        return Ok(());
    }
    if not_finite == NotFinite::Error {
        return Err(());
    }
    values.iter_mut().filter(|value| bad(**value)).for_each(|value| *value = 0.0);
    Ok(())
}
