//! An accuracy as a bar with its interval, and marks for what it is compared with.
//!
//! The bar is solid up to the lower end of the interval, dense up to the estimate and light up to the upper end, so
//! that it visibly sharpens while samples come in.

use super::gauge::EIGHTHS;
use crate::tui::view_cx::{Charset, Cx};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// One accuracy with its marks; all as shares of 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bar {
    /// Estimate and 95 % interval.
    pub value: Option<(f64, f64, f64)>,
    pub base: Option<f64>,
    pub expert: Option<f64>,
    pub pinned: Option<f64>,
}

/// The glyphs of the marks, for bars and their legend: base, expert, pinned.
#[must_use]
pub fn marks(charset: Charset) -> [&'static str; 3] {
    if charset == Charset::Ascii { ["b", "e", "p"] } else { ["▏", "▕", "◆"] }
}

impl Bar {
    /// Draws the bar on the first row of `area`, whose width stands for 0 to 100 %.
    pub fn draw(&self, cx: &mut Cx<'_>, area: Rect, style: Style) {
        let area = area.intersection(cx.buf.area);
        if area.is_empty() {
            return;
        }
        let width = f64::from(area.width);
        for i in 0..area.width {
            let glyph = self.value.map_or(" ", |value| glyph(value, f64::from(i), width, cx.charset));
            cx.buf[(area.x + i, area.y)].set_symbol(glyph).set_style(style);
        }
        let [base, expert, pinned] = marks(cx.charset);
        let marks = [
            (self.base, base, cx.theme.base),
            (self.expert, expert, cx.theme.expert),
            (self.pinned, pinned, cx.theme.pinned),
        ];
        for (at, mark, look) in marks {
            let Some(at) = at.filter(|at| at.is_finite()) else { continue };
            let column = ((at * width) as u16).min(area.width - 1);
            let cell = &mut cx.buf[(area.x + column, area.y)];
            let covered = matches!(cell.symbol(), "█" | "▓");
            cell.set_symbol(mark).set_style(look);
            // On top of the bar, the mark is cut out of its colour.
            if let Some(colour) = style.fg.filter(|_| covered) {
                cell.set_bg(colour);
            }
        }
    }
}

/// What cell `i` of `width` shows of an estimate with its interval.
fn glyph((value, low, high): (f64, f64, f64), i: f64, width: f64, charset: Charset) -> &'static str {
    let middle = (i + 0.5) / width;
    let ascii = charset == Charset::Ascii;
    // An interval narrower than a cell is not drawn; the edge itself is sharper than that.
    if (high - low) * width < 1.0 {
        let part = ((value * width - i) * 8.0).round().clamp(0.0, 8.0) as usize;
        return if ascii { [" ", "#"][usize::from(part >= 4)] } else { EIGHTHS[part] };
    }
    let [solid, dense, light] = if ascii { ["#", "+", "-"] } else { ["█", "▓", "░"] };
    match middle {
        _ if middle <= low => solid,
        _ if middle <= value => dense,
        _ if middle <= high => light,
        _ => " ",
    }
}

/// Draws the scale that belongs to bars on `area`: `0`, `50`, `100 %`.
pub fn scale(cx: &mut Cx<'_>, area: Rect) {
    let area = area.intersection(cx.buf.area);
    if area.width < 12 || area.height == 0 {
        return;
    }
    let style = cx.theme.dim;
    cx.print(area.x, area.y, 1, "0", style);
    cx.print(area.x + area.width / 2 - 1, area.y, 2, "50", style);
    cx.print_right(area.x, area.y, area.width, "100 %", style);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: (f64, f64, f64), width: u16, charset: Charset) -> String {
        (0..width).map(|i| glyph(value, f64::from(i), f64::from(width), charset)).collect()
    }

    #[test]
    fn the_interval_is_shaded_and_sharpens() {
        assert_eq!(row((0.5, 0.3, 0.7), 10, Charset::Box), "███▓▓░░   ");
        assert_eq!(row((0.5, 0.3, 0.7), 10, Charset::Ascii), "###++--   ");
        assert_eq!(row((0.55, 0.52, 0.58), 10, Charset::Box), "█████▌    ");
        assert_eq!(row((0.55, 0.52, 0.58), 10, Charset::Ascii), "######    ");
        assert_eq!(row((1.0, 0.999, 1.0), 4, Charset::Box), "████");
        assert_eq!(row((0.0, 0.0, 0.01), 4, Charset::Box), "    ");
        assert_eq!(row((f64::NAN, f64::NAN, f64::NAN), 4, Charset::Box), "    ");
    }
}
