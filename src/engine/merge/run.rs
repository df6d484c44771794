//! The merge itself: window after window into a draft, which becomes the result when it is whole.

use super::pieces::{Pieces, Target};
use super::provenance::Provenance;
use super::{Inputs, MergeJob, MergePlan, NotFinite, card};
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::fusion::Context;
use crate::weights::{Checkpoint, Digest, Draft, WeightsError, fingerprint, tidy_journal};
use serde::Serialize;
use std::path::{Path, PathBuf};

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

/// A model to be made, and the folder where it goes.
#[derive(Debug, Clone)]
pub struct Work {
    pub job: MergeJob,
    pub plan: MergePlan,
    pub out: PathBuf,
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
    let work = Work { job: job.clone(), plan: plan.clone(), out: out.to_owned() };
    let merged = merge_all(&[work], inputs, cancel, progress)?;
    merged.into_iter().next().ok_or_else(|| EngineError::Panic("nothing was merged".to_owned()))
}

/// Makes several models at once that differ in nothing but the task, as [`merge`] makes one: the inputs are read, and
/// what the tasks share is computed, once for all of them.
///
/// # Errors
/// As [`merge`]. Models that were whole before an error are in their places.
pub fn merge_all(
    works: &[Work],
    inputs: &Inputs,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Merged>, EngineError> {
    let identities: String = inputs.all().map(|input| input.checkpoint.identity()).collect();
    let mut all: Vec<Option<Merged>> = Vec::with_capacity(works.len());
    let (mut missing, mut drafts) = (Vec::new(), Vec::new());
    for (at, work) in works.iter().enumerate() {
        let done = is_done(work, inputs, cancel)?;
        if done.is_some() {
            tidy_journal(&work.out);
        } else {
            missing.push(at);
        }
        all.push(done);
    }
    for work in missing.iter().map(|&at| &works[at]) {
        match Draft::open(&work.out, work.plan.layout.clone(), &identities) {
            Ok(draft) => drafts.push(draft),
            Err(error) => {
                drafts.into_iter().for_each(Draft::abandon);
                return Err(error.into());
            }
        }
    }
    let resumed: Vec<usize> = drafts.iter().map(|draft| draft.done().iter().flatten().count()).collect();
    let wanted: Vec<&Work> = missing.iter().map(|&at| &works[at]).collect();
    match fill(&wanted, inputs, &mut drafts, cancel, progress) {
        Ok(()) => {}
        Err(error) if error.is_cancelled() => return Err(error),
        Err(error) => {
            drafts.into_iter().for_each(Draft::abandon);
            return Err(error);
        }
    }
    for ((at, draft), resumed) in missing.into_iter().zip(drafts).zip(resumed) {
        all[at] = Some(publish(&works[at], inputs, draft, resumed)?);
    }
    Ok(all.into_iter().flatten().collect())
}

/// Puts a draft that is whole in its place.
fn publish(work: &Work, inputs: &Inputs, draft: Draft, resumed: usize) -> Result<Merged, EngineError> {
    let Work { job, plan, out } = work;
    let digests: Vec<Vec<Digest>> = draft.done().iter().flatten().cloned().collect();
    let provenance = Provenance::of(job, inputs).with_fingerprints(fingerprints(inputs, plan, &digests));
    // Fingerprints are of one length, so this is the same layout.
    let layout = plan.layout.with_metadata(&provenance.metadata()).unwrap_or_else(|| plan.layout.clone());
    let beside = card::beside(job, inputs, &provenance, plan, out);
    draft.publish(&layout, &beside)?;
    Ok(Merged { resumed, tensors: plan.tensors, existed: false, provenance: provenance.parents })
}

fn fill(
    works: &[&Work],
    inputs: &Inputs,
    drafts: &mut [Draft],
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), EngineError> {
    // They differ in the task, which nothing here depends on.
    let Some(&Work { job, plan, .. }) = works.first() else { return Ok(()) };
    let jobs: Vec<&MergeJob> = works.iter().map(|work| &work.job).collect();
    let of_one: u64 = plan.layout.slots.iter().map(|slot| slot.bytes).sum();
    let total = of_one * works.len() as u64;
    let finished = |drafts: &[Draft]| {
        let done = drafts.iter().flat_map(|draft| draft.done().iter().zip(&plan.layout.slots));
        done.filter(|(done, _)| done.is_some()).map(|(_, slot)| slot.bytes).sum()
    };
    progress(finished(drafts), total);
    for part in 0..plan.parts.len() {
        let mut silent = |_, _| {};
        let mut cx = context(job, plan, cancel, &mut silent);
        for window in plan.windows_of(part) {
            // What one of them lacks is written to all: the same bytes once more.
            let lacking = |&slot: &usize| drafts.iter().any(|draft| draft.done()[slot].is_none());
            let slots: Vec<usize> = window.iter().copied().filter(lacking).collect();
            if slots.is_empty() {
                continue;
            }
            let targets: Vec<&Draft> = drafts.iter().collect();
            let digests = stream(&jobs, plan, part, &slots, &targets, &mut cx)?;
            inputs.check_unchanged()?;
            for (draft, digests) in drafts.iter_mut().zip(digests) {
                draft.finish(digests)?;
            }
            progress(finished(drafts), total);
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

/// Fuses some slots of a part for jobs that differ in the task, and hands each job's to its target; for each of them the
/// digests come back.
pub(super) fn stream<T: Target>(
    jobs: &[&MergeJob],
    plan: &MergePlan,
    part: usize,
    slots: &[usize],
    targets: &[&T],
    cx: &mut Context<'_>,
) -> Result<Vec<Vec<(usize, Vec<Digest>)>>, EngineError> {
    let names: Vec<&str> = slots.iter().map(|&slot| plan.layout.slots[slot].name.as_str()).collect();
    let part = &plan.parts[part];
    let window = part.pool.window(names.iter().copied());
    let not_finite = jobs.first().map_or(NotFinite::Error, |job| job.not_finite);
    let pieces = Pieces::new(targets, &plan.layout, not_finite, slots, part)?;
    let slot = |task: &String| part.pool.experts().iter().position(|(name, _)| name == task);
    let experts: Option<Vec<usize>> = jobs.iter().map(|job| job.task.as_ref().and_then(slot)).collect();
    part.method.stream(&part.params, &window, &experts.unwrap_or_default(), cx, &pieces)?;
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

/// Whether its folder is the result already: of the same recipe and of parents with the same contents.
fn is_done(work: &Work, inputs: &Inputs, cancel: &Cancel) -> Result<Option<Merged>, EngineError> {
    let Work { job, plan, out } = work;
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
