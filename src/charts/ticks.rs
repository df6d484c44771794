//! Round numbers for an axis.

/// Where an axis has marks, and with how many decimals they are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ticks {
    pub values: Vec<f64>,
    pub decimals: usize,
}

/// About `count` marks at multiples of 1, 2 or 5 · 10ⁿ, from the last one at or below `low` to the first at or above
/// `high`.
pub(super) fn covering(low: f64, high: f64, count: u32) -> Ticks {
    let step = round_step((high - low) / f64::from(count.max(1)));
    marks((low / step + 1e-9).floor(), (high / step - 1e-9).ceil(), step)
}

/// As [`covering`], but only the marks within `low..=high`.
pub(super) fn within(low: f64, high: f64, count: u32) -> Ticks {
    let step = round_step((high - low) / f64::from(count.max(1)));
    marks((low / step - 1e-9).ceil(), (high / step + 1e-9).floor(), step)
}

fn marks(first: f64, last: f64, step: f64) -> Ticks {
    let number = (last - first).clamp(0.0, 1000.0) as usize;
    let values = (0..=number).map(|at| (first + at as f64) * step).collect();
    Ticks { values, decimals: (-step.log10() - 1e-9).ceil().clamp(0.0, 12.0) as usize }
}

fn round_step(rough: f64) -> f64 {
    if !(rough.is_finite() && rough > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * power >= rough * 0.999);
    step.unwrap_or(10.0) * power
}

/// `value` with a real minus sign and without a negative zero.
pub(super) fn format(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().any(|c| ('1'..='9').contains(&c)) => format!("−{digits}"),
        Some(digits) => digits.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(ticks: &Ticks) -> Vec<String> {
        ticks.values.iter().map(|&value| format(value, ticks.decimals)).collect()
    }

    #[test]
    fn usual_axes() {
        assert_eq!(texts(&covering(0.0, 100.0, 5)), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(texts(&within(0.0, 1.0, 10)).len(), 11);
        assert_eq!(texts(&within(0.0, 0.5, 5)), ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(texts(&covering(-0.013, 0.02, 4)), ["−0.02", "−0.01", "0.00", "0.01", "0.02"]);
    }

    #[test]
    fn no_negative_zero() {
        assert_eq!(format(-0.001, 2), "0.00");
        assert_eq!(format(-1.5, 1), "−1.5");
    }

    proptest! {
        #[test]
        fn marks_cover_the_range(low in -1e6..1e6f64, span in 1e-6..1e6f64, count in 1u32..20) {
            let ticks = covering(low, low + span, count);
            prop_assert!(ticks.values.len() >= 2 && ticks.values.len() <= count as usize + 3, "{:?}", ticks);
            prop_assert!(ticks.values[0] <= low + span * 1e-6);
            prop_assert!(ticks.values[ticks.values.len() - 1] >= low + span * (1.0 - 1e-6));
        }
    }
}
