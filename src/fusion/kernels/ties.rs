//! Trim, elect signs, merge what agrees; over the whole model, without holding any task vector.

use super::accumulate::subtract;
use super::chunks::{Piece, for_chunks, map_chunks};
use super::dare::Dare;
pub(in crate::fusion) use super::disjoint::Merge;
use super::disjoint::{elect, merge, trim};
use super::rows::{Row, Scratch, blank, rows};
use super::select::{Deltas, kth_magnitudes};
use crate::fusion::{Context, FusionError, MaskSource, Pool, SeededMasks};
use crate::weights::StateDict;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

/// Reads the option of the parameter `merge`.
pub(in crate::fusion) fn merge_rule(name: &str) -> Merge {
    match name {
        "mean" => Merge::Mean,
        "max" => Merge::Max,
        _ => Merge::Sum,
    }
}

/// What TIES is told to do.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::fusion) struct Ties {
    pub scaling: f32,
    /// Share of the entries that each expert keeps, over the whole model.
    pub density: f64,
    pub merge: Merge,
    /// Thins the task vectors out before they are trimmed.
    pub dare: Option<Dare>,
}

/// Elements that are worked on at a time: T task vectors of so many elements stay in the second-level cache.
const BLOCK: usize = 2048;

impl Ties {
    /// The fused model.
    ///
    /// # Errors
    /// Task vectors or results that are not finite; cancellation.
    pub(in crate::fusion) fn fuse(&self, pool: &Pool, cx: &mut Context<'_>) -> Result<StateDict, FusionError> {
        let rows = rows(pool)?;
        let seeded = SeededMasks { seed: self.dare.map_or(0, |dare| dare.seed) };
        let masks = cx.masks.unwrap_or(&seeded);
        let vectors = TaskVectors { rows: &rows, all: (0..pool.experts().len()).collect(), dare: self.dare, masks };
        let survey = cx.survey(pool, |whole, cx| Survey::of(self, whole, masks, cx))?;
        let thresholds = &survey.thresholds;

        let mut fused = blank(&rows);
        let votes = AtomicI64::new(survey.counter_votes);
        let undecided = Mutex::new(HashSet::new());
        for_chunks(
            fused.tensors_mut(),
            |_| true,
            cx,
            |piece, out, scratch| {
                let (elected, cancelled) = self.merge_piece(&vectors, thresholds, piece, 0, out, scratch);
                votes.fetch_add(elected, Ordering::Relaxed);
                if cancelled && let Ok(mut undecided) = undecided.lock() {
                    undecided.insert((piece.tensor, piece.range.start));
                }
                Ok(())
            },
        )?;
        // Where the kept entries cancel exactly, the majority over the whole model decides, which only now is known.
        let undecided = undecided.into_inner().unwrap_or_default();
        if !undecided.is_empty() {
            let majority = if pool.is_window() {
                cx.survey(pool, |whole, cx| self.majority(whole, &survey, masks, cx))?.0
            } else {
                votes.into_inner().signum()
            };
            let tensors: HashSet<usize> = undecided.iter().map(|(tensor, _)| *tensor).collect();
            for_chunks(
                fused.tensors_mut(),
                |at| tensors.contains(&at),
                cx,
                |piece, out, scratch| {
                    if undecided.contains(&(piece.tensor, piece.range.start)) {
                        self.merge_piece(&vectors, thresholds, piece, majority, out, scratch);
                    }
                    Ok(())
                },
            )?;
        }
        Ok(fused)
    }

    /// The majority of the elected signs over the whole model, for those windows that have elements without one.
    fn majority(
        &self,
        whole: &Pool,
        survey: &Survey,
        masks: &dyn MaskSource,
        cx: &mut Context<'_>,
    ) -> Result<Majority, FusionError> {
        let rows = rows(whole)?;
        let vectors = TaskVectors { rows: &rows, all: (0..whole.experts().len()).collect(), dare: self.dare, masks };
        let lengths = rows.iter().enumerate().filter(|(_, row)| row.info.dtype.is_float());
        let votes = map_chunks(lengths.map(|(at, row)| (at, row.info.len())), cx.cancel, |piece, scratch| {
            let mut out = vec![0.0; piece.range.len()];
            self.merge_piece(&vectors, &survey.thresholds, piece, 0, &mut out, scratch).0
        })?;
        let votes: i64 = votes.into_iter().map(|(_, votes)| votes).sum();
        Ok(Majority((survey.counter_votes + votes).signum()))
    }

    /// Merges one chunk; `majority` is the sign of those elements whose kept entries cancel.
    fn merge_piece(
        &self,
        vectors: &TaskVectors<'_>,
        thresholds: &[f32],
        piece: &Piece,
        majority: i64,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) -> (i64, bool) {
        let (mut votes, mut cancelled) = (0, false);
        let mut kept = std::mem::take(&mut scratch.work.kept);
        for (index, out) in out.chunks_mut(BLOCK).enumerate() {
            let start = piece.range.start + index * BLOCK;
            let length = out.len();
            let block = Piece { tensor: piece.tensor, range: start..start + length };
            kept.resize(thresholds.len() * length, 0.0);
            let (mut sum, mut size, mut values) = ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
            vectors.visit_with_base(&block, scratch, &mut |base, expert, delta| {
                if expert == 0 {
                    values[..length].copy_from_slice(base);
                }
                let kept = &mut kept[expert * length..][..length];
                trim(delta, thresholds[expert], kept, &mut sum[..length], &mut size[..length]);
            });
            let (signs, size) = (&mut sum[..length], &mut size[..length]);
            let tally = elect(signs, size);
            votes += i64::from(tally.votes);
            if tally.cancelled > 0 {
                cancelled = true;
                // Zero where nothing is kept too, but there the sign makes no difference.
                signs.iter_mut().filter(|sign| **sign == 0.0).for_each(|sign| *sign = majority as f32);
            }
            size.fill(0.0);
            merge(self.merge, &kept, signs, &values[..length], self.scaling, size, out);
        }
        scratch.work.kept = kept;
        (votes, cancelled)
    }
}

/// What has to be known of the whole model before any part of it can be merged.
struct Survey {
    /// The magnitude from which on each expert's entries are kept.
    thresholds: Vec<f32>,
    counter_votes: i64,
}

/// The sign that most elements of the whole model have elected.
struct Majority(i64);

impl Survey {
    fn of(ties: &Ties, whole: &Pool, masks: &dyn MaskSource, cx: &mut Context<'_>) -> Result<Self, FusionError> {
        let rows = rows(whole)?;
        let vectors = TaskVectors { rows: &rows, all: (0..whole.experts().len()).collect(), dare: ties.dare, masks };
        let counters = vectors.counters();
        let thresholds = vectors.thresholds(ties.density, &counters, cx)?;
        Ok(Self { counter_votes: vote_of_counters(&counters, &thresholds), thresholds })
    }
}

/// The sign votes of integer counters, which take part in trimming and voting but are not merged.
fn vote_of_counters(counters: &[Vec<f32>], thresholds: &[f32]) -> i64 {
    let elements = counters.first().map_or(0, Vec::len);
    let vote = |at: usize| {
        let kept =
            |(deltas, &threshold): (&Vec<f32>, &f32)| if deltas[at].abs() >= threshold { deltas[at] } else { 0.0 };
        let sum: f32 = counters.iter().zip(thresholds).map(kept).sum();
        i64::from(sum > 0.0) - i64::from(sum < 0.0)
    };
    (0..elements).map(vote).sum()
}

/// Called with the base's elements, an expert's slot and its part of the task vector.
type WithBase<'a> = dyn FnMut(&[f32], usize, &[f32]) + 'a;

/// All experts' task vectors, thinned out if so told.
struct TaskVectors<'a> {
    rows: &'a [Row<'a>],
    all: Vec<usize>,
    dare: Option<Dare>,
    masks: &'a dyn MaskSource,
}

impl TaskVectors<'_> {
    /// The differences of all integer buffers, expert by expert: FusionBench counts them among the model's entries when
    /// it trims, so a share of the model is the same share here.
    fn counters(&self) -> Vec<Vec<f32>> {
        let integers = || self.rows.iter().filter(|row| !row.info.dtype.is_float());
        let of = |slot: &usize| {
            let deltas = |row: &Row<'_>| -> Vec<f32> {
                let base = row.base.as_ref().map(|base| base.to_f64_vec()).unwrap_or_default();
                row.experts[*slot].to_f64_vec().iter().zip(base).map(|(value, base)| (value - base) as f32).collect()
            };
            integers().flat_map(deltas).collect()
        };
        self.all.iter().map(of).collect()
    }

    /// The magnitude from which on each expert's entries are kept: ⌊dk⌋ + 1 of them, and any that are equal.
    fn thresholds(&self, density: f64, counters: &[Vec<f32>], cx: &Context<'_>) -> Result<Vec<f32>, FusionError> {
        let lengths = || self.rows.iter().enumerate().filter(|(_, row)| row.info.dtype.is_float());
        let floats: usize = lengths().map(|(_, row)| row.info.len()).sum();
        let entries = floats + counters.first().map_or(0, Vec::len);
        // FusionBench's rank; a density of 1 keeps everything, where FusionBench fails.
        let rank = (entries - ((entries as f64 * density) as usize).min(entries)).max(1);
        if entries == 0 {
            return Ok(vec![0.0; self.all.len()]);
        }
        let ranks = vec![rank; self.all.len()];
        kth_magnitudes(self, lengths().map(|(at, row)| (at, row.info.len())), counters, &ranks, (cx.cancel, cx.lenient))
    }

    fn visit_with_base(&self, piece: &Piece, Scratch { decode, work }: &mut Scratch, visitor: &mut WithBase<'_>) {
        let row = &self.rows[piece.tensor];
        row.read(&self.all, &piece.range, decode, |base, experts| {
            for (slot, expert) in experts.iter().enumerate() {
                subtract(expert, base, &mut work.delta);
                if let Some(dare) = &self.dare {
                    dare.apply(self.masks, slot, row.info, piece.range.start, &mut work.delta, &mut work.keep);
                }
                visitor(base, slot, &work.delta);
            }
        });
    }
}

impl Deltas for TaskVectors<'_> {
    fn experts(&self) -> usize {
        self.all.len()
    }

    fn visit(&self, piece: &Piece, scratch: &mut Scratch, visitor: &mut dyn FnMut(usize, &[f32])) {
        self.visit_with_base(piece, scratch, &mut |_, expert, delta| visitor(expert, delta));
    }

    fn name(&self, tensor: usize) -> &str {
        &self.rows[tensor].info.name
    }
}
