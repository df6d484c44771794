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

/// One window of a model, or of several that are made of the same inputs, on its way to their targets.
pub(super) struct Pieces<'a, T> {
    targets: &'a [&'a T],
    layout: &'a Layout,
    not_finite: NotFinite,
    /// Slots of the window's tensors …
    slots: &'a [usize],
    /// … and the same tensors of the part's models.
    inputs: Vec<Vec<TensorRef<'a>>>,
    /// By tensor and block: of each model, and then of each input.
    digests: Mutex<Vec<BTreeMap<usize, Vec<Digest>>>>,
}

thread_local! {
    /// Encoded bytes of one piece.
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl<'a, T: Target> Pieces<'a, T> {
    pub fn new(
        targets: &'a [&'a T],
        layout: &'a Layout,
        not_finite: NotFinite,
        slots: &'a [usize],
        part: &'a Part,
    ) -> Result<Self, WeightsError> {
        let of = |&slot: &usize| {
            part.models().map(|model| model.require(&layout.slots[slot].name)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            targets,
            layout,
            not_finite,
            slots,
            inputs: slots.iter().map(of).collect::<Result<_, _>>()?,
            digests: Mutex::new(vec![BTreeMap::new(); slots.len()]),
        })
    }

    /// For every model, for every slot of the window, the digests of the result and of each input.
    pub fn finish(self) -> Vec<Vec<(usize, Vec<Digest>)>> {
        let digests = self.digests.into_inner().unwrap_or_else(PoisonError::into_inner);
        let models = self.targets.len();
        let kinds = models + self.inputs.first().map_or(0, Vec::len);
        let joined = |blocks: BTreeMap<usize, Vec<Digest>>| -> Vec<Digest> {
            (0..kinds).map(|kind| Digest::join(blocks.values().filter_map(|block| block.get(kind).copied()))).collect()
        };
        let digests: Vec<Vec<Digest>> = digests.into_iter().map(joined).collect();
        let of = |model: usize| -> Vec<(usize, Vec<Digest>)> {
            let own = digests.iter().map(|kinds| [&kinds[model..=model], &kinds[models..]].concat());
            self.slots.iter().copied().zip(own).collect()
        };
        (0..models).map(of).collect()
    }

    /// Hands on the bytes of one block of a model and keeps its digest; with the last model come those of the inputs.
    fn put(&self, model: usize, tensor: usize, start: usize, length: usize, bytes: &[u8]) -> Result<(), FusionError> {
        let slot = self.slots[tensor];
        let mut digests = vec![Digest::of(bytes)];
        if model + 1 == self.targets.len() {
            digests.extend(self.inputs[tensor].iter().map(|input| input.digest(start..start + length)));
        }
        self.targets[model].put(slot, (start * self.layout.slots[slot].dtype.size()) as u64, bytes)?;
        let mut all = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        all[tensor].entry(start).or_default().extend(digests);
        Ok(())
    }
}

impl<T: Target> Sink for Pieces<'_, T> {
    fn floats(&self, model: usize, tensor: usize, offset: usize, values: &mut [f32]) -> Result<(), FusionError> {
        let slot = &self.layout.slots[self.slots[tensor]];
        settle(values, slot.dtype, self.not_finite)
            .map_err(|()| FusionError::NotFinite { tensor: slot.name.clone() })?;
        BYTES.with_borrow_mut(|buffer| {
            self.put(model, tensor, offset, values.len(), slot.dtype.encode_into(values, buffer))
        })
    }

    fn raw(&self, tensor: usize, bytes: &[u8]) -> Result<(), FusionError> {
        let size = self.layout.slots[self.slots[tensor]].dtype.size();
        for (at, block) in bytes.chunks(PIECE * size).enumerate() {
            for model in 0..self.targets.len() {
                self.put(model, tensor, at * PIECE, block.len() / size, block)?;
            }
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
