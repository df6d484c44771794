//! What the bars show: the newest number of every task, old ones until they are replaced, and how it compares.

use crate::tasks::Data;
use crate::tasks::metrics::{Paired, mcnemar};
use crate::tui::runs::{RunView, Score, average};

/// Below this the difference between two runs is called real.
const SIGNIFICANT: f64 = 0.05;
/// Half-width of a 95 % interval in standard deviations.
const Z95: f64 = 1.96;

/// One task's bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    pub task: String,
    pub score: Option<Score>,
    /// Per sample; empty until the run is finished.
    pub outcomes: Vec<bool>,
    /// It belongs to the setting on screen, not to the one before.
    pub fresh: bool,
}

/// All bars.
#[derive(Debug, Clone, PartialEq)]
pub struct Board {
    pub data: Data,
    pub slots: Vec<Slot>,
}

impl Board {
    #[must_use]
    pub fn new(tasks: impl IntoIterator<Item = String>, data: Data) -> Self {
        let slot = |task| Slot { task, score: None, outcomes: Vec::new(), fresh: false };
        Self { data, slots: tasks.into_iter().map(slot).collect() }
    }

    /// A new preview begins: what is shown stays, as old; on other data it would mean nothing and goes.
    pub fn expect(&mut self, data: Data) {
        for slot in &mut self.slots {
            slot.fresh = false;
            if data != self.data {
                slot.score = None;
                slot.outcomes.clear();
            }
        }
        self.data = data;
    }

    /// Takes over what a run knows by now.
    pub fn take(&mut self, run: &RunView) {
        for slot in &mut self.slots {
            if let Some(task) = run.task(&slot.task)
                && task.score.is_some()
            {
                slot.score = task.score;
                slot.outcomes.clone_from(&task.outcomes);
                slot.fresh = true;
            }
        }
    }

    /// Unweighted mean over all tasks with the half-width of its interval; nothing until every task has a number.
    #[must_use]
    pub fn average(&self) -> Option<(f64, f64)> {
        self.average_over(|_| true)
    }

    /// The same over some of the tasks.
    #[must_use]
    pub fn average_over(&self, pick: impl Fn(&str) -> bool) -> Option<(f64, f64)> {
        let slots = self.slots.iter().filter(|slot| pick(&slot.task));
        let scores: Vec<Score> = slots.map(|slot| slot.score).collect::<Option<_>>()?;
        average(&scores)
    }

    /// Whether every bar belongs to the setting on screen.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.slots.iter().all(|slot| slot.fresh)
    }

    #[must_use]
    pub fn slot(&self, task: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.task == task)
    }
}

/// Whether a difference can be told from chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Better,
    Worse,
    /// Not with the samples seen so far.
    Unclear,
}

/// A difference between two accuracies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delta {
    /// As a share of 1; positive when the new one is better.
    pub by: f64,
    pub verdict: Verdict,
}

impl Delta {
    fn new(by: f64, real: bool) -> Self {
        let verdict = match () {
            () if !real => Verdict::Unclear,
            () if by > 0.0 => Verdict::Better,
            () => Verdict::Worse,
        };
        Self { by, verdict }
    }
}

/// The difference of one task: a paired test when both saw the same samples to the end, the intervals otherwise.
#[must_use]
pub fn delta(now: &Slot, then: &Slot) -> Option<Delta> {
    let (a, b) = (now.score?, then.score?);
    let by = a.accuracy - b.accuracy;
    let real = match paired(now, then) {
        Some(paired) => paired.wins + paired.losses > 0 && paired.p < SIGNIFICANT,
        None => by.abs() > a.margin().hypot(b.margin()),
    };
    Some(Delta::new(by, real))
}

/// The difference of the averages over all tasks.
#[must_use]
pub fn average_delta(now: &Board, then: &Board) -> Option<Delta> {
    let n = now.slots.len() as f64;
    let (mut by, mut variance) = (0.0, 0.0);
    for slot in &now.slots {
        let other = then.slot(&slot.task)?;
        let (a, b) = (slot.score?, other.score?);
        by += a.accuracy - b.accuracy;
        variance += match paired(slot, other) {
            Some(paired) => paired.variance(slot.outcomes.len() as u64),
            None => (a.margin().powi(2) + b.margin().powi(2)) / Z95.powi(2),
        };
    }
    let (by, margin) = (by / n, Z95 * variance.sqrt() / n);
    by.is_finite().then(|| Delta::new(by, by.abs() > margin))
}

/// The two sample by sample, when both went over the same samples.
fn paired(now: &Slot, then: &Slot) -> Option<Paired> {
    let (a, b) = (&now.outcomes, &then.outcomes);
    (!a.is_empty() && a.len() == b.len()).then(|| mcnemar(a, b))
}

/// How much of the way from the base to the experts is covered, on average over tasks; nothing where there is no way.
#[must_use]
pub fn recovered(average: f64, base: f64, expert: f64) -> Option<f64> {
    let gap = expert - base;
    (gap.abs() > 1e-9).then(|| (average - base) / gap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Split;
    use crate::tasks::metrics::wilson;

    const VALIDATION: Data = Data { split: Split::Validation, corruption: None };

    fn slot(task: &str, correct: u64, seen: u64, outcomes: Vec<bool>) -> Slot {
        let (low, high) = wilson(correct, seen);
        let score = Score { accuracy: correct as f64 / seen as f64, low, high, seen, total: 1000 };
        Slot { task: task.into(), score: Some(score), outcomes, fresh: true }
    }

    #[test]
    fn a_difference_within_the_intervals_is_unclear() {
        let d = delta(&slot("mnist", 60, 100, vec![]), &slot("mnist", 55, 100, vec![])).unwrap();
        assert!((d.by - 0.05).abs() < 1e-12);
        assert_eq!(d.verdict, Verdict::Unclear);
        let d = delta(&slot("mnist", 600, 1000, vec![]), &slot("mnist", 500, 1000, vec![])).unwrap();
        assert_eq!(d.verdict, Verdict::Better);
        let d = delta(&slot("mnist", 500, 1000, vec![]), &slot("mnist", 600, 1000, vec![])).unwrap();
        assert_eq!(d.verdict, Verdict::Worse);
    }

    #[test]
    fn pairing_sees_what_intervals_cannot() {
        // 20 of 1000 answers became right and none wrong: far within the intervals, far beyond chance.
        let before: Vec<bool> = (0..1000).map(|i| i < 500).collect();
        let after: Vec<bool> = (0..1000).map(|i| i < 520).collect();
        let (now, then) = (slot("mnist", 520, 1000, after), slot("mnist", 500, 1000, before));
        assert_eq!(delta(&now, &then).unwrap().verdict, Verdict::Better);
        let unpaired = |slot: &Slot| Slot { outcomes: vec![], ..slot.clone() };
        assert_eq!(delta(&unpaired(&now), &unpaired(&then)).unwrap().verdict, Verdict::Unclear);
        assert_eq!(delta(&now, &now).unwrap().verdict, Verdict::Unclear);
        let board = |slot: &Slot| Board { data: VALIDATION, slots: vec![slot.clone()] };
        assert_eq!(average_delta(&board(&now), &board(&then)).unwrap().verdict, Verdict::Better);
        assert_eq!(average_delta(&board(&unpaired(&now)), &board(&then)).unwrap().verdict, Verdict::Unclear);
    }

    #[test]
    fn old_bars_stay_until_replaced_but_not_on_another_split() {
        let mut board = Board { data: VALIDATION, slots: vec![slot("mnist", 60, 100, vec![])] };
        board.expect(VALIDATION);
        assert!(board.slots[0].score.is_some() && !board.slots[0].fresh);
        assert!(board.average().is_some());
        board.expect(Data::default());
        assert_eq!(board.average(), None);
    }

    #[test]
    fn the_gap_is_a_share_of_the_way() {
        assert!((recovered(0.6, 0.5, 0.75).unwrap() - 0.4).abs() < 1e-12);
        assert_eq!(recovered(0.6, 0.5, 0.5), None);
    }
}
