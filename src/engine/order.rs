//! The order in which samples are evaluated: seeded, fair, and the same for every recipe.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Fixed, so that two recipes are always compared on the same samples.
const SEED: u64 = 2024;

/// A permutation of `0..n` that depends on `n` and `stream` only.
pub(super) fn permutation(n: usize, stream: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    rng.set_stream(stream);
    shuffle(n, rng)
}

/// A permutation of `0..n` that depends on `n` and `seed` only.
pub(super) fn shuffled(n: usize, seed: [u8; 32]) -> Vec<usize> {
    shuffle(n, ChaCha8Rng::from_seed(seed))
}

fn shuffle(n: usize, mut rng: ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        // Multiply-shift keeps the draw in 0..=last; its bias is far below anything a shuffle of images can show.
        let at = ((u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64) as usize;
        order.swap(last, at);
    }
    order
}

/// A piece of work: some samples of one task, as positions in that task's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub task: usize,
    pub start: usize,
    pub len: usize,
}

/// Chunks of all tasks, round-robin, so that every task's estimate moves at the same pace.
///
/// The first chunk of every task has `first` samples, the others `rest`.
pub(super) fn round_robin(samples: &[usize], first: usize, rest: usize) -> Vec<Chunk> {
    let mut done = vec![0; samples.len()];
    let mut chunks = Vec::new();
    while done.iter().zip(samples).any(|(done, all)| done < all) {
        for (task, &all) in samples.iter().enumerate() {
            let start = done[task];
            let len = if start == 0 { first } else { rest }.min(all - start);
            if len > 0 {
                chunks.push(Chunk { task, start, len });
                done[task] += len;
            }
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_are_complete_repeatable_and_differ_by_stream() {
        let order = permutation(1000, 1);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_eq!(order, permutation(1000, 1));
        assert_ne!(order, permutation(1000, 2));
        assert_ne!(order, sorted);
    }

    #[test]
    fn every_task_comes_first_before_any_comes_twice() {
        let chunks = round_robin(&[40, 10, 100], 16, 32);
        assert_eq!(
            chunks.iter().take(3).map(|chunk| (chunk.task, chunk.len)).collect::<Vec<_>>(),
            [(0, 16), (1, 10), (2, 16)]
        );
        for (task, all) in [(0, 40), (1, 10), (2, 100)] {
            let mine: Vec<_> = chunks.iter().filter(|chunk| chunk.task == task).collect();
            assert_eq!(mine.iter().map(|chunk| chunk.len).sum::<usize>(), all);
            assert!(mine.windows(2).all(|pair| pair[0].start + pair[0].len == pair[1].start));
        }
    }
}
