//! Weighted sums of task vectors, of all entries or of those that agree on a sign.

use super::rows::Work;
use super::wide::wide;

/// Who elects the sign of an element; zero counts as positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) enum Vote {
    /// No election: every entry is taken.
    Nobody,
    /// The sum of the weighted entries; an entry agrees by its weighted sign.
    Weighted,
    /// The sum of the entries.
    Plain,
    /// The majority of the entries' signs.
    Frequency,
}

/// What the sum of the entries taken is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) enum Divide {
    Nothing,
    /// The sum of their weights.
    Weights,
    /// Their number.
    Count,
}

/// How the entries of one element become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) struct Consensus {
    pub vote: Vote,
    pub divide: Divide,
}

/// Divisors of a sum without election that are smaller than this count as one.
const SMALLEST: f32 = 1e-8;

impl Consensus {
    /// Writes base + λ · (what becomes of the entries) to `out`. `work.kept` holds the entries, expert after expert.
    pub(in crate::fusion) fn combine(
        self,
        weights: &[f32],
        base: &[f32],
        lambda: f32,
        work: &mut Work,
        out: &mut [f32],
    ) {
        let Work { kept, election: [sum, divisor], .. } = work;
        let length = out.len();
        sum.clear();
        sum.resize(length, 0.0);
        divisor.clear();
        divisor.resize(length, 0.0);
        out.fill(0.0);
        let entries = || kept.chunks_exact(length.max(1)).zip(weights);
        if self.vote == Vote::Nobody {
            entries().for_each(|(entries, &weight)| add(entries, weight, out));
            let total = match self.divide {
                Divide::Nothing => 1.0,
                Divide::Weights => weights.iter().sum(),
                Divide::Count => weights.len() as f32,
            };
            let total = if total.abs() < SMALLEST { 1.0 } else { total };
            divisor.fill(total);
        } else {
            entries().for_each(|(entries, &weight)| cast(self.vote, entries, weight, sum));
            for (entries, &weight) in entries() {
                let share = match self.divide {
                    Divide::Nothing => 0.0,
                    Divide::Weights => weight,
                    Divide::Count => 1.0,
                };
                // An entry's own sign, or that of the entry times its weight.
                let turn = if self.vote == Vote::Weighted { weight } else { 1.0 };
                take(entries, weight, turn, share, sum, out, divisor);
            }
        }
        finish(base, lambda, divisor, out);
    }
}

wide! {
    fn add(entries: &[f32], weight: f32, out: &mut [f32]) = add_body
}

#[inline(always)]
fn add_body(entries: &[f32], weight: f32, out: &mut [f32]) {
    out.iter_mut().zip(entries).for_each(|(out, entry)| *out += weight * entry);
}

wide! {
    /// Adds an expert's votes.
    fn cast(vote: Vote, entries: &[f32], weight: f32, sum: &mut [f32]) = cast_body
}

#[inline(always)]
fn cast_body(vote: Vote, entries: &[f32], weight: f32, sum: &mut [f32]) {
    let elements = sum.iter_mut().zip(entries);
    match vote {
        Vote::Weighted => elements.for_each(|(sum, entry)| *sum += weight * entry),
        Vote::Frequency => elements.for_each(|(sum, &entry)| {
            *sum += if entry > 0.0 { 1.0 } else { 0.0 } - if entry < 0.0 { 1.0 } else { 0.0 };
        }),
        Vote::Plain | Vote::Nobody => elements.for_each(|(sum, entry)| *sum += entry),
    }
}

wide! {
    /// Adds the weighted entries that agree with the sign of `sum`, and their share of the divisor.
    fn take(
        entries: &[f32], weight: f32, turn: f32, share: f32, sum: &[f32], out: &mut [f32], divisor: &mut [f32],
    ) = take_body
}

#[inline(always)]
fn take_body(entries: &[f32], weight: f32, turn: f32, share: f32, sum: &[f32], out: &mut [f32], divisor: &mut [f32]) {
    for (((out, divisor), &entry), &sum) in out.iter_mut().zip(divisor).zip(entries).zip(sum) {
        let side = if sum >= 0.0 { turn } else { -turn };
        let agrees = entry * side > 0.0;
        *out += if agrees { weight * entry } else { 0.0 };
        *divisor += if agrees { share } else { 0.0 };
    }
}

wide! {
    fn finish(base: &[f32], lambda: f32, divisor: &[f32], out: &mut [f32]) = finish_body
}

#[inline(always)]
fn finish_body(base: &[f32], lambda: f32, divisor: &[f32], out: &mut [f32]) {
    for ((out, &base), &divisor) in out.iter_mut().zip(base).zip(divisor) {
        *out = base + lambda * (*out / if divisor == 0.0 { 1.0 } else { divisor });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combined(vote: Vote, divide: Divide, weights: [f32; 3]) -> [f32; 4] {
        // Elements: agreement, two against a larger one, an exact cancellation, nothing kept.
        let kept = [[1.0, 0.5, 0.5, 0.0], [2.0, 0.75, -0.5, 0.0], [0.0, -1.5, 0.0, 0.0f32]].concat();
        let (mut work, mut out) = (Work { kept, ..Work::default() }, [0.0; 4]);
        Consensus { vote, divide }.combine(&weights, &[10.0; 4], 2.0, &mut work, &mut out);
        out
    }

    #[test]
    fn each_way_to_elect_and_to_divide() {
        let ones = [1.0; 3];
        assert_eq!(combined(Vote::Nobody, Divide::Nothing, ones), [16.0, 9.5, 10.0, 10.0]);
        assert_eq!(combined(Vote::Nobody, Divide::Weights, [2.0, 1.0, 1.0]), [12.0, 10.125, 10.25, 10.0]);
        // Zero is positive: of what cancels, the positive entry is taken.
        assert_eq!(combined(Vote::Plain, Divide::Nothing, ones), [16.0, 7.0, 11.0, 10.0]);
        assert_eq!(combined(Vote::Plain, Divide::Count, [1.0, 1.0, 2.0]), [13.0, 4.0, 11.0, 10.0]);
        assert_eq!(combined(Vote::Frequency, Divide::Count, ones), [13.0, 11.25, 11.0, 10.0]);
        assert_eq!(combined(Vote::Weighted, Divide::Weights, [1.0, 1.0, 0.5]), [13.0, 11.25, 11.0, 10.0]);
        // A negative weight turns an entry around.
        assert_eq!(combined(Vote::Weighted, Divide::Weights, [1.0, 1.0, -1.0])[1], 10.0 + 2.0 * 2.75);
    }
}
