//! TALL masks within one block: where an expert's change is large beside what the other tasks do.

use super::accumulate::accumulate;
use super::bits::pack;
use super::wide::wide;

/// Writes τ = Σ τᵢ; `ones` is a buffer.
pub(in crate::fusion) fn sum(base: &[f32], experts: &[&[f32]], ones: &mut Vec<f32>, out: &mut [f32]) {
    ones.resize(experts.len(), 1.0);
    out.fill(0.0);
    accumulate(out, base, experts, ones);
}

wide! {
    /// The elements with |τₖ| > threshold · |τ − τₖ|.
    pub(in crate::fusion) fn mask(expert: &[f32], base: &[f32], sum: &[f32], threshold: f32, words: &mut Vec<u32>) = mask_body
}

#[inline(always)]
fn mask_body(expert: &[f32], base: &[f32], sum: &[f32], threshold: f32, words: &mut Vec<u32>) {
    pack(expert, base, sum, words, |expert, base, sum| {
        let delta = expert - base;
        delta.abs() > threshold * (sum - delta).abs()
    });
}

wide! {
    /// Adds one to the count of every element that would be in the mask.
    pub(in crate::fusion) fn count(expert: &[f32], base: &[f32], sum: &[f32], threshold: f32, counts: &mut [f32]) = count_body
}

#[inline(always)]
fn count_body(expert: &[f32], base: &[f32], sum: &[f32], threshold: f32, counts: &mut [f32]) {
    for (((count, expert), base), sum) in counts.iter_mut().zip(expert).zip(base).zip(sum) {
        let delta = expert - base;
        *count += if delta.abs() > threshold * (sum - delta).abs() { 1.0 } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_counts_say_the_same() {
        // Changes 3 and 1 of the first element, 0 and 2, 1 and −1, none.
        let (base, a, b) = ([1.0; 4], [4.0, 1.0, 2.0, 1.0], [2.0, 3.0, 0.0, 1.0f32]);
        let (mut ones, mut total) = (Vec::new(), [9.0; 4]);
        sum(&base, &[&a, &b], &mut ones, &mut total);
        assert_eq!(total, [4.0, 2.0, 0.0, 0.0]);
        for (threshold, masks, counts) in [
            (0.0, [0b0101, 0b0111], [2.0, 1.0, 2.0, 0.0]),
            (0.5, [0b0101, 0b0110], [1.0, 1.0, 2.0, 0.0]),
            (1.0, [0b0001, 0b0010], [1.0, 1.0, 0.0, 0.0]),
        ] {
            let (mut words, mut counted) = (Vec::new(), [0.0; 4]);
            for (expert, expected) in [a, b].iter().zip(masks) {
                mask(expert, &base, &total, threshold, &mut words);
                assert_eq!(words, [expected], "{threshold}");
                count(expert, &base, &total, threshold, &mut counted);
            }
            assert_eq!(counted, counts, "{threshold}");
        }
    }
}
