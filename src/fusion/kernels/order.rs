//! The order in which continual methods take the experts.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The pool's own order, or one drawn from a seed.
pub(in crate::fusion) fn order(experts: usize, seed: Option<u64>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..experts).collect();
    if let Some(seed) = seed {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        for last in (1..experts).rev() {
            order.swap(last, (stream.next_u64() % (last as u64 + 1)) as usize);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expert_is_taken_once() {
        assert_eq!(order(4, None), [0, 1, 2, 3]);
        let mut drawn = order(9, Some(3));
        assert_ne!(drawn, order(9, None));
        drawn.sort_unstable();
        assert_eq!(drawn, order(9, None));
        assert!(order(0, Some(1)).is_empty());
    }
}
