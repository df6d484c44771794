//! Random masks that depend on what is masked and never on the order of execution.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// Which elements of which expert's task vector are kept.
pub trait MaskSource: Sync {
    /// Fills `keep` for the elements from `offset` on of the flattened tensor; `expert` is the expert's slot in the
    /// pool, `drop` the share of elements to drop.
    fn keep(&self, expert: usize, tensor: &str, offset: usize, drop: f64, keep: &mut [bool]);
}

/// The usual masks: each element is dropped with the given probability, independently, by a ChaCha8 stream of its own
/// for every (seed, tensor name, expert slot), so that chunking, threads and machines make no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeededMasks {
    pub seed: u64,
}

impl MaskSource for SeededMasks {
    fn keep(&self, expert: usize, tensor: &str, offset: usize, drop: f64, keep: &mut [bool]) {
        let mut hash = Sha256::new_with_prefix(b"fusebench mask\0");
        hash.update(self.seed.to_le_bytes());
        hash.update((expert as u64).to_le_bytes());
        hash.update(tensor.as_bytes());
        let mut stream = ChaCha8Rng::from_seed(hash.finalize().into());
        // One 32-bit word an element: the word's position is the element's.
        stream.set_word_pos(offset as u128);
        let threshold = (drop.clamp(0.0, 1.0) * 2f64.powi(32)).round() as u64;
        let mut words = [0u8; 4096];
        for block in keep.chunks_mut(words.len() / 4) {
            let words = &mut words[..block.len() * 4];
            stream.fill_bytes(words);
            for (keep, word) in block.iter_mut().zip(words.as_chunks::<4>().0) {
                *keep = u64::from(u32::from_le_bytes(*word)) >= threshold;
            }
        }
    }
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
        let (kept, expected) = (kept(0.9) as f64, 20_000.0);
        assert!((kept - expected).abs() < 5.0 * (200_000.0f64 * 0.9 * 0.1).sqrt(), "{kept}");
    }
}
