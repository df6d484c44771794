//! Rounds of so many steps each, of which the last may have fewer: any step is an end that comes out again.

use crate::fusion::{Context, News};
use crate::params::Value;

/// How far a way goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) struct Schedule {
    pub rounds: usize,
    /// Steps of a round; at least 1.
    pub steps: usize,
    /// Steps of the last round; 0, or more than a round has: all of them.
    pub last: usize,
}

impl Schedule {
    /// Steps in all.
    pub(in crate::fusion) fn total(self) -> usize {
        let last = if self.last == 0 { self.steps } else { self.last.min(self.steps) };
        self.rounds.checked_sub(1).map_or(0, |before| before * self.steps + last)
    }

    /// Whether a round begins after `done` steps.
    pub(in crate::fusion) fn is_start(self, done: usize) -> bool {
        done.is_multiple_of(self.steps)
    }

    /// Says which parameters `rounds` and `last` give as many steps as were taken, where those are not all.
    pub(in crate::fusion) fn settle(self, done: usize, cx: &mut Context<'_>) {
        if done < self.total() {
            let value = |count: usize| Value::Int(count as i64);
            cx.tell(News::Settled { param: "rounds", value: value(done.div_ceil(self.steps)) });
            cx.tell(News::Settled { param: "last", value: value(done % self.steps) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;

    #[test]
    fn what_is_settled_has_as_many_steps_as_were_taken() {
        let asked = Schedule { rounds: 3, steps: 4, last: 2 };
        assert_eq!(asked.total(), 10);
        assert_eq!(Schedule { last: 0, ..asked }.total(), 12);
        assert_eq!(Schedule { last: 9, ..asked }.total(), 12);
        assert_eq!(Schedule { rounds: 0, ..asked }.total(), 0);
        for done in 0..10 {
            let (cancel, mut silent, mut heard) = (Cancel::default(), |_, _| {}, Vec::new());
            let mut listener = |news| heard.push(news);
            asked.settle(done, &mut Context::new(&cancel, &mut silent).with_listener(&mut listener));
            let mut settled = asked;
            for news in heard {
                match news {
                    News::Settled { param: "rounds", value: Value::Int(value) } => settled.rounds = value as usize,
                    News::Settled { param: "last", value: Value::Int(value) } => settled.last = value as usize,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(settled.total(), done, "{settled:?}");
        }
    }
}
