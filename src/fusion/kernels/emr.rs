//! EMR's election within one block: a side for every element, and the largest change of those on it.

use super::accumulate::accumulate;
use super::bits::pack;
use super::wide::wide;

/// Elements that are worked on at a time: base, side, largest change and one expert stay in the first-level cache.
pub(in crate::fusion) const BLOCK: usize = 2048;

/// One block's election; all slices are as long as the block.
#[derive(Debug, Default)]
pub(in crate::fusion) struct Election {
    /// +1 where the task vectors add up to something positive, −1 elsewhere, also where they cancel.
    pub side: Vec<f32>,
    /// The largest |τ| of the experts on the elected side.
    pub largest: Vec<f32>,
    ones: Vec<f32>,
}

impl Election {
    /// Elects. Where a task vector is not finite, neither is the side.
    pub(in crate::fusion) fn hold(&mut self, base: &[f32], experts: &[&[f32]]) {
        let Self { side, largest, ones } = self;
        side.clear();
        side.resize(base.len(), 0.0);
        largest.clear();
        largest.resize(base.len(), 0.0);
        ones.resize(experts.len(), 1.0);
        accumulate(side, base, experts, ones);
        sides(side);
        for expert in experts {
            enlarge(expert, base, side, largest);
        }
    }

    /// Writes the unified task vector.
    pub(in crate::fusion) fn unified(&self, out: &mut [f32]) {
        for ((out, side), largest) in out.iter_mut().zip(&self.side).zip(&self.largest) {
            *out = side * largest;
        }
    }

    /// The elements in which an expert is on the elected side.
    pub(in crate::fusion) fn mask(&self, base: &[f32], expert: &[f32], words: &mut Vec<u32>) {
        agreeing(expert, base, &self.side, words);
    }

    /// Σ|τ| of an expert, and Σ|τ_uni| over its mask; what is not finite is left out.
    pub(in crate::fusion) fn sizes(&self, base: &[f32], expert: &[f32]) -> [f64; 2] {
        sizes(expert, base, &self.side, &self.largest)
    }
}

wide! {
    fn sides(sum: &mut [f32]) = sides_body
}

#[inline(always)]
fn sides_body(sum: &mut [f32]) {
    for sum in sum {
        let side = if *sum > 0.0 { 1.0 } else { -1.0 };
        // 0 · ∞ is no number: neither is the side of one.
        *sum = side + 0.0 * *sum;
    }
}

wide! {
    fn enlarge(expert: &[f32], base: &[f32], side: &[f32], largest: &mut [f32]) = enlarge_body
}

#[inline(always)]
fn enlarge_body(expert: &[f32], base: &[f32], side: &[f32], largest: &mut [f32]) {
    for (((largest, expert), base), side) in largest.iter_mut().zip(expert).zip(base).zip(side) {
        let towards = (expert - base) * side;
        *largest = if towards > *largest { towards } else { *largest };
    }
}

wide! {
    fn agreeing(expert: &[f32], base: &[f32], side: &[f32], words: &mut Vec<u32>) = agreeing_body
}

#[inline(always)]
fn agreeing_body(expert: &[f32], base: &[f32], side: &[f32], words: &mut Vec<u32>) {
    pack(expert, base, side, words, |expert, base, side| (expert - base) * side > 0.0);
}

/// Sums that are kept side by side; their number fixes the order of additions on every machine.
const LANES: usize = 8;

wide! {
    fn sizes(expert: &[f32], base: &[f32], side: &[f32], largest: &[f32]) -> [f64; 2] = sizes_body
}

#[inline(always)]
fn sizes_body(expert: &[f32], base: &[f32], side: &[f32], largest: &[f32]) -> [f64; 2] {
    let size = |expert: f32, base: f32, side: f32, largest: f32| {
        let delta = expert - base;
        let own = if delta.abs() < f32::INFINITY { delta.abs() } else { 0.0 };
        [f64::from(own), f64::from(if delta * side > 0.0 { largest } else { 0.0 })]
    };
    let (mut own, mut unified) = ([0.0f64; LANES], [0.0f64; LANES]);
    let ((expert, e), (base, b)) = (expert.as_chunks::<LANES>(), base.as_chunks::<LANES>());
    let ((side, s), (largest, l)) = (side.as_chunks::<LANES>(), largest.as_chunks::<LANES>());
    for (((expert, base), side), largest) in expert.iter().zip(base).zip(side).zip(largest) {
        for at in 0..LANES {
            let [a, b] = size(expert[at], base[at], side[at], largest[at]);
            own[at] += a;
            unified[at] += b;
        }
    }
    let mut sums = [own.iter().sum(), unified.iter().sum()];
    for (((expert, base), side), largest) in e.iter().zip(b).zip(s).zip(l) {
        let rest = size(*expert, *base, *side, *largest);
        sums.iter_mut().zip(rest).for_each(|(sum, rest)| *sum += rest);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_election() {
        // Elements: agreement, a majority by size, an exact cancellation, nobody moves.
        let (base, a, b) = ([1.0; 4], [2.0, 3.0, 2.0, 1.0], [4.0, 0.5, 0.0, 1.0f32]);
        let mut election = Election::default();
        election.hold(&base, &[&a, &b]);
        let mut unified = [9.0; 4];
        election.unified(&mut unified);
        // What cancels is negative, as in FusionBench.
        assert_eq!(unified, [3.0, 2.0, -1.0, 0.0]);
        let mask = |expert: &[f32]| {
            let mut words = Vec::new();
            election.mask(&base, expert, &mut words);
            words
        };
        assert_eq!((mask(&a), mask(&b)), (vec![0b0011], vec![0b0101]));
        assert_eq!(election.sizes(&base, &a), [1.0 + 2.0 + 1.0, 3.0 + 2.0]);
        assert_eq!(election.sizes(&base, &b), [3.0 + 0.5 + 1.0, 3.0 + 1.0]);
    }

    #[test]
    fn what_is_no_number_is_seen_in_the_unified_vector() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut election = Election::default();
            election.hold(&[0.0; 2], &[&[1.0, bad], &[1.0, 1.0]]);
            let mut unified = [0.0; 2];
            election.unified(&mut unified);
            assert!(unified[0] == 1.0 && unified[1].is_nan(), "{bad}");
            assert_eq!(election.sizes(&[0.0; 2], &[1.0, bad]), [1.0, 1.0]);
        }
    }
}
