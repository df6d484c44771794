//! The merge itself: window after window into a draft, which becomes the result when it is whole.

use super::pieces::{Pieces, Target};
use super::provenance::Provenance;
use super::{Inputs, MergeJob, MergePlan, NotFinite, card};
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::fusion::Context;
use crate::weights::{Checkpoint, Digest, Draft, WeightsError, fingerprint, tidy_journal};
use serde::Serialize;
use std::path::Path;

/// What became of a merge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// Tensors that an interrupted run had written already.
    pub resumed: usize,
    pub tensors: usize,
    /// Whether the result was there before, from the same recipe and the same parents.
    pub existed: bool,
    #[serde(skip)]
    pub provenance: Vec<super::Parent>,
}

impl Target for Draft {
    fn put(&self, slot: usize, offset: u64, bytes: &[u8]) -> Result<(), WeightsError> {
        self.write(slot, offset, bytes)
    }
}

/// Merges `inputs` into the folder `out`; `progress` is called with bytes written, of all.
///
/// Killed, it goes on at the first missing tensor when it is called again; cancelled too. After any other error nothing
/// is left behind.
///
/// # Errors
/// A result that is not finite, inputs that change meanwhile, a target that cannot be written, cancellation.
pub fn merge(
    job: &MergeJob,
    inputs: &Inputs,
    plan: &MergePlan,
    out: &Path,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Merged, EngineError> {
    if let Some(merged) = is_done(job, inputs, plan, out, cancel)? {
        tidy_journal(out);
        return Ok(merged);
    }
    let identities: String = inputs.all().map(|input| input.checkpoint.identity()).collect();
    let mut draft = Draft::open(out, plan.layout.clone(), &identities)?;
    let resumed = draft.done().iter().flatten().count();
    match fill(job, inputs, plan, &mut draft, cancel, progress) {
        Ok(()) => {}
        Err(error) if error.is_cancelled() => return Err(error),
        Err(error) => {
            draft.abandon();
            return Err(error);
        }
    }
    let digests: Vec<Vec<Digest>> = draft.done().iter().flatten().cloned().collect();
    let provenance = Provenance::of(job, inputs).with_fingerprints(fingerprints(inputs, plan, &digests));
    // Fingerprints are of one length, so this is the same layout.
    let layout = plan.layout.with_metadata(&provenance.metadata()).unwrap_or_else(|| plan.layout.clone());
    let beside = card::beside(job, inputs, &provenance, plan, out);
    draft.publish(&layout, &beside)?;
    Ok(Merged { resumed, tensors: plan.tensors, existed: false, provenance: provenance.parents })
}

fn fill(
    job: &MergeJob,
    inputs: &Inputs,
    plan: &MergePlan,
    draft: &mut Draft,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), EngineError> {
    let total: u64 = plan.layout.slots.iter().map(|slot| slot.bytes).sum();
    let finished = |draft: &Draft| {
        let done = draft.done().iter().zip(&plan.layout.slots).filter(|(done, _)| done.is_some());
        done.map(|(_, slot)| slot.bytes).sum()
    };
    progress(finished(draft), total);
    for part in 0..plan.parts.len() {
        let mut silent = |_, _| {};
        let mut cx = context(job, plan, cancel, &mut silent);
        for window in plan.windows_of(part) {
            let slots: Vec<usize> = window.iter().copied().filter(|&slot| draft.done()[slot].is_none()).collect();
            if slots.is_empty() {
                continue;
            }
            let digests = stream(job, plan, part, &slots, &*draft, &mut cx)?;
            inputs.check_unchanged()?;
            draft.finish(digests)?;
            progress(finished(draft), total);
        }
    }
    cancel.check()?;
    Ok(inputs.check_unchanged()?)
}

/// What one part is fused in.
pub(super) fn context<'a>(
    job: &MergeJob,
    plan: &MergePlan,
    cancel: &'a Cancel,
    progress: &'a mut dyn FnMut(usize, usize),
) -> Context<'a> {
    let mut cx = Context::new(cancel, progress);
    cx.lenient = job.not_finite != NotFinite::Error;
    cx.partial = plan.several;
    cx
}

/// Fuses some slots of a part and hands them to `target`; their digests come back.
pub(super) fn stream<T: Target>(
    job: &MergeJob,
    plan: &MergePlan,
    part: usize,
    slots: &[usize],
    target: &T,
    cx: &mut Context<'_>,
) -> Result<Vec<(usize, Vec<Digest>)>, EngineError> {
    let names: Vec<&str> = slots.iter().map(|&slot| plan.layout.slots[slot].name.as_str()).collect();
    let part = &plan.parts[part];
    let window = part.pool.window(names.iter().copied());
    let pieces = Pieces::new(target, &plan.layout, job.not_finite, slots, part)?;
    let slot = |task: &String| part.pool.experts().iter().position(|(name, _)| name == task);
    let expert = job.task.as_ref().and_then(slot);
    part.method.stream(&part.params, &window, expert, cx, &pieces)?;
    Ok(pieces.finish())
}

/// Each input's fingerprint, from the digests of all slots: of the result first, then of each model of its part.
pub(super) fn fingerprints(inputs: &Inputs, plan: &MergePlan, digests: &[Vec<Digest>]) -> Vec<String> {
    let of = |input: usize| {
        let tensor = |(slot, digests): (usize, &Vec<Digest>)| {
            let part = &plan.parts[plan.part_of[slot]];
            let model = part.inputs.iter().position(|&of| of == input)?;
            let info = part.models().nth(model)?.get(&plan.layout.slots[slot].name)?.info;
            Some((info, *digests.get(model + 1)?))
        };
        fingerprint(digests.iter().enumerate().filter_map(tensor))
    };
    (0..inputs.all().count()).map(of).collect()
}

/// Whether `out` is the result already: of the same recipe and of parents with the same contents.
fn is_done(
    job: &MergeJob,
    inputs: &Inputs,
    plan: &MergePlan,
    out: &Path,
    cancel: &Cancel,
) -> Result<Option<Merged>, EngineError> {
    let Ok(existing) = Checkpoint::open(out) else { return Ok(None) };
    let Ok(recorded) = Provenance::read(&existing) else { return Ok(None) };
    let blank =
        |provenance: &Provenance| provenance.clone().with_fingerprints(vec![String::new(); provenance.parents.len()]);
    if blank(&recorded) != blank(&Provenance::of(job, inputs)) {
        return Ok(None);
    }
    let mut digests = Vec::with_capacity(plan.layout.slots.len());
    for (slot, &part) in plan.layout.slots.iter().zip(&plan.part_of) {
        cancel.check()?;
        let mut of_slot = vec![Digest::default()];
        for model in plan.parts[part].models() {
            of_slot.push(model.require(&slot.name)?.whole_digest());
        }
        digests.push(of_slot);
    }
    let known = recorded.parents.iter().map(|parent| &parent.fingerprint);
    if !fingerprints(inputs, plan, &digests).iter().eq(known) {
        return Ok(None);
    }
    Ok(Some(Merged { resumed: 0, tensors: plan.tensors, existed: true, provenance: recorded.parents }))
}
