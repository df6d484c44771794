//! What methods that look at data gave: the same recipe on other images, or for the record, is not learned once more.

use super::event::short_name;
use super::{Event, Plan, RunId};
use crate::fusion::{Adapted, Fused, News, RoutedTask};
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
    /// The recipe that was asked for, where it led here, and the one that it turned out to be.
    recipes: Vec<String>,
    bytes: u64,
    lesson: Arc<Lesson>,
}

/// What lessons before the last one may take together, in bytes; the last one stays whatever it takes.
const ROOM: u64 = 256 << 20;

impl Lessons {
    /// The lesson of a plan's recipe; on which images it is to be evaluated does not matter.
    pub(super) fn recall(&self, plan: &Plan) -> Option<Arc<Lesson>> {
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
        let mut recipes = same.map_or_else(Vec::new, |same| same.recipes);
        recipes.extend(asked.into_iter().chain([own]));
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

/// So many steps are kept of a long way; then only every second, every fourth, and so on.
const STEPS: usize = 256;

/// What a method said on its way, to be said again whenever its result is used again.
#[derive(Debug, Default)]
pub(super) struct Said {
    steps: Vec<Adapted>,
    /// Of so many steps one is kept, less one.
    left_out: usize,
    heard: usize,
    last: Option<Adapted>,
    routed: Option<News>,
    warnings: Vec<News>,
}

impl Said {
    pub fn hear(&mut self, news: &News) {
        match news {
            News::Adapted(adapted) => {
                if self.steps.len() == STEPS {
                    let mut at = 0..;
                    self.steps.retain(|_| at.next().is_some_and(|at| at % 2 == 0));
                    self.left_out = 2 * self.left_out + 1;
                }
                if self.heard.is_multiple_of(self.left_out + 1) {
                    self.steps.push(adapted.clone());
                }
                self.heard += 1;
                self.last = Some(adapted.clone());
            }
            News::Routed { .. } => self.routed = Some(news.clone()),
            News::Warning(_) => self.warnings.push(news.clone()),
            News::Phase { .. } | News::Settled { .. } => {}
        }
    }

    /// Bytes that it takes, about.
    fn bytes(&self) -> u64 {
        let numbers =
            |adapted: &Adapted| adapted.losses.len() + adapted.coefficients.iter().map(Vec::len).sum::<usize>();
        8 * self.steps.iter().map(numbers).sum::<usize>() as u64
    }

    /// All of it again, as events of `run`.
    pub fn again(&self, run: RunId) -> impl Iterator<Item = Event> {
        let ends_otherwise = self.steps.last() != self.last.as_ref();
        let steps = self.steps.iter().chain(self.last.as_ref().filter(|_| ends_otherwise));
        let news = steps.cloned().map(News::Adapted).chain(self.routed.clone()).chain(self.warnings.iter().cloned());
        news.flat_map(move |news| events(run, news))
    }
}

/// What a method says, as events.
pub(super) fn events(run: RunId, news: News) -> Vec<Event> {
    vec![match news {
        News::Phase { name, total, unit } => {
            Event::Phase { run, name: name.to_owned(), total: Some(total as u64), unit: unit.to_owned() }
        }
        News::Warning(text) => Event::Log { run, level: "warn".to_owned(), text },
        News::Adapted(Adapted { step, steps, losses, blocks, coefficients, exact, masked }) => Event::Adapted {
            run,
            step: step as u64,
            steps: steps as u64,
            loss: losses.iter().sum::<f64>() / losses.len().max(1) as f64,
            losses,
            blocks: blocks.to_vec(),
            coefficients,
            exact,
            masked,
        },
        News::Routed { places, experts, tasks } => {
            let places: Vec<String> = places.iter().map(|place| short_name(place)).collect();
            let event = |RoutedTask { task, weights }: RoutedTask| {
                let (places, experts) = (places.clone(), experts.clone());
                Event::Routing { run, task, places, experts, weights }
            };
            return tasks.into_iter().map(event).collect();
        }
        News::Settled { .. } => return Vec::new(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: usize) -> News {
        News::Adapted(Adapted { step, steps: 5000, losses: vec![1.0], ..Adapted::default() })
    }

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

    #[test]
    fn of_a_long_way_evenly_spread_steps_are_said_again_and_the_last_one() {
        for long in [1, 7, STEPS, STEPS + 1, 1000, 5000] {
            let mut said = Said::default();
            (1..=long).for_each(|at| said.hear(&step(at)));
            let at = |event| if let Event::Adapted { step, .. } = event { step as usize } else { panic!("{event:?}") };
            let again: Vec<usize> = said.again(RunId(3)).map(at).collect();
            assert!(again.len() <= STEPS + 1 && again.first() == Some(&1) && again.last() == Some(&long), "{again:?}");
            let gaps: Vec<usize> = again[..again.len() - 1].windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(gaps.iter().all(|gap| *gap == gaps[0]), "{gaps:?}");
            assert!(long > STEPS || again.len() == long);
        }
    }
}
