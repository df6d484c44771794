//! TIES on slices: trim to the large entries, elect a sign, merge the entries that agree with it.

use super::wide::wide;

/// How the kept entries that agree with the elected sign are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) enum Merge {
    Sum,
    Mean,
    Max,
}

wide! {
    /// Writes the entries of `delta` whose magnitude reaches the threshold to `kept`, zero for the others, and adds them
    /// to `sum` and their magnitudes to `size`.
    pub(super) fn trim(delta: &[f32], threshold: f32, kept: &mut [f32], sum: &mut [f32], size: &mut [f32]) = trim_body
}

#[inline(always)]
fn trim_body(delta: &[f32], threshold: f32, kept: &mut [f32], sum: &mut [f32], size: &mut [f32]) {
    for (((&delta, kept), sum), size) in delta.iter().zip(kept).zip(sum).zip(size) {
        *kept = if delta.abs() >= threshold { delta } else { 0.0 };
        *sum += *kept;
        *size += kept.abs();
    }
}

/// What an election came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Positive minus negative elements.
    pub votes: i32,
    /// Elements whose kept entries cancel exactly.
    pub cancelled: u32,
}

wide! {
    /// Replaces the sums by their signs: 1, −1, or 0 where nothing is kept or what is kept cancels.
    pub(super) fn elect(sum: &mut [f32], size: &[f32]) -> Tally = elect_body
}

#[inline(always)]
fn elect_body(sum: &mut [f32], size: &[f32]) -> Tally {
    let (mut votes, mut cancelled) = (0i32, 0u32);
    for (sum, &size) in sum.iter_mut().zip(size) {
        let (positive, negative) = (*sum > 0.0, *sum < 0.0);
        let vote = i32::from(positive) - i32::from(negative);
        votes += vote;
        cancelled += u32::from((vote == 0) & (size != 0.0));
        *sum = vote as f32;
    }
    Tally { votes, cancelled }
}

wide! {
    /// Combines the entries of `kept`, expert after expert, whose sign is the elected one (negative where that is 0), and
    /// writes base + scaling · merged to `out`. `count` is a buffer.
    pub(super) fn merge(
        rule: Merge, kept: &[f32], signs: &[f32], base: &[f32], scaling: f32, count: &mut [f32], out: &mut [f32],
    ) = merge_body
}

#[inline(always)]
fn merge_body(
    rule: Merge,
    kept: &[f32],
    signs: &[f32],
    base: &[f32],
    scaling: f32,
    count: &mut [f32],
    out: &mut [f32],
) {
    // Seen from the elected side, what agrees is positive.
    let side = |sign: f32| if sign > 0.0 { 1.0f32 } else { -1.0 };
    out.fill(0.0);
    for entries in kept.chunks_exact(out.len()) {
        let elements = out.iter_mut().zip(entries).zip(signs);
        match rule {
            Merge::Sum => elements.for_each(|((out, &entry), &sign)| {
                let entry = entry * side(sign);
                *out += if entry > 0.0 { entry } else { 0.0 };
            }),
            Merge::Mean => elements.zip(&mut *count).for_each(|(((out, &entry), &sign), count)| {
                let entry = entry * side(sign);
                *out += if entry > 0.0 { entry } else { 0.0 };
                *count += if entry > 0.0 { 1.0 } else { 0.0 };
            }),
            Merge::Max => elements.for_each(|((out, &entry), &sign)| {
                let entry = entry * side(sign);
                *out = if entry > *out { entry } else { *out };
            }),
        }
    }
    for (((out, &sign), &base), &count) in out.iter_mut().zip(signs).zip(base).zip(&*count) {
        let merged = match rule {
            Merge::Sum => *out * side(sign),
            Merge::Mean => *out * side(sign) / if count > 1.0 { count } else { 1.0 },
            Merge::Max => *out * sign,
        };
        *out = base + scaling * merged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_election() {
        // Elements: agreement, a majority of two, an exact cancellation, nothing kept.
        let deltas = [[1.0, 0.5, 0.5, 0.1], [2.0, 0.75, -0.5, 0.0], [0.0, -1.0, 0.0, -0.1f32]];
        let (mut sum, mut size, mut kept) = ([0.0; 4], [0.0; 4], [0.0; 12]);
        for (delta, kept) in deltas.iter().zip(kept.chunks_mut(4)) {
            trim(delta, 0.5, kept, &mut sum, &mut size);
        }
        assert_eq!(sum, [3.0, 0.25, 0.0, 0.0]);
        assert_eq!(size, [3.0, 2.25, 1.0, 0.0]);
        assert_eq!(elect(&mut sum, &size), Tally { votes: 2, cancelled: 1 });
        assert_eq!(sum, [1.0, 1.0, 0.0, 0.0]);
        let merged = |rule, signs: &[f32]| {
            let mut out = [0.0; 4];
            merge(rule, &kept, signs, &[10.0; 4], 2.0, &mut [0.0; 4], &mut out);
            out
        };
        assert_eq!(merged(Merge::Sum, &[1.0, 1.0, 1.0, 1.0]), [16.0, 12.5, 11.0, 10.0]);
        assert_eq!(merged(Merge::Mean, &[1.0, 1.0, -1.0, 1.0]), [13.0, 11.25, 9.0, 10.0]);
        assert_eq!(merged(Merge::Max, &[1.0, 1.0, -1.0, 1.0]), [14.0, 11.5, 9.0, 10.0]);
        // Without a majority FusionBench takes the negative side, and nothing for the largest.
        assert_eq!(merged(Merge::Sum, &sum), [16.0, 12.5, 9.0, 10.0]);
        assert_eq!(merged(Merge::Max, &sum), [14.0, 11.5, 10.0, 10.0]);
    }
}
