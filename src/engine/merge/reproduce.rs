//! Making a checkpoint again from what its metadata says, and comparing.

use super::pieces::Target;
use super::provenance::Provenance;
use super::run::{context, fingerprints, stream};
use super::{Inputs, MergePlan, Options};
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::weights::{Checkpoint, Digest, Layout, WeightsError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A tensor that came out differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    pub tensor: String,
    /// Pieces of it that are not the same.
    pub pieces: usize,
}

/// What came out of making a checkpoint again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub method: String,
    pub tensors: usize,
    pub differences: Vec<Difference>,
    /// Parents whose weights are not those that were merged.
    pub changed_parents: Vec<String>,
}

impl Comparison {
    /// Whether everything is as it was.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.differences.is_empty() && self.changed_parents.is_empty()
    }
}

/// Compares what is computed with what a file holds.
struct Compare<'a> {
    existing: &'a Checkpoint,
    layout: &'a Layout,
    different: Mutex<BTreeMap<usize, usize>>,
}

impl Target for Compare<'_> {
    fn put(&self, slot: usize, offset: u64, bytes: &[u8]) -> Result<(), WeightsError> {
        let tensor = self.existing.require(&self.layout.slots[slot].name)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if tensor.raw().get(start..start.saturating_add(bytes.len())) != Some(bytes) {
            *self.different.lock().unwrap_or_else(PoisonError::into_inner).entry(slot).or_default() += 1;
        }
        Ok(())
    }
}

/// Makes the checkpoint at `path` again and compares it, tensor by tensor; nothing is written. `base` and `experts`
/// (`NAME=WHERE`) say where parents lie now that are not where the metadata says.
///
/// # Errors
/// A checkpoint without a record, parents that are not there, whatever fusing reports, cancellation.
pub fn reproduce(
    path: &Path,
    base: Option<&str>,
    experts: &[String],
    memory: u64,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Comparison, EngineError> {
    let existing = Checkpoint::open(path)?;
    let recorded = Provenance::read(&existing)?;
    let job = recorded.job(memory)?;
    let inputs = open(&recorded, base, experts)?;
    let plan = MergePlan::new(&job, &inputs, None)?;
    // Other tensors than the recipe gives are differences that fusing cannot see.
    let layout = &plan.layout;
    let mut differences: Vec<Difference> = Vec::new();
    let expected: BTreeMap<&str, _> =
        layout.slots.iter().map(|slot| (slot.name.as_str(), (&slot.shape, slot.dtype))).collect();
    for info in existing.tensors() {
        if expected.get(info.name.as_str()) != Some(&(&info.shape, info.dtype)) {
            differences.push(Difference { tensor: info.name.clone(), pieces: 1 });
        }
    }
    let compare = Compare { existing: &existing, layout, different: Mutex::default() };
    let mut digests: Vec<Option<Vec<Digest>>> = vec![None; layout.slots.len()];
    let (mut done, total) = (0, layout.slots.iter().map(|slot| slot.bytes).sum());
    for part in 0..plan.parts.len() {
        let mut silent = |_, _| {};
        let mut cx = context(&job, &plan, cancel, &mut silent);
        for slots in plan.windows_of(part) {
            cancel.check()?;
            let fused = stream(&[&job], &plan, part, slots, &[&compare], &mut cx)?;
            for (slot, of_slot) in fused.into_iter().flatten() {
                done += layout.slots[slot].bytes;
                digests[slot] = Some(of_slot);
            }
            inputs.check_unchanged()?;
            progress(done, total);
        }
    }
    let digests: Vec<Vec<Digest>> = digests.into_iter().flatten().collect();
    let parents = recorded.parents.iter().zip(fingerprints(&inputs, &plan, &digests));
    let changed = parents.filter(|(parent, now)| parent.fingerprint != *now).map(|(parent, _)| parent.name.clone());
    let different = compare.different.into_inner().unwrap_or_else(PoisonError::into_inner);
    let difference = |(slot, pieces): (usize, usize)| Difference { tensor: layout.slots[slot].name.clone(), pieces };
    differences.extend(different.into_iter().map(difference));
    Ok(Comparison {
        method: job.method.id.to_owned(),
        tensors: plan.tensors,
        differences,
        changed_parents: changed.collect(),
    })
}

/// The parents, where they were or where they are said to be now.
fn open(recorded: &Provenance, base: Option<&str>, experts: &[String]) -> Result<Inputs, EngineError> {
    let (recorded_base, recorded_experts) = recorded.parents.split_at(usize::from(recorded.has_base));
    let base = recorded_base.first().map(|parent| base.unwrap_or(&parent.from));
    let place = |parent: &super::Parent| {
        let start = format!("{}=", parent.name);
        let moved = experts.iter().find(|text| text.starts_with(&start));
        moved.cloned().unwrap_or_else(|| format!("{start}{}", parent.from))
    };
    let places: Vec<String> = recorded_experts.iter().map(place).collect();
    let options = Options { vocab: recorded.recipe.vocab, scratch: std::env::temp_dir() };
    let Some(document) = &recorded.recipe.document else { return Inputs::open_with(base, &places, &options) };
    // The document names models as it did when it was read; they may be elsewhere now.
    let mut document = document.clone();
    let names: Vec<String> = document.references().iter().map(|&reference| reference.to_owned()).collect();
    let now: Vec<String> =
        base.into_iter().map(str::to_owned).chain(places.iter().map(|place| unnamed(place))).collect();
    document.map_references(&mut |reference| {
        if let Some(place) = names.iter().position(|name| name == reference).and_then(|at| now.get(at)) {
            reference.clone_from(place);
        }
    });
    Inputs::of_document(&document, Some(&recorded.recipe.experts), &options)
}

/// A place without the name before it.
fn unnamed(place: &str) -> String {
    place.split_once('=').map_or(place, |(_, place)| place).to_owned()
}
