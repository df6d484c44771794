//! Which numbers a parameter can be: what is mathematically valid, however far a slider reaches.

use std::fmt;

/// The numbers between two ends; the upper one belongs to them, the lower one unless it is `open`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    pub min: f64,
    pub max: f64,
    /// Whether `min` itself is left out.
    pub open: bool,
}

impl Bounds {
    /// Every number that is one in f32, in which weights are computed.
    pub const FINITE: Self = Self { min: f32::MIN as f64, max: f32::MAX as f64, open: false };

    #[must_use]
    pub fn contains(&self, x: f64) -> bool {
        (self.min..=self.max).contains(&x) && !(self.open && x <= self.min)
    }

    /// The lower end, unless there is none.
    #[must_use]
    pub fn lower(&self) -> Option<f64> {
        (self.min > Self::FINITE.min).then_some(self.min)
    }

    /// The upper end, unless there is none.
    #[must_use]
    pub fn upper(&self) -> Option<f64> {
        (self.max < Self::FINITE.max).then_some(self.max)
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.lower(), self.upper(), self.open) {
            (Some(min), Some(max), false) => write!(f, "{min}..={max}"),
            (Some(min), Some(max), true) => write!(f, "above {min}, up to {max}"),
            (Some(min), None, false) => write!(f, "{min} or more"),
            (Some(min), None, true) => write!(f, "above {min}"),
            (None, Some(max), _) => write!(f, "up to {max}"),
            (None, None, _) => write!(f, "finite"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_belong_to_the_bounds_or_not_and_are_said() {
        let share = Bounds { min: 0.0, max: 1.0, open: false };
        let part = Bounds { open: true, ..share };
        let positive = Bounds { min: 0.0, open: true, ..Bounds::FINITE };
        for (bounds, inside, outside, words) in [
            (share, [0.0, 1.0], [-1e-9, 1.1], "0..=1"),
            (part, [1e-9, 1.0], [0.0, 1.1], "above 0, up to 1"),
            (positive, [1e-9, 1e9], [0.0, f64::INFINITY], "above 0"),
            (Bounds { open: false, ..positive }, [0.0, 1e9], [-1e-9, f64::NAN], "0 or more"),
            (Bounds { max: 1.0, ..Bounds::FINITE }, [-1e9, 1.0], [1.1, f64::NEG_INFINITY], "up to 1"),
            (Bounds::FINITE, [-1e9, 1e9], [1e39, f64::NAN], "finite"),
        ] {
            assert!(inside.iter().all(|x| bounds.contains(*x)), "{words}");
            assert!(!outside.iter().any(|x| bounds.contains(*x)), "{words}");
            assert_eq!(bounds.to_string(), words);
        }
    }
}
