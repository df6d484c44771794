//! Which examples, in which order: by the seed and the task's name, whatever else is going on.

use crate::engine::order;
use crate::fusion::{Draw, seeded};

/// The examples of a draw from `count` of a task, in their order.
pub(super) fn chosen(task: &str, draw: Draw, count: usize) -> Vec<usize> {
    let mut order = order::shuffled(count, stream(task, draw.seed, 0));
    order.truncate(draw.samples);
    order
}

/// The examples of step `step`, as many as a batch has or the draw gives: batch after batch of the draw, in a new order
/// whenever all were seen.
pub(super) fn step(task: &str, draw: Draw, count: usize, step: usize) -> Vec<usize> {
    let pool = chosen(task, draw, count);
    let batch = draw.batch.clamp(1, pool.len().max(1));
    let (n, mut examples) = (pool.len(), Vec::with_capacity(batch));
    while examples.len() < batch && n > 0 {
        let position = step * batch + examples.len();
        let order = order::shuffled(n, stream(task, draw.seed, (position / n) as u64 + 1));
        let rest = order[position % n..].iter().take(batch - examples.len());
        examples.extend(rest.map(|&at| pool[at]));
    }
    examples
}

fn stream(task: &str, seed: u64, round: u64) -> [u8; 32] {
    seeded::key("examples", seed, &[&round.to_le_bytes(), task.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::Shown;

    #[test]
    fn a_draw_is_a_shuffled_part_that_depends_on_seed_and_task() {
        let draw = |samples, seed| Draw { shown: Shown::Validation, samples, batch: 8, seed };
        let some = chosen("mnist", draw(30, 0), 100);
        assert_eq!(some.len(), 30);
        assert!(some.iter().collect::<std::collections::BTreeSet<_>>().len() == 30 && some.iter().all(|&at| at < 100));
        assert_eq!(some, chosen("mnist", draw(100, 0), 100)[..30], "more samples are the same ones and others");
        assert_ne!(some, chosen("mnist", draw(30, 1), 100));
        assert_ne!(some, chosen("emoji", draw(30, 0), 100));
        assert_eq!(chosen("mnist", draw(30, 0), 3).len(), 3);
    }

    #[test]
    fn steps_go_through_all_examples_before_any_comes_again() {
        let draw = Draw { shown: Shown::Test, samples: 20, batch: 8, seed: 3 };
        let steps: Vec<usize> = (0..5).flat_map(|at| step("mnist", draw, 100, at)).collect();
        assert_eq!(steps.len(), 40);
        let sorted = |part: &[usize]| part.iter().copied().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(sorted(&steps[..20]), sorted(&chosen("mnist", draw, 100)));
        assert_eq!(sorted(&steps[20..]), sorted(&steps[..20]));
        assert_ne!(steps[20..], steps[..20], "another order");
        assert_eq!(step("mnist", draw, 3, 7).len(), 3, "no example twice in a batch of a small task");
    }
}
