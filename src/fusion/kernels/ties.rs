//! Trim, elect signs, merge what agrees; over the whole model, without holding any task vector.

use super::chunks::{Piece, for_chunks};
use super::dare::Dare;
use super::rows::{Row, Scratch, blank, rows};
use super::select::{Deltas, kth_magnitudes};
use crate::fusion::{Context, FusionError, MaskSource, Pool, SeededMasks};
use crate::weights::StateDict;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

/// How the kept entries that agree with the elected sign are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) enum Merge {
    Sum,
    Mean,
    Max,
}

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
const BLOCK: usize = 4096;

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
        let counters = vectors.counters();
        let thresholds = vectors.thresholds(self.density, &counters, cx)?;

        let mut fused = blank(&rows);
        let votes = AtomicI64::new(vote_of_counters(&counters, &thresholds));
        let undecided = Mutex::new(HashSet::new());
        for_chunks(
            fused.tensors_mut(),
            |_| true,
            cx,
            |piece, out, scratch| {
                let tally = self.merge_piece(&vectors, &thresholds, piece, 0, out, scratch);
                votes.fetch_add(tally.votes, Ordering::Relaxed);
                if tally.cancelled
                    && let Ok(mut undecided) = undecided.lock()
                {
                    undecided.insert((piece.tensor, piece.range.start));
                }
                Ok(())
            },
        )?;
        // Where the kept entries cancel exactly, the majority over the whole model decides, which only now is known.
        let undecided = undecided.into_inner().unwrap_or_default();
        if !undecided.is_empty() {
            let majority = votes.into_inner().signum();
            let tensors: HashSet<usize> = undecided.iter().map(|(tensor, _)| *tensor).collect();
            for_chunks(
                fused.tensors_mut(),
                |at| tensors.contains(&at),
                cx,
                |piece, out, scratch| {
                    if undecided.contains(&(piece.tensor, piece.range.start)) {
                        self.merge_piece(&vectors, &thresholds, piece, majority, out, scratch);
                    }
                    Ok(())
                },
            )?;
        }
        Ok(fused)
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
    ) -> Tally {
        let mut tally = Tally::default();
        for (index, out) in out.chunks_mut(BLOCK).enumerate() {
            let start = piece.range.start + index * BLOCK;
            let block = Piece { tensor: piece.tensor, range: start..start + out.len() };
            let mut kept = std::mem::take(&mut scratch.work.kept);
            kept.clear();
            let mut sum = [0.0f32; BLOCK];
            let mut size = [0.0f32; BLOCK];
            let mut base_values = [0.0f32; BLOCK];
            vectors.visit_with_base(&block, scratch, &mut |base, expert, delta| {
                if expert == 0 {
                    base_values[..base.len()].copy_from_slice(base);
                }
                let threshold = thresholds[expert];
                for ((delta, sum), size) in delta.iter_mut().zip(&mut sum).zip(&mut size) {
                    *delta = if delta.abs() >= threshold { *delta } else { 0.0 };
                    *sum += *delta;
                    *size += delta.abs();
                }
                kept.extend_from_slice(delta);
            });
            let (sum, size) = (&mut sum[..out.len()], &size[..out.len()]);
            for (sum, size) in sum.iter_mut().zip(size) {
                tally.votes += i64::from(*sum > 0.0) - i64::from(*sum < 0.0);
                if *sum == 0.0 && *size != 0.0 {
                    tally.cancelled = true;
                    *sum = majority as f32;
                }
            }
            self.combine(&kept, sum, out);
            let scaling = self.scaling;
            out.iter_mut().zip(&base_values).for_each(|(out, base)| *out = base + scaling * *out);
            scratch.work.kept = kept;
        }
        tally
    }

    /// Combines the entries of `kept`, expert after expert, whose sign is that of `elected` (negative where it is 0).
    fn combine(&self, kept: &[f32], elected: &[f32], out: &mut [f32]) {
        let agrees = |entry: f32, elected: f32| if elected > 0.0 { entry > 0.0 } else { entry < 0.0 };
        out.fill(0.0);
        let experts = kept.chunks_exact(out.len());
        match self.merge {
            Merge::Sum => {
                for entries in experts {
                    for ((out, &entry), &elected) in out.iter_mut().zip(entries).zip(elected) {
                        *out += if agrees(entry, elected) { entry } else { 0.0 };
                    }
                }
            }
            Merge::Mean => {
                let mut count = [0.0f32; BLOCK];
                for entries in experts {
                    for (((out, &entry), &elected), count) in out.iter_mut().zip(entries).zip(elected).zip(&mut count) {
                        let agrees = agrees(entry, elected);
                        *out += if agrees { entry } else { 0.0 };
                        *count += f32::from(u8::from(agrees));
                    }
                }
                out.iter_mut().zip(&count).for_each(|(out, count)| *out /= count.max(1.0));
            }
            Merge::Max => {
                for entries in experts {
                    for ((out, &entry), &elected) in out.iter_mut().zip(entries).zip(elected) {
                        *out = if agrees(entry, elected) { out.max(entry.abs()) } else { *out };
                    }
                }
                for (out, &elected) in out.iter_mut().zip(elected) {
                    *out *= f32::from(i8::from(elected > 0.0) - i8::from(elected < 0.0));
                }
            }
        }
    }
}

/// What was seen in a chunk.
#[derive(Debug, Default)]
struct Tally {
    /// Σ of the elected signs.
    votes: i64,
    /// Whether kept entries cancel exactly somewhere.
    cancelled: bool,
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
        kth_magnitudes(self, lengths().map(|(at, row)| (at, row.info.len())), counters, rank, cx.cancel)
    }

    fn visit_with_base(
        &self,
        piece: &Piece,
        Scratch { decode, work }: &mut Scratch,
        visitor: &mut dyn FnMut(&[f32], usize, &mut [f32]),
    ) {
        let row = &self.rows[piece.tensor];
        row.read(&self.all, &piece.range, decode, |base, experts| {
            for (slot, expert) in experts.iter().enumerate() {
                work.delta.clear();
                work.delta.extend(expert.iter().zip(base).map(|(value, base)| value - base));
                if let Some(dare) = &self.dare {
                    dare.apply(self.masks, slot, row.info, piece.range.start, &mut work.delta, &mut work.keep);
                }
                visitor(base, slot, &mut work.delta);
            }
        });
    }
}

impl Deltas for TaskVectors<'_> {
    fn experts(&self) -> usize {
        self.all.len()
    }

    fn visit(&self, piece: &Piece, scratch: &mut Scratch, visitor: &mut dyn FnMut(usize, &mut [f32])) {
        self.visit_with_base(piece, scratch, &mut |_, expert, delta| visitor(expert, delta));
    }

    fn name(&self, tensor: usize) -> &str {
        &self.rows[tensor].info.name
    }
}
