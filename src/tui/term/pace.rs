//! When a frame may be drawn: at once for a single key, at a bounded rate for everything that keeps coming.

use std::time::Duration;

/// Frames that a burst of keys may draw without waiting.
const BURST: f64 = 3.0;

/// Bounds the frame rate. All times are since the start of the session.
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    last: Option<Duration>,
    /// Frames that input may still draw at once; refilled one an interval.
    tokens: f64,
}

impl Pace {
    /// At most one frame every `interval`, on the long run.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval, last: None, tokens: BURST }
    }

    /// How long the next frame has to wait; zero when it may be drawn now. What a person did (`input`) is shown at
    /// once as long as they do not do it faster than the rate for long.
    #[must_use]
    pub fn wait(&self, now: Duration, input: bool) -> Duration {
        let Some(last) = self.last else { return Duration::ZERO };
        if input && self.tokens_at(now) >= 1.0 {
            return Duration::ZERO;
        }
        (last + self.interval).saturating_sub(now)
    }

    /// Notes that a frame was drawn, and whether it was for what a person did. Frames that results drew leave the burst
    /// alone: otherwise a key would wait whenever a job is running.
    pub fn drawn(&mut self, now: Duration, input: bool) {
        let spent = if input { 1.0 } else { 0.0 };
        self.tokens = (self.tokens_at(now) - spent).max(0.0);
        self.last = Some(now);
    }

    fn tokens_at(&self, now: Duration) -> f64 {
        let since = now.saturating_sub(self.last.unwrap_or(now));
        (self.tokens + since.as_secs_f64() / self.interval.as_secs_f64()).min(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Frames drawn in a second when something to draw comes every millisecond.
    fn frames(interval: Duration, input: bool) -> usize {
        let mut pace = Pace::new(interval);
        (0..1000)
            .filter(|&ms| {
                let ready = pace.wait(MS(ms), input).is_zero();
                if ready {
                    pace.drawn(MS(ms), input);
                }
                ready
            })
            .count()
    }

    #[test]
    fn the_rate_is_bounded_for_events_and_for_input() {
        assert!((29..=31).contains(&frames(MS(33), false)));
        assert!((29..=34).contains(&frames(MS(33), true)), "{}", frames(MS(33), true));
        assert!((10..=13).contains(&frames(MS(100), true)));
    }

    #[test]
    fn a_single_key_is_shown_at_once() {
        let mut pace = Pace::new(MS(33));
        assert_eq!(pace.wait(MS(0), false), Duration::ZERO);
        pace.drawn(MS(0), true);
        assert_eq!(pace.wait(MS(3), true), Duration::ZERO);
        assert_eq!(pace.wait(MS(3), false), MS(30));
    }

    #[test]
    fn a_key_is_shown_at_once_while_results_stream() {
        let mut pace = Pace::new(MS(33));
        (0..30).for_each(|frame| pace.drawn(MS(33 * frame), false));
        assert_eq!(pace.wait(MS(33 * 29 + 1), true), Duration::ZERO);
    }

    #[test]
    fn keys_and_results_together_keep_the_rate() {
        let mut pace = Pace::new(MS(33));
        let mut frames = 0;
        for ms in 0..1000 {
            // A key repeats 30 times a second, something streams all the time.
            let input = ms % 33 == 20;
            if pace.wait(MS(ms), input).is_zero() {
                pace.drawn(MS(ms), input);
                frames += 1;
            }
        }
        assert!(frames <= 34, "{frames}");
    }
}
