//! Random masks that depend on what is masked and never on the order of execution.

use super::kernels::wide::wide;
use super::seeded;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Which elements of which expert's task vector are kept.
pub trait MaskSource: Sync {
    /// Fills `keep` for the elements from `offset` on of the flattened tensor; `expert` is the expert's slot in the
    /// pool, `drop` the share of elements to drop.
    fn keep(&self, expert: usize, tensor: &str, offset: usize, drop: f64, keep: &mut [bool]);

    /// The same with a probability to be dropped for each element, in the order of `keep`.
    fn keep_each(&self, expert: usize, tensor: &str, offset: usize, drops: &[f32], keep: &mut [bool]);
}

/// The usual masks: each element is dropped with the given probability, independently, by a ChaCha8 stream of its own
/// for every (seed, tensor name, expert slot), so that chunking, threads and machines make no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeededMasks {
    pub seed: u64,
}

impl MaskSource for SeededMasks {
    fn keep(&self, expert: usize, tensor: &str, offset: usize, drop: f64, keep: &mut [bool]) {
        let threshold = Threshold::of(drop);
        self.draw(expert, tensor, offset, keep, |key, position, bytes, keep| {
            threshold.compare(key, position, bytes, keep);
        });
    }

    fn keep_each(&self, expert: usize, tensor: &str, offset: usize, drops: &[f32], keep: &mut [bool]) {
        self.draw(expert, tensor, offset, keep, |key, position, bytes, keep| {
            let drops = &drops[position - offset..][..keep.len()];
            for (at, ((keep, byte), drop)) in keep.iter_mut().zip(bytes).zip(drops).enumerate() {
                Threshold::of((*drop).into()).compare(key, position + at, &[*byte], std::slice::from_mut(keep));
            }
        });
    }
}

impl SeededMasks {
    /// Hands `decide` the stream's key, the position of some elements, their bytes and where to say what is kept.
    fn draw(
        self,
        expert: usize,
        tensor: &str,
        offset: usize,
        keep: &mut [bool],
        decide: impl Fn(u64, usize, &[u8], &mut [bool]),
    ) {
        let seed = seeded::key("mask", self.seed, &[&(expert as u64).to_le_bytes(), tensor.as_bytes()]);
        let key = seed.as_chunks::<8>().0.iter().fold(0, |key, part| key ^ u64::from_le_bytes(*part));
        let mut stream = ChaCha8Rng::from_seed(seed);
        // One byte of the stream an element: the byte's position is the element's.
        stream.set_word_pos((offset / 4) as u128);
        let mut bytes = [0u8; 4096];
        // The stream is drawn in whole words: an offset within one skips the bytes before it.
        let mut skip = offset % 4;
        let (mut position, mut rest) = (offset, keep);
        while !rest.is_empty() {
            let (now, later) = rest.split_at_mut(rest.len().min(bytes.len() - skip));
            let bytes = &mut bytes[..skip + now.len()];
            stream.fill_bytes(bytes);
            decide(key, position, &bytes[skip..], now);
            position += now.len();
            (skip, rest) = (0, later);
        }
    }
}

/// The probability of being dropped, as a 32-bit number.
#[derive(Debug, Clone, Copy)]
struct Threshold {
    /// The upper eight bits decide nearly always; 256 if everything is dropped.
    high: u64,
    low: u64,
}

impl Threshold {
    fn of(drop: f64) -> Self {
        let threshold = (drop.clamp(0.0, 1.0) * 2f64.powi(32)).round() as u64;
        Self { high: threshold >> 24, low: threshold & 0xff_ffff }
    }

    /// Keeps the elements whose number is at least the threshold.
    fn compare(&self, key: u64, position: usize, bytes: &[u8], keep: &mut [bool]) {
        let Ok(high) = u8::try_from(self.high) else { return keep.fill(false) };
        larger(bytes, high, keep);
        for (run, (bytes, keep)) in bytes.chunks(32).zip(keep.chunks_mut(32)).enumerate() {
            if !bytes.iter().fold(false, |any, &byte| any | (byte == high)) {
                continue;
            }
            for (at, (&byte, keep)) in bytes.iter().zip(keep).enumerate() {
                if byte == high {
                    *keep = low_bits(key, position + run * 32 + at) >= self.low;
                }
            }
        }
    }
}

wide! {
    fn larger(bytes: &[u8], high: u8, keep: &mut [bool]) = larger_body
}

#[inline(always)]
fn larger_body(bytes: &[u8], high: u8, keep: &mut [bool]) {
    keep.iter_mut().zip(bytes).for_each(|(keep, &byte)| *keep = byte > high);
}

/// The lower 24 bits of an element's number (SplitMix64 of its position): only asked for where the upper eight are equal
/// to the threshold's.
fn low_bits(key: u64, position: usize) -> u64 {
    let mut x = key.wrapping_add((position as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) >> 40
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(seed: u64, expert: usize, tensor: &str, drop: f64, length: usize) -> Vec<bool> {
        let mut keep = vec![false; length];
        SeededMasks { seed }.keep(expert, tensor, 0, drop, &mut keep);
        keep
    }

    #[test]
    fn pieces_of_a_mask_are_the_mask() {
        let whole = mask(7, 2, "a.weight", 0.6, 5000);
        for (start, end) in [(0, 17), (17, 1500), (1500, 5000)] {
            let mut piece = vec![false; end - start];
            SeededMasks { seed: 7 }.keep(2, "a.weight", start, 0.6, &mut piece);
            assert_eq!(piece, whole[start..end]);
        }
    }

    #[test]
    fn a_probability_for_each_element_draws_the_same_numbers() {
        for drop in [0.0, 0.25, 0.5, 0.7, 1.0f32] {
            let mut each = vec![false; 5000];
            SeededMasks { seed: 7 }.keep_each(2, "a.weight", 0, &vec![drop; 5000], &mut each);
            assert_eq!(each, mask(7, 2, "a.weight", drop.into(), 5000), "{drop}");
        }
        let drops: Vec<f32> = (0..100_000).map(|at| if at % 2 == 0 { 0.1 } else { 0.8 }).collect();
        let mut keep = vec![false; drops.len()];
        SeededMasks { seed: 7 }.keep_each(2, "a.weight", 0, &drops, &mut keep);
        let kept = |odd: usize| keep.iter().skip(odd).step_by(2).filter(|keep| **keep).count() as f64 / 50_000.0;
        assert!((kept(0) - 0.9).abs() < 0.006 && (kept(1) - 0.2).abs() < 0.008, "{} {}", kept(0), kept(1));
    }

    #[test]
    fn seed_tensor_and_expert_each_change_the_mask() {
        let one = mask(7, 2, "a.weight", 0.5, 64);
        assert_eq!(one, mask(7, 2, "a.weight", 0.5, 64));
        for other in [mask(8, 2, "a.weight", 0.5, 64), mask(7, 3, "a.weight", 0.5, 64), mask(7, 2, "b.weight", 0.5, 64)]
        {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn the_kept_share_is_what_was_asked_for() {
        let kept = |drop| mask(0, 0, "w", drop, 200_000).iter().filter(|&&keep| keep).count();
        assert_eq!(kept(0.0), 200_000);
        assert_eq!(kept(1.0), 0);
        // Also shares that are no multiple of 1/256, down to a few elements.
        for drop in [0.9f64, 0.5, 0.3, 0.999, 0.002] {
            let expected = 200_000.0 * (1.0 - drop);
            let deviation = (200_000.0 * drop * (1.0 - drop)).sqrt();
            assert!((kept(drop) as f64 - expected).abs() < 4.0 * deviation, "{drop}: {}", kept(drop));
        }
    }
}
