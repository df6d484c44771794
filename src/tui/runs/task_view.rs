//! One task of a run: the estimate so far, and how it came about.

/// Points of a curve; when there are more, every second one is dropped.
const POINTS: usize = 400;

/// Accuracy on a task as far as it is known, as shares of 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    pub accuracy: f64,
    /// 95 % Wilson interval.
    pub low: f64,
    pub high: f64,
    pub seen: u64,
    pub total: u64,
}

impl Score {
    /// Half of the interval's width.
    #[must_use]
    pub fn margin(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// One task of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskView {
    pub task: String,
    /// Missing until the first sample was seen.
    pub score: Option<Score>,
    /// Mean cross-entropy in nats, once the task is done.
    pub loss: Option<f64>,
    pub done: bool,
    /// (samples seen, accuracy), thinned to a bounded number of points.
    pub curve: Vec<(f64, f64)>,
    /// Per sample, in data-set order; empty until the run is finished.
    pub outcomes: Vec<bool>,
}

impl TaskView {
    #[must_use]
    pub fn new(task: String) -> Self {
        Self { task, score: None, loss: None, done: false, curve: Vec::new(), outcomes: Vec::new() }
    }

    /// Takes in a new estimate and extends the curve by it.
    pub fn see(&mut self, score: Score) {
        let x = score.seen as f64;
        if self.curve.last().is_none_or(|&(last, _)| x > last) {
            self.curve.push((x, score.accuracy));
        } else if let Some(last) = self.curve.last_mut() {
            last.1 = score.accuracy;
        }
        if self.curve.len() > POINTS {
            // The newest point stays: it is what the table shows.
            let parity = (self.curve.len() - 1) % 2;
            let mut index = 0;
            self.curve.retain(|_| {
                index += 1;
                (index - 1) % 2 == parity
            });
        }
        self.score = Some(score);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_thinned_but_keeps_its_end() {
        let mut task = TaskView::new("mnist".into());
        for seen in 1..=5000 {
            task.see(Score { accuracy: 0.5, low: 0.4, high: 0.6, seen, total: 5000 });
        }
        assert!(task.curve.len() <= POINTS);
        assert!(task.curve.len() > POINTS / 4);
        assert_eq!(task.curve.last().unwrap().0, 5000.0);
        assert!(task.curve.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
