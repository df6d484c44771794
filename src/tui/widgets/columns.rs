//! Grouped columns: for every category one upright bar a series, with marks of what they are compared with.

use crate::tui::view_cx::{Charset, Cx};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// A chart of shares of 1, drawn from 0 to 100 %.
#[derive(Debug)]
pub struct Columns<'a> {
    pub categories: &'a [String],
    /// One letter, a style and one value a category.
    pub series: &'a [(char, Style, Vec<Option<f64>>)],
    /// Levels marked across each category: glyph, ASCII glyph, style and one value a category.
    pub marks: &'a [(&'static str, &'static str, Style, Vec<Option<f64>>)],
}

const AXIS: u16 = 4;
/// Bars from below: eighths of a cell.
const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

impl Columns<'_> {
    /// Draws into `area`; categories and series that do not fit are left out from the right.
    pub fn draw(&self, area: Rect, cx: &mut Cx<'_>) {
        let area = area.intersection(cx.buf.area);
        if area.height < 4 || area.width < AXIS + 2 || self.categories.is_empty() || self.series.is_empty() {
            return;
        }
        let tall = area.height - 2;
        let group = ((area.width - AXIS) / self.categories.len() as u16).max(2);
        let bars = (self.series.len() as u16).min(group - 1);
        let wide = ((group - 1) / bars).clamp(1, 4);
        for (share, label) in [(1.0, "100"), (0.5, "50"), (0.0, "0")] {
            let y = area.y + ((1.0 - share) * f64::from(tall - 1)).round() as u16;
            cx.print_right(area.x, y, AXIS - 1, label, cx.theme.dim);
        }
        for (at, category) in self.categories.iter().enumerate() {
            let x = area.x + AXIS + at as u16 * group;
            if x + group > area.right() + 1 {
                break;
            }
            for (which, (letter, style, values)) in self.series.iter().take(usize::from(bars)).enumerate() {
                let place = Rect::new(x + which as u16 * wide, area.y, wide, tall);
                bar(place, values.get(at).copied().flatten(), *style, cx);
                cx.print(place.x + (wide - 1) / 2, area.y + tall, 1, letter.encode_utf8(&mut [0; 4]), *style);
            }
            for (glyph, ascii, style, values) in self.marks {
                let place = Rect::new(x, area.y, bars * wide, tall);
                mark(place, values.get(at).copied().flatten(), cx.symbol(glyph, ascii), *style, cx);
            }
            cx.print(x, area.y + tall + 1, group - 1, category, cx.theme.text);
        }
    }
}

fn bar(place: Rect, share: Option<f64>, style: Style, cx: &mut Cx<'_>) {
    let Some(share) = share.filter(|share| share.is_finite()) else {
        cx.print(place.x, place.bottom() - 1, 1, "-", cx.theme.dim);
        return;
    };
    let eighths = (share.clamp(0.0, 1.0) * f64::from(place.height) * 8.0).round() as u16;
    for row in 0..place.height {
        let part = eighths.saturating_sub(row * 8).min(8);
        let glyph = match (cx.charset, part) {
            (Charset::Ascii, 0..4) => " ",
            (Charset::Ascii, _) => "#",
            (_, part) => EIGHTHS[usize::from(part)],
        };
        // One cell between bars of several cells keeps neighbours apart without colour.
        let wide = if place.width > 2 { place.width - 1 } else { place.width };
        for x in 0..wide {
            if part > 0
                && let Some(cell) = cx.buf.cell_mut((place.x + x, place.bottom() - 1 - row))
            {
                cell.set_symbol(glyph).set_style(style);
            }
        }
    }
}

fn mark(place: Rect, share: Option<f64>, glyph: &str, style: Style, cx: &mut Cx<'_>) {
    let Some(share) = share.filter(|share| share.is_finite()) else { return };
    let row = ((share.clamp(0.0, 1.0) * f64::from(place.height)).ceil() as u16).clamp(1, place.height);
    for x in place.x..place.right() {
        let Some(cell) = cx.buf.cell_mut((x, place.bottom() - row)) else { continue };
        let under = cell.fg;
        let covered = matches!(cell.symbol(), "█" | "#");
        cell.set_symbol(glyph).set_style(style);
        // On top of a bar the mark is cut out of its colour.
        if covered {
            cell.set_bg(under);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::{draw, draw_with, mono};

    fn chart(area: Rect, cx: &mut Cx<'_>) {
        let categories = ["mnist".to_owned(), "fashion".to_owned()];
        let series = [('A', Style::new(), vec![Some(1.0), Some(0.5)]), ('B', Style::new(), vec![Some(0.25), None])];
        let marks = [("╌", "~", Style::new(), vec![Some(0.75), Some(0.75)])];
        Columns { categories: &categories, series: &series, marks: &marks }.draw(area, cx);
    }

    #[test]
    fn heights_follow_the_values_and_gaps_stay_gaps() {
        let text = draw_with(20, 6, Charset::Ascii, &mono(), chart).text();
        let expected = [
            "100 ##",
            "    ~~~~~~  ~~~~~~",
            " 50 ##      ##",
            "  0 ## ##   ## -",
            "     A  B    A  B",
            "    mnist   fashion",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn eighths_show_what_lies_between_rows() {
        let categories = ["x".to_owned()];
        let series = [('A', Style::new(), vec![Some(0.5 + 1.0 / 32.0)])];
        let shot =
            draw(8, 6, |area, cx| Columns { categories: &categories, series: &series, marks: &[] }.draw(area, cx));
        assert_eq!(shot.buffer[(4, 1)].symbol(), "▁");
        assert_eq!(shot.buffer[(4, 2)].symbol(), "█");
        assert_eq!(shot.buffer[(4, 0)].symbol(), " ");
    }
}
