//! A slider: a track with a knob and a mark at the default.

use crate::tui::view_cx::{Charset, Cx};
use ratatui::layout::Rect;

/// A value in its range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slider {
    pub value: f64,
    pub min: f64,
    pub max: f64,
    pub default: f64,
    pub logarithmic: bool,
}

impl Slider {
    /// Where `value` lies on the track, as a share of its length.
    #[must_use]
    pub fn share(&self, value: f64) -> f64 {
        let share = if self.logarithmic && self.min > 0.0 {
            (value / self.min).ln() / (self.max / self.min).ln()
        } else {
            (value - self.min) / (self.max - self.min)
        };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The value at a share of the track's length.
    #[must_use]
    pub fn value_at(&self, share: f64) -> f64 {
        let share = share.clamp(0.0, 1.0);
        if self.logarithmic && self.min > 0.0 {
            self.min * (self.max / self.min).powf(share)
        } else {
            self.min + share * (self.max - self.min)
        }
    }

    /// Draws the track on the first row of `area`.
    pub fn draw(&self, cx: &mut Cx<'_>, area: Rect, focused: bool) {
        let area = area.intersection(cx.buf.area);
        if area.is_empty() {
            return;
        }
        let column = |value: f64| (self.share(value) * f64::from(area.width - 1)).round() as u16;
        let (knob, mark) = (column(self.value), column(self.default));
        let (filled, empty, tick, head) =
            if cx.charset == Charset::Ascii { ("=", "-", "|", "O") } else { ("━", "─", "┊", "●") };
        let (theme, hot) = (cx.theme, if focused { cx.theme.accent } else { cx.theme.text });
        for i in 0..area.width {
            let (glyph, style) = match i {
                _ if i == knob => (head, hot),
                _ if i == mark => (tick, theme.dim),
                _ if i < knob => (filled, hot),
                _ => (empty, theme.dim),
            };
            cx.buf[(area.x + i, area.y)].set_symbol(glyph).set_style(style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAMBDA: Slider = Slider { value: 0.3, min: 0.0, max: 2.0, default: 0.3, logarithmic: false };

    #[test]
    fn shares_and_values_agree() {
        assert_eq!((LAMBDA.value_at(-1.0), LAMBDA.value_at(0.0), LAMBDA.value_at(9.0)), (0.0, 0.0, 2.0));
        for value in [0.0, 0.3, 1.7, 2.0] {
            assert!((LAMBDA.value_at(LAMBDA.share(value)) - value).abs() < 1e-12);
        }
    }

    #[test]
    fn a_logarithmic_track_is_even_in_decades() {
        let rate = Slider { value: 1e-3, min: 1e-5, max: 1e-1, default: 1e-3, logarithmic: true };
        assert!((rate.share(1e-3) - 0.5).abs() < 1e-12);
        assert!((rate.value_at(0.25) - 1e-4).abs() < 1e-12);
        assert_eq!(rate.share(f64::NAN), 0.0);
    }
}
