//! How fast it goes and how long it will still take, from progress as it is reported.

use std::time::Duration;

/// Reports that are left out at the start: the first batches pay for caches and kernels and would spoil the estimate.
const WARM_UP: u32 = 2;
/// Reports closer together than this count as one: they were waiting in a queue and say nothing of the speed.
const TOGETHER: f64 = 0.05;
/// Time over which older speed is forgotten.
const MEMORY_SECONDS: f64 = 2.0;

/// An exponentially weighted speed, in units a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Eta {
    reports: u32,
    last: Option<(Duration, u64)>,
    speed: Option<f64>,
}

impl Eta {
    /// Takes in that `done` units were done at `now`.
    pub fn update(&mut self, now: Duration, done: u64) {
        let Some((then, before)) = self.last else {
            self.last = Some((now, done));
            return;
        };
        let seconds = now.saturating_sub(then).as_secs_f64();
        if done <= before || seconds < TOGETHER {
            return;
        }
        self.last = Some((now, done));
        self.reports += 1;
        if self.reports <= WARM_UP {
            return;
        }
        let speed = (done - before) as f64 / seconds;
        self.speed =
            Some(self.speed.map_or(speed, |old| old + (speed - old) * (1.0 - (-seconds / MEMORY_SECONDS).exp())));
    }

    /// Units a second, once that can be said.
    #[must_use]
    pub fn speed(&self) -> Option<f64> {
        self.speed
    }

    /// Seconds until `total` units are done, once that can be said.
    #[must_use]
    pub fn left(&self, total: u64) -> Option<f64> {
        let (_, done) = self.last?;
        self.speed.map(|speed| total.saturating_sub(done) as f64 / speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_is_left_out_and_speed_follows() {
        let mut eta = Eta::default();
        let at = |ms: u64| Duration::from_millis(ms);
        eta.update(at(0), 0);
        eta.update(at(1000), 10);
        eta.update(at(1100), 20);
        assert_eq!(eta.speed(), None, "two slow batches say nothing");
        eta.update(at(1200), 30);
        assert!((eta.speed().unwrap() - 100.0).abs() < 1e-6);
        assert!((eta.left(130).unwrap() - 1.0).abs() < 1e-6);
        eta.update(at(1200), 40);
        assert!((eta.speed().unwrap() - 100.0).abs() < 1e-6, "no time has passed");
        for i in 1..=100 {
            eta.update(at(1200 + 200 * i), 40 + 10 * i);
        }
        assert!((eta.speed().unwrap() - 50.0).abs() < 1.0, "it forgets the old speed");
    }
}
