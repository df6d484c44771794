//! Which examples, in which order: by the seed and the task's name, whatever else is going on.

use crate::engine::order;
use crate::fusion::{Draw, seeded};

/// The examples of a draw from `count` of a task, in their order.
pub(super) fn chosen(task: &str, draw: Draw, count: usize) -> Vec<usize> {
    let mut order = order::shuffled(count, stream(task, draw.seed, 0));
    order.truncate(draw.samples);
    order
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
}
