//! What methods that look at data gave: the same recipe on other images, or for the record, is not learned once more.

use super::Plan;
use super::news::Said;
use crate::fusion::{Examples, Fused};
use crate::params::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What fusing took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    pub seconds: f64,
    /// The most bytes that the process had, where the system tells.
    pub memory: Option<u64>,
    /// For an earlier run.
    pub before: bool,
}

/// What a method gave, and what it said on the way.
#[derive(Debug)]
pub(super) struct Lesson {
    pub fused: Fused,
    /// Parameters that turned out otherwise than asked for.
    pub settled: Vec<(&'static str, Value)>,
    pub cost: Cost,
    pub said: Said,
}

/// Lessons by recipe. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Lessons {
    /// The last at the end.
    kept: Arc<Mutex<VecDeque<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    /// The recipe that it is of, and others that turned out to be that one.
    recipes: Vec<String>,
    bytes: u64,
    lesson: Arc<Lesson>,
}

/// What lessons before the last one may take together, in bytes; the last one stays whatever it takes.
const ROOM: u64 = 256 << 20;

impl Lessons {
    /// The lesson of a plan's recipe; on which images it is to be evaluated does not matter.
    pub(super) fn recall(&self, plan: &Plan) -> Option<Arc<Lesson>> {
        // What can be had again at once is not kept.
        if plan.method.needs.data == Examples::None {
            return None;
        }
        let recipe = plan.recipe();
        self.kept().iter().find(|kept| kept.recipes.contains(&recipe)).map(|kept| Arc::clone(&kept.lesson))
    }

    /// Keeps a lesson for the recipe that was asked for, where it led there, and for the one that it turned out to be, `plan`'s.
    pub(super) fn keep(&self, asked: Option<String>, plan: &Plan, lesson: Arc<Lesson>) {
        let own = plan.recipe();
        let bytes = lesson.fused.bytes(&plan.pool) + lesson.said.bytes();
        let mut kept = self.kept();
        // Whatever else led to it still does.
        let same = kept.iter().position(|kept| kept.recipes.contains(&own)).and_then(|at| kept.remove(at));
        let mut recipes = same.map_or_else(|| vec![own], |same| same.recipes);
        recipes.extend(asked.filter(|asked| !recipes.contains(asked)));
        kept.push_back(Kept { recipes, bytes, lesson });
        make_room(&mut kept, 1);
    }

    /// Before something new is learned, which takes room itself: the last lesson counts like the others.
    pub(super) fn make_room(&self) {
        make_room(&mut self.kept(), 0);
    }

    /// Keeps none of them any longer: they are of another device.
    pub(super) fn forget(&self) {
        self.kept().clear();
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops the largest, but for the last `spared` ones, until the others fit.
fn make_room(kept: &mut VecDeque<Kept>, spared: usize) {
    loop {
        let others = kept.len().saturating_sub(spared);
        let sizes = || kept.iter().take(others).map(|kept| kept.bytes);
        if sizes().sum::<u64>() <= ROOM {
            return;
        }
        let largest = sizes().enumerate().max_by_key(|(_, bytes)| *bytes).map(|(at, _)| at);
        largest.map(|at| kept.remove(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_make_room_and_the_last_stays() {
        let lesson = || {
            let fused = Fused::Ensemble(crate::fusion::EnsembleRule::Max);
            Arc::new(Lesson { fused, settled: Vec::new(), cost: Cost::default(), said: Said::default() })
        };
        let after = |sizes: &[u64], spared| {
            let kept = |bytes: &u64| Kept { recipes: Vec::new(), bytes: *bytes, lesson: lesson() };
            let mut kept: VecDeque<Kept> = sizes.iter().map(kept).collect();
            make_room(&mut kept, spared);
            kept.iter().map(|kept| kept.bytes).collect::<Vec<_>>()
        };
        assert_eq!(after(&[1, ROOM, 2, 2 * ROOM], 1), [1, 2, 2 * ROOM]);
        assert_eq!(after(&[1, 2, 2 * ROOM], 0), [1, 2]);
        assert_eq!(after(&[ROOM / 2, ROOM / 2, 1], 1), [ROOM / 2, ROOM / 2, 1]);
    }
}
