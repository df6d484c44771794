//! What methods say, as events, and said again.

use super::event::short_name;
use super::{Event, RunId};
use crate::fusion::{Adapted, News, RoutedTask};

/// So many steps are kept of a long way; then only every second, every fourth, and so on.
const STEPS: usize = 256;

/// What a method said on its way, to be said again whenever its result is used again.
#[derive(Debug, Default)]
pub(super) struct Said {
    steps: Vec<Adapted>,
    /// How often every second step was dropped.
    halved: u32,
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
                    self.halved += 1;
                }
                if self.heard.is_multiple_of(1 << self.halved) {
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
    pub fn bytes(&self) -> u64 {
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
