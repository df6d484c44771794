//! The k-th smallest magnitude of each expert's task vector over the whole model, exactly, without holding it.
//!
//! Magnitudes of floats order like their bits. Large models: a sample says roughly where the wanted value lies, and one
//! pass over everything counts what is below that bracket and collects the few values inside. Small models, and the rare
//! sample that misleads: a histogram of the upper half of the bits finds the bin in which the value lies, and one of the
//! lower half, over that bin alone, finds the value.

use super::chunks::{Piece, pieces};
use super::rows::Scratch;
use super::wide::wide;
use crate::cancel::Cancel;
use crate::fusion::FusionError;
use rayon::prelude::*;

/// What is looked through, chunk by chunk: calls back with each expert's slot and its part of the task vector.
pub(in crate::fusion) trait Deltas: Sync {
    fn experts(&self) -> usize;
    fn visit(&self, piece: &Piece, scratch: &mut Scratch, visitor: &mut dyn FnMut(usize, &[f32]));
    fn name(&self, tensor: usize) -> &str;
}

/// Entries of a task vector in a sample.
const SAMPLE: usize = 1 << 18;
/// Consecutive entries that go into a sample together.
const RUN: usize = 1024;
/// Values that may lie inside the brackets, of all experts (256 MiB): larger models take the histogram, which needs a
/// pass more and no memory.
const MOST: f64 = (1 << 26) as f64;
/// The bracket reaches so far, as a share of all entries, to both sides of the value that the sample suggests.
const MARGIN: f64 = 0.003;

/// Each expert's `rank`-th smallest magnitude (from 1) over all pieces and its own `extra` values.
///
/// # Errors
/// A task vector that is not finite, unless what is not finite is let through (`lenient`); cancellation.
pub(super) fn kth_magnitudes(
    deltas: &impl Deltas,
    lengths: impl Iterator<Item = (usize, usize)>,
    extra: &[Vec<f32>],
    ranks: &[usize],
    (cancel, lenient): (&Cancel, bool),
) -> Result<Vec<f32>, FusionError> {
    let search = Search { deltas, pieces: pieces(lengths), extra, ranks, cancel, lenient };
    let entries: usize = search.pieces.iter().map(|piece| piece.range.len()).sum();
    let collected = 2.0 * MARGIN * entries as f64 * deltas.experts() as f64;
    if entries >= 8 * SAMPLE
        && collected < MOST
        && let Some(found) = search.by_sample(entries)?
    {
        return Ok(found);
    }
    search.by_histogram()
}

struct Search<'a, D> {
    deltas: &'a D,
    pieces: Vec<Piece>,
    extra: &'a [Vec<f32>],
    /// One for each expert.
    ranks: &'a [usize],
    cancel: &'a Cancel,
    /// Whether task vectors may hold what is not finite; NaN then counts as the largest magnitude.
    lenient: bool,
}

impl<D: Deltas> Search<'_, D> {
    /// Folds all pieces, in any order, into states that `merge` puts together.
    fn fold<S: Send>(
        &self,
        pieces: &[Piece],
        empty: impl Fn() -> S + Sync,
        step: impl Fn(&mut S, usize, &[f32]) -> bool + Sync,
        merge: impl Fn(S, S) -> S + Sync,
    ) -> Result<S, FusionError> {
        let share = pieces.len().div_ceil(4 * rayon::current_num_threads()).max(1);
        let visit = |(mut state, mut scratch): (S, Scratch), piece: &Piece| {
            self.cancel.check()?;
            let mut finite = true;
            self.deltas.visit(piece, &mut scratch, &mut |expert, delta| finite &= step(&mut state, expert, delta));
            if finite || self.lenient {
                Ok((state, scratch))
            } else {
                Err(FusionError::NotFinite { tensor: self.deltas.name(piece.tensor).to_owned() })
            }
        };
        pieces
            .par_iter()
            .with_min_len(share)
            .try_fold(|| (empty(), Scratch::default()), visit)
            .map(|result| result.map(|(state, _)| state))
            .try_reduce(&empty, |a, b| Ok(merge(a, b)))
    }

    /// The values by sampling; nothing if one does not lie in its bracket, or too much does.
    fn by_sample(&self, entries: usize) -> Result<Option<Vec<f32>>, FusionError> {
        let experts = self.deltas.experts();
        let runs = self.runs((entries / (SAMPLE / RUN)).max(RUN));
        let empty = || vec![Vec::new(); experts];
        let sample = self.fold(
            &runs,
            empty,
            |samples, expert, delta| {
                samples[expert].extend(delta.iter().map(|x| bits(*x)));
                true
            },
            concatenate,
        )?;
        let samples = sample.into_iter().zip(self.ranks);
        let brackets: Vec<(u32, u32)> = samples.map(|(sample, rank)| bracket(sample, *rank, entries)).collect();
        // What overflows cannot help any more.
        let room = (entries as f64 * MARGIN * 8.0) as usize + 1024;
        let empty = || vec![Inside::default(); experts];
        let count = |inside: &mut Vec<Inside>, expert: usize, delta: &[f32]| {
            collect(delta, brackets[expert], room, &mut inside[expert]) < f32::INFINITY.to_bits()
        };
        let mut inside = self.fold(&self.pieces, empty, count, |mut a, b| {
            for (a, b) in a.iter_mut().zip(b) {
                a.below += b.below;
                a.values.extend(b.values);
            }
            a
        })?;
        for (expert, extra) in self.extra.iter().enumerate() {
            count(&mut inside, expert, extra);
        }
        let value = |(Inside { below, mut values }, rank): (Inside, &usize)| {
            let at = (*rank as u64).checked_sub(below + 1)? as usize;
            (values.len() <= room && at < values.len()).then(|| f32::from_bits(*values.select_nth_unstable(at).1))
        };
        Ok(inside.into_iter().zip(self.ranks).map(value).collect())
    }

    /// Runs at even distances over the whole model, so that every tensor is in the sample with its share.
    fn runs(&self, distance: usize) -> Vec<Piece> {
        let (mut runs, mut next, mut passed) = (Vec::new(), 0, 0);
        for Piece { tensor, range } in &self.pieces {
            while next < passed + range.len() {
                let start = range.start + next - passed;
                runs.push(Piece { tensor: *tensor, range: start..range.end.min(start + RUN) });
                next += distance;
            }
            passed += range.len();
        }
        runs
    }

    fn by_histogram(&self) -> Result<Vec<f32>, FusionError> {
        let experts = self.deltas.experts();
        let high = self.histograms(1 << 15, &|_, bits| Some(bits >> 16))?;
        let found: Vec<(u32, u64)> =
            high.iter().zip(self.ranks).map(|(bins, &rank)| locate(bins, rank as u64)).collect();
        let low = self.histograms(1 << 16, &|expert, bits| (bits >> 16 == found[expert].0).then_some(bits & 0xffff))?;
        let value = |expert: usize| {
            let (bin, left) = found[expert];
            f32::from_bits(bin << 16 | locate(&low[expert], left).0)
        };
        Ok((0..experts).map(value).collect())
    }

    /// For each expert, how many values fall into each bin.
    fn histograms(
        &self,
        bins: usize,
        bin: &(impl Fn(usize, u32) -> Option<u32> + Sync),
    ) -> Result<Vec<Vec<u64>>, FusionError> {
        let empty = || vec![vec![0u64; bins]; self.deltas.experts()];
        let count = |counts: &mut Vec<Vec<u64>>, expert: usize, values: &[f32]| {
            let counts = &mut counts[expert];
            let mut finite = true;
            for value in values {
                let bits = bits(*value);
                finite &= bits < f32::INFINITY.to_bits();
                if let Some(bin) = bin(expert, bits) {
                    counts[bin as usize] += 1;
                }
            }
            finite
        };
        let mut total = self.fold(&self.pieces, empty, count, |mut a, b| {
            a.iter_mut().flatten().zip(b.iter().flatten()).for_each(|(a, b)| *a += b);
            a
        })?;
        for (expert, values) in self.extra.iter().enumerate() {
            count(&mut total, expert, values);
        }
        Ok(total)
    }
}

/// Where the `rank`-th value lies, as bits, if the sample is like the whole.
fn bracket(mut sample: Vec<u32>, rank: usize, entries: usize) -> (u32, u32) {
    let share = rank as f64 / entries as f64;
    let mut at = |share: f64| {
        let last = sample.len().saturating_sub(1);
        let index = (share * sample.len() as f64) as usize;
        if sample.is_empty() { 0 } else { *sample.select_nth_unstable(index.min(last)).1 }
    };
    let low = if share - MARGIN <= 0.0 { 0 } else { at(share - MARGIN) };
    let high = if share + MARGIN >= 1.0 { u32::MAX } else { at(share + MARGIN) };
    (low, high)
}

/// One expert's values in and below its bracket.
#[derive(Debug, Clone, Default)]
struct Inside {
    below: u64,
    values: Vec<u32>,
}

wide! {
    /// Counts the magnitudes below the bracket, collects those inside while there is room, and returns the largest; all
    /// as bits.
    fn collect(values: &[f32], bracket: (u32, u32), room: usize, inside: &mut Inside) -> u32 = collect_body
}

#[inline(always)]
fn collect_body(values: &[f32], (low, high): (u32, u32), room: usize, inside: &mut Inside) -> u32 {
    let (mut below, mut largest) = (0u32, 0i32);
    // Signed comparisons, which vector units have; magnitudes have no sign bit.
    let signed = |bits: u32| bits.min(i32::MAX as u32).cast_signed();
    let (low, high) = (signed(low), signed(high));
    // Few runs have a value inside the bracket: only those are looked at one by one.
    for run in values.chunks(32) {
        let mut outside = 0u32;
        for value in run {
            let bits = signed(bits(*value));
            below += u32::from(bits < low);
            outside += u32::from(bits < low) + u32::from(bits > high);
            largest = largest.max(bits);
        }
        if outside < run.len() as u32 && inside.values.len() <= room {
            let bits = run.iter().map(|value| bits(*value));
            inside.values.extend(bits.filter(|bits| (low..=high).contains(&signed(*bits))));
        }
    }
    inside.below += u64::from(below);
    largest.cast_unsigned()
}

/// The magnitude as bits.
pub(super) fn bits(x: f32) -> u32 {
    x.to_bits() & 0x7fff_ffff
}

fn concatenate(mut a: Vec<Vec<u32>>, b: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    a.iter_mut().zip(b).for_each(|(a, b)| a.extend(b));
    a
}

/// The bin that holds the `rank`-th count, and its rank within that bin.
fn locate(bins: &[u64], rank: u64) -> (u32, u64) {
    let mut left = rank;
    for (bin, &count) in bins.iter().enumerate() {
        if left <= count {
            return (bin as u32, left);
        }
        left -= count;
    }
    (bins.len().saturating_sub(1) as u32, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::kernels::chunks::CHUNK;

    /// Plain vectors as task vectors, cut into two tensors.
    struct Plain(Vec<Vec<f32>>, usize);

    impl Deltas for Plain {
        fn experts(&self) -> usize {
            self.0.len()
        }

        fn visit(&self, piece: &Piece, _: &mut Scratch, visitor: &mut dyn FnMut(usize, &[f32])) {
            let skip = if piece.tensor == 0 { 0 } else { self.1 };
            for (expert, values) in self.0.iter().enumerate() {
                visitor(expert, &values[skip + piece.range.start..skip + piece.range.end]);
            }
        }

        fn name(&self, _: usize) -> &'static str {
            "w"
        }
    }

    fn noise(at: usize) -> f32 {
        let x = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 24) as f32 - 0.5
    }

    #[test]
    fn both_ways_find_what_sorting_finds() {
        let entries = 9 * SAMPLE + 77;
        let smooth: Vec<f32> = (0..entries).map(|at| noise(at).powi(3)).collect();
        // Many equal values, as among half floats; and a tensor unlike the rest.
        let coarse: Vec<f32> = (0..entries).map(|at| (noise(at) * 16.0).round()).collect();
        let split: Vec<f32> = (0..entries).map(|at| noise(at) * if at < CHUNK { 1e6 } else { 1.0 }).collect();
        let plain = Plain(vec![smooth, coarse, split], CHUNK + 5);
        let extra = vec![vec![0.25], vec![-3.0], vec![f32::MAX]];
        let cancel = Cancel::default();
        for share in [0.0, 0.003, 0.2, 0.8, 0.998, 1.0] {
            let rank = ((entries as f64 * share) as usize).max(1);
            let ranks = [rank; 3];
            let lengths = [(0, plain.1), (1, entries - plain.1)].into_iter();
            let search = Search {
                deltas: &plain,
                pieces: pieces(lengths),
                extra: &extra,
                ranks: &ranks,
                cancel: &cancel,
                lenient: false,
            };
            let expected: Vec<f32> = (0..3)
                .map(|expert| {
                    let all = plain.0[expert].iter().chain(&extra[expert]);
                    let mut sizes: Vec<f32> = all.map(|x| x.abs()).collect();
                    *sizes.select_nth_unstable_by(rank - 1, f32::total_cmp).1
                })
                .collect();
            assert_eq!(search.by_histogram().unwrap(), expected, "{share}");
            if let Some(found) = search.by_sample(entries).unwrap() {
                assert_eq!(found, expected, "{share}");
            }
            let smooth = Plain(vec![plain.0[0].clone()], plain.1);
            let search = Search {
                deltas: &smooth,
                pieces: search.pieces,
                extra: &[],
                ranks: &ranks[..1],
                cancel: &cancel,
                lenient: false,
            };
            let mut sizes: Vec<f32> = smooth.0[0].iter().map(|x| x.abs()).collect();
            let expected = *sizes.select_nth_unstable_by(rank - 1, f32::total_cmp).1;
            assert_eq!(search.by_sample(entries).unwrap(), Some(vec![expected]), "the sample misled at {share}");
        }
    }
}
