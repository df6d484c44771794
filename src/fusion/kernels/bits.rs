//! One bit an element: masks and signs, packed into words of 32.

use super::wide::wide;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bits of a flattened tensor, the first in the least place of the first word.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u32>,
    len: usize,
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bits", self.count(), self.len)
    }
}

impl Bits {
    /// Whether the bit of an element is set; beyond the end none is.
    #[must_use]
    pub fn get(&self, at: usize) -> bool {
        at < self.len && self.words[at / 32] >> (at % 32) & 1 == 1
    }

    /// All bits in order.
    pub fn iter(&self) -> impl Iterator<Item = bool> {
        (0..self.len).map(|at| self.get(at))
    }

    /// How many are set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.len.div_ceil(8) as u64
    }

    /// Writes base + scale · (bit · value) for the elements from `start` on, which lies on a word's first bit as the
    /// chunks of a tensor do.
    pub(in crate::fusion) fn add_masked(
        &self,
        start: usize,
        base: &[f32],
        values: &[f32],
        scale: f32,
        out: &mut [f32],
    ) {
        masked(self.from(start), base, values, scale, out);
    }

    /// Writes base + scale · (bit · (value − base)), from `start` on.
    pub(in crate::fusion) fn add_kept(&self, start: usize, base: &[f32], values: &[f32], scale: f32, out: &mut [f32]) {
        kept(self.from(start), base, values, scale, out);
    }

    /// Writes base ± scale, plus where the bit is set, from `start` on.
    pub(in crate::fusion) fn add_signs(&self, start: usize, base: &[f32], scale: f32, out: &mut [f32]) {
        signed(self.from(start), base, scale, out);
    }

    fn from(&self, start: usize) -> &[u32] {
        debug_assert_eq!(start % 32, 0, "chunks start on a word");
        self.words.get(start / 32..).unwrap_or_default()
    }
}

/// Bits that several threads fill, each its own elements.
pub(in crate::fusion) struct Filling {
    words: Vec<AtomicU32>,
    len: usize,
}

impl Filling {
    pub(in crate::fusion) fn new(len: usize) -> Self {
        Self { words: (0..len.div_ceil(32)).map(|_| AtomicU32::new(0)).collect(), len }
    }

    /// Sets the bits of the elements from `start` on to those of `words`; bits of elements beyond the chunk must be zero.
    pub(in crate::fusion) fn put(&self, start: usize, words: &[u32]) {
        let (first, shift) = (start / 32, start % 32);
        for (target, word) in self.words.iter().skip(first).zip(words) {
            // Chunks of whole rows may share a word with their neighbour.
            target.fetch_or(word << shift, Ordering::Relaxed);
        }
        if shift > 0 {
            for (target, word) in self.words.iter().skip(first + 1).zip(words) {
                target.fetch_or(word >> (32 - shift), Ordering::Relaxed);
            }
        }
    }

    pub(in crate::fusion) fn finish(self) -> Bits {
        Bits { words: self.words.into_iter().map(AtomicU32::into_inner).collect(), len: self.len }
    }
}

/// Makes `words` one bit an element: what `test` says of the elements of three slices of one length.
#[inline(always)]
pub(in crate::fusion) fn pack(
    a: &[f32],
    b: &[f32],
    c: &[f32],
    words: &mut Vec<u32>,
    test: impl Fn(f32, f32, f32) -> bool,
) {
    words.clear();
    words.resize(a.len().div_ceil(32), 0);
    let ((a, x), (b, y), (c, z)) = (a.as_chunks::<32>(), b.as_chunks::<32>(), c.as_chunks::<32>());
    let bit = |at: usize, a: f32, b: f32, c: f32| u32::from(test(a, b, c)) << at;
    for (((word, a), b), c) in words.iter_mut().zip(a).zip(b).zip(c) {
        let mut bits = [0u32; 32];
        for at in 0..32 {
            bits[at] = bit(at, a[at], b[at], c[at]);
        }
        *word = bits.iter().fold(0, |all, bit| all | bit);
    }
    if let Some(word) = words.get_mut(a.len()) {
        for (at, ((a, b), c)) in x.iter().zip(y).zip(z).enumerate() {
            *word |= bit(at, *a, *b, *c);
        }
    }
}

wide! {
    /// The elements in which an expert is not below the base.
    pub(in crate::fusion) fn signs(expert: &[f32], base: &[f32], words: &mut Vec<u32>) = signs_body
}

#[inline(always)]
fn signs_body(expert: &[f32], base: &[f32], words: &mut Vec<u32>) {
    pack(expert, base, base, words, |expert, base, _| expert - base >= 0.0);
}

wide! {
    /// The elements that are not zero.
    pub(in crate::fusion) fn support(values: &[f32], words: &mut Vec<u32>) = support_body
}

#[inline(always)]
fn support_body(values: &[f32], words: &mut Vec<u32>) {
    pack(values, values, values, words, |value, _, _| value != 0.0);
}

wide! {
    fn masked(words: &[u32], base: &[f32], values: &[f32], scale: f32, out: &mut [f32]) = masked_body
}

#[inline(always)]
fn masked_body(words: &[u32], base: &[f32], values: &[f32], scale: f32, out: &mut [f32]) {
    expand(words, base, values, out, |base, value, bit| base + scale * only(value, bit));
}

wide! {
    fn kept(words: &[u32], base: &[f32], values: &[f32], scale: f32, out: &mut [f32]) = kept_body
}

#[inline(always)]
fn kept_body(words: &[u32], base: &[f32], values: &[f32], scale: f32, out: &mut [f32]) {
    expand(words, base, values, out, |base, value, bit| base + scale * only(value - base, bit));
}

wide! {
    fn signed(words: &[u32], base: &[f32], scale: f32, out: &mut [f32]) = signed_body
}

#[inline(always)]
fn signed_body(words: &[u32], base: &[f32], scale: f32, out: &mut [f32]) {
    // Without a bit the sign bit is turned.
    expand(words, base, base, out, |base, _, bit| base + f32::from_bits(scale.to_bits() ^ ((bit ^ 1) << 31)));
}

/// The value where the bit is set, else zero; without a branch, so that it works in registers.
#[inline(always)]
fn only(value: f32, bit: u32) -> f32 {
    f32::from_bits(value.to_bits() & 0u32.wrapping_sub(bit))
}

#[inline(always)]
fn expand(words: &[u32], a: &[f32], b: &[f32], out: &mut [f32], make: impl Fn(f32, f32, u32) -> f32) {
    let ((out, rest), (a, x), (b, y)) = (out.as_chunks_mut::<32>(), a.as_chunks::<32>(), b.as_chunks::<32>());
    let whole = out.len();
    for (((out, a), b), word) in out.iter_mut().zip(a).zip(b).zip(words) {
        for at in 0..32 {
            out[at] = make(a[at], b[at], word >> at & 1);
        }
    }
    let word = words.get(whole).copied().unwrap_or_default();
    for (at, ((out, a), b)) in rest.iter_mut().zip(x).zip(y).enumerate() {
        *out = make(*a, *b, word >> at & 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_unpacked_wherever_chunks_begin() {
        let values: Vec<f32> = (0..200).map(|at| (at * 37 % 11) as f32 - 5.0).collect();
        for cuts in [vec![0, 64, 200], vec![0, 7, 39, 40, 103, 200], vec![0, 200]] {
            let filling = Filling::new(values.len());
            for pair in cuts.windows(2) {
                let part = &values[pair[0]..pair[1]];
                let mut words = vec![7; 3];
                pack(part, part, part, &mut words, |x, _, _| x > 0.0);
                filling.put(pair[0], &words);
            }
            let bits = filling.finish();
            let expected: Vec<bool> = values.iter().map(|x| *x > 0.0).collect();
            assert_eq!(bits.iter().collect::<Vec<_>>(), expected, "{cuts:?}");
            assert_eq!((bits.count(), bits.bytes()), (expected.iter().filter(|bit| **bit).count(), 25));
            assert!(!bits.get(200) && !bits.get(9999));
        }
    }

    #[test]
    fn bits_choose_what_is_added() {
        let (base, values) = (vec![1.0; 70], (0..70).map(|at| at as f32).collect::<Vec<_>>());
        let filling = Filling::new(70);
        let mut words = Vec::new();
        pack(&values, &values, &values, &mut words, |x, _, _| x % 3.0 == 0.0);
        filling.put(0, &words);
        let bits = filling.finish();
        let made = |write: &dyn Fn(&mut [f32])| {
            let mut out = [9.0; 70];
            write(&mut out);
            out
        };
        let at = |bit: f32, none: f32| {
            (0..70).map(|at| if at % 3 == 0 { bit * at as f32 } else { none }).collect::<Vec<_>>()
        };
        let one_more = |values: Vec<f32>| values.into_iter().map(|x| x + 1.0).collect::<Vec<f32>>();
        assert_eq!(made(&|out| bits.add_masked(0, &base, &values, 2.0, out)).to_vec(), one_more(at(2.0, 0.0)));
        assert_eq!(made(&|out| bits.add_kept(0, &base, &values, 1.0, out)).to_vec(), {
            (0..70).map(|at| if at % 3 == 0 { at as f32 } else { 1.0 }).collect::<Vec<_>>()
        });
        let signs = made(&|out| bits.add_signs(0, &base, 0.5, out));
        assert!(signs.iter().enumerate().all(|(at, x)| *x == if at % 3 == 0 { 1.5 } else { 0.5 }));
        // The second word on.
        let mut out = [0.0; 38];
        bits.add_masked(32, &base[32..], &values[32..], 2.0, &mut out);
        assert_eq!(out[..], one_more(at(2.0, 0.0))[32..]);
    }
}
