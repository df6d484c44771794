//! A checksum of contents at the speed of memory, to tell whether weights are the ones that they were.
//!
//! 128 bits for every block of a tensor, put together by SHA-256 with names, dtypes and shapes: the same weights have the
//! same fingerprint in one file or in shards. It finds accidents of every kind; it is no defence against somebody who
//! crafts a collision: for that there is the SHA-256 of the files.

use super::TensorInfo;
use super::wide::wide;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Elements of a block.
pub const BLOCK: usize = 1 << 18;

/// A checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest(pub [u64; 2]);

impl Digest {
    /// Of a block's bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut lanes = KEYS[0];
        let (stripes, rest) = bytes.as_chunks::<STRIPE>();
        absorb(stripes, &mut lanes);
        let mut last = [0u8; STRIPE];
        last[..rest.len()].copy_from_slice(rest);
        absorb(&[last], &mut lanes);
        let fold = |lanes: &[u64; 8], start: u64| {
            lanes.iter().fold(start, |hash, lane| mix((hash ^ lane).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        };
        let length = bytes.len() as u64;
        Self([fold(&lanes, length), fold(&lanes, !length)])
    }

    /// Of a sequence of blocks, from theirs.
    #[must_use]
    pub fn join(blocks: impl IntoIterator<Item = Self>) -> Self {
        let fold = |hash: u64, part: u64| mix((hash.rotate_left(23) ^ part).wrapping_mul(0xd6e8_feb8_6659_fd93));
        let join = |Self([a, b]): Self, Self([c, d]): Self| Self([fold(a, c), fold(b, d)]);
        blocks.into_iter().fold(Self([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344]), join)
    }

    /// From the form in which it is shown.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (high, low) = (text.get(..16)?, text.get(16..32)?);
        let number = |text| u64::from_str_radix(text, 16).ok();
        (text.len() == 32).then_some(Self([number(high)?, number(low)?]))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0[0], self.0[1])
    }
}

/// The fingerprint of a checkpoint from its tensors' digests, which are given in the checkpoint's order.
#[must_use]
pub fn fingerprint<'a>(tensors: impl IntoIterator<Item = (&'a TensorInfo, Digest)>) -> String {
    let mut lines: Vec<String> = tensors
        .into_iter()
        .map(|(info, digest)| format!("{}\0{}\0{:?}\0{digest}\n", info.name, info.dtype, info.shape))
        .collect();
    lines.sort_unstable();
    Sha256::digest(lines.concat()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that are absorbed together.
const STRIPE: usize = 64;
/// Stripes between two stirs.
const ROUND: usize = 16;

/// Numbers without a pattern: SplitMix64.
static KEYS: [[u64; 8]; ROUND] = {
    let mut keys = [[0; 8]; ROUND];
    let mut at = 0;
    while at < 8 * ROUND {
        let x = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        keys[at / 8][at % 8] = mix(mix(x).wrapping_mul(0xbf58_476d_1ce4_e5b9));
        at += 1;
    }
    keys
};

const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

wide! {
    fn absorb(stripes: &[[u8; STRIPE]], lanes: &mut [u64; 8]) = absorb_body
}

#[inline(always)]
fn absorb_body(stripes: &[[u8; STRIPE]], lanes: &mut [u64; 8]) {
    let mut state = *lanes;
    for round in stripes.chunks(ROUND) {
        for (stripe, key) in round.iter().zip(&KEYS) {
            let words = stripe.as_chunks::<8>().0;
            for lane in 0..8 {
                let word = u64::from_le_bytes(words[lane]);
                let keyed = word ^ key[lane];
                // The product loses bits where one factor is zero; the word itself, in the neighbour's lane, does not.
                state[lane] = state[lane].wrapping_add((keyed & 0xffff_ffff).wrapping_mul(keyed >> 32));
                state[lane ^ 1] = state[lane ^ 1].wrapping_add(word);
            }
        }
        for (lane, key) in state.iter_mut().zip(&KEYS[ROUND - 1]) {
            let x = (*lane ^ (*lane >> 47)) ^ key;
            *lane = (x & 0xffff_ffff).wrapping_mul(0x9e37_79b1).wrapping_add((x >> 32).wrapping_mul(0x9e37_79b1) << 32);
        }
    }
    *lanes = state;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_every_place_and_every_length_counts() {
        let bytes: Vec<u8> = (0..4096u32).map(|x| (x * x % 251) as u8).collect();
        let whole = Digest::of(&bytes);
        let mut seen = std::collections::HashSet::from([whole]);
        for bit in (0..8 * bytes.len()).step_by(7) {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(Digest::of(&changed)), "bit {bit}");
        }
        for length in 0..200 {
            assert!(seen.insert(Digest::of(&vec![0; length])), "{length} zeros");
        }
        // Swapped stripes, words and halves of words.
        for (a, b, length) in [(0, 64, 64), (1024, 3072, 64), (0, 2048, 1024), (8, 16, 8), (0, 4, 4)] {
            let mut swapped = bytes.clone();
            for at in 0..length {
                swapped.swap(a + at, b + at);
            }
            assert!(seen.insert(Digest::of(&swapped)), "{a} and {b} swapped");
        }
        assert_eq!(Digest::of(&bytes), whole);
        assert_eq!(Digest::parse(&whole.to_string()), Some(whole));
        assert_eq!(Digest::parse("12"), None);
    }

    #[test]
    fn random_bytes_give_random_digests() {
        // Each of the 128 bits is set in about half of many digests: 4 standard deviations of the binomial.
        let digests: Vec<Digest> = (0..4000u32).map(|x| Digest::of(&x.to_le_bytes())).collect();
        for bit in 0..128 {
            let set = digests.iter().filter(|digest| digest.0[bit / 64] >> (bit % 64) & 1 == 1).count();
            assert!((1870..=2130).contains(&set), "bit {bit}: {set}");
        }
    }

    #[test]
    fn the_order_of_blocks_counts() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_ne!(Digest::join([a, b]), Digest::join([b, a]));
        assert_ne!(Digest::join([a]), Digest::join([a, Digest::default()]));
    }
}
