//! A matrix as a heat map: numbers in the cells where they fit, glyphs of growing weight where they do not.
//!
//! Colour never stands alone: a cell shows its value, or one of the glyphs explained in the legend.

use crate::tui::hit::Target;
use crate::tui::view_cx::{Charset, Cx, text_width};
use crate::tui::widgets::table::first_visible;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

/// A matrix with names for its rows and columns. Entries that are not finite are drawn as gaps.
#[derive(Debug)]
pub struct Heatmap<'a> {
    /// Names the cells for the mouse.
    pub name: &'static str,
    pub rows: &'a [String],
    pub columns: &'a [String],
    /// `[row][column]`
    pub values: &'a [Vec<f64>],
    /// Values at the two ends of the colours; what lies outside takes the colour of the end.
    pub range: (f64, f64),
    /// Row and column of the cell that is chosen: it is kept in sight.
    pub selected: Option<(usize, usize)>,
}

const LABEL: u16 = 10;
/// Cell widths to try, widest first: two decimals, the same without the zero before the point, hundredths, glyph.
const WIDTHS: [u16; 4] = [6, 5, 4, 2];

impl Heatmap<'_> {
    /// Height needed: column names, rows, legend.
    #[must_use]
    pub fn height(&self) -> u16 {
        self.rows.len() as u16 + 2
    }

    /// Draws into `area` as much as fits; gives the number of lines used.
    pub fn draw(&self, area: Rect, cx: &mut Cx<'_>) -> u16 {
        let area = area.intersection(cx.buf.area);
        if area.height < 3 || area.width < 8 || self.columns.is_empty() {
            return 0;
        }
        let longest = self.rows.iter().map(|row| text_width(row)).max().unwrap_or(0) as u16;
        let count = self.columns.len() as u16;
        let label = longest.min(LABEL).min(area.width / 3);
        let room = area.width - label - 1;
        let cell =
            WIDTHS.into_iter().find(|&width| u32::from(width) * u32::from(count) <= u32::from(room)).unwrap_or(2);
        let shown = usize::from((room / cell).min(count));
        let left = first_visible(self.selected.map(|(_, column)| column), self.columns.len(), shown);
        for (at, column) in self.columns.iter().skip(left).take(shown).enumerate() {
            let chosen = self.selected.is_some_and(|(_, column)| column == left + at);
            let style = if chosen { cx.theme.accent } else { cx.theme.dim };
            cx.print_right(
                area.x + label + 1 + at as u16 * cell,
                area.y,
                cell - 1,
                &abbreviate(column, cell - 1),
                style,
            );
        }
        let rows = self.rows.len().min(usize::from(area.height - 2));
        let top = first_visible(self.selected.map(|(row, _)| row), self.rows.len(), rows);
        for (r, (name, values)) in self.rows.iter().zip(self.values).enumerate().skip(top).take(rows) {
            let y = area.y + 1 + (r - top) as u16;
            let chosen = self.selected.is_some_and(|(row, _)| row == r);
            cx.print(area.x, y, label, name, if chosen { cx.theme.accent } else { cx.theme.dim });
            for (c, &value) in values.iter().enumerate().skip(left).take(shown) {
                let place = Rect::new(area.x + label + 1 + (c - left) as u16 * cell, y, cell, 1);
                self.cell(place, value, cx);
                if self.selected == Some((r, c)) {
                    mark(place, cx);
                }
                cx.hits.add(place, Target::Cell { list: self.name, row: r, column: c });
            }
        }
        self.legend(Rect { y: area.y + 1 + rows as u16, height: 1, ..area }, cell, cx);
        rows as u16 + 2
    }

    fn cell(&self, place: Rect, value: f64, cx: &mut Cx<'_>) {
        if !value.is_finite() {
            cx.print_right(place.x, place.y, place.width - 1, "-", cx.theme.dim);
            return;
        }
        let level = self.level(value);
        let heat = cx.theme.heat[level];
        match place.width {
            6.. => cx.print_right(place.x, place.y, 5, &format!("{value:.2}"), on(heat)),
            5 => cx.print_right(place.x, place.y, 4, &format!("{value:.2}").replacen("0.", ".", 1), on(heat)),
            4 => cx.print_right(place.x, place.y, 3, &format!("{:.0}", value * 100.0), on(heat)),
            _ => _ = cx.print(place.x, place.y, 2, &glyph(level, cx.charset).repeat(2), heat),
        }
        if place.width >= 4 && heat.fg.is_some() {
            cx.style(Rect { width: place.width - 1, ..place }, on(heat));
        }
    }

    fn legend(&self, place: Rect, cell: u16, cx: &mut Cx<'_>) {
        let (low, high) = self.range;
        let scale = |value: f64| if cell == 4 { format!("{:.0}", value * 100.0) } else { format!("{value:.2}") };
        let dim = cx.theme.dim;
        let mut x = cx.print(place.x, place.y, place.width, &format!("{} ", scale(low)), dim);
        for level in 0..cx.theme.heat.len() {
            x = cx.print(x, place.y, place.right() - x, glyph(level, cx.charset), cx.theme.heat[level]);
        }
        let unit = if cell == 4 { cx.symbol(" ×0.01", " x0.01") } else { "" };
        cx.print(x, place.y, place.right() - x, &format!(" {}{unit}", scale(high)), dim);
    }

    fn level(&self, value: f64) -> usize {
        let (low, high) = self.range;
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        (share.clamp(0.0, 1.0) * 6.0).round() as usize
    }
}

/// Shows that a cell is chosen: by its look, and by a mark before it where there is room.
fn mark(place: Rect, cx: &mut Cx<'_>) {
    let number = Rect { width: place.width - u16::from(place.width >= 4), ..place };
    cx.style(number, cx.theme.selected);
    if place.width >= 6 {
        let mark = cx.symbol("▸", ">");
        cx.print(place.x.saturating_sub(1), place.y, 1, mark, cx.theme.accent);
    }
}

/// A range of colours that spans what lies off the diagonal, where the interesting values of a table of angles are.
#[must_use]
pub fn off_diagonal(values: &[Vec<f64>]) -> (f64, f64) {
    let mut range = (0.0_f64, 0.0_f64);
    for (r, row) in values.iter().enumerate() {
        for (_, &value) in row.iter().enumerate().filter(|(c, value)| *c != r && value.is_finite()) {
            range = (range.0.min(value), range.1.max(value));
        }
    }
    if range.1 - range.0 < 0.01 { (range.0, range.0 + 0.01) } else { range }
}

/// Glyphs of growing weight.
fn glyph(level: usize, charset: Charset) -> &'static str {
    const ASCII: [&str; 7] = [".", ":", "-", "=", "+", "#", "@"];
    const BLOCKS: [&str; 7] = ["·", "▁", "▂", "▃", "▅", "▆", "█"];
    if charset == Charset::Ascii { ASCII[level.min(6)] } else { BLOCKS[level.min(6)] }
}

/// The heat colour as background under readable text; where there are no colours, plain text.
fn on(heat: Style) -> Style {
    match heat.fg {
        None | Some(Color::Reset) => heat,
        Some(colour) => Style::new().bg(colour).fg(if is_light(colour) { Color::Black } else { Color::White }),
    }
}

fn is_light(colour: Color) -> bool {
    let luminance = |r: u8, g: u8, b: u8| 299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) > 128_000;
    match colour {
        Color::Rgb(r, g, b) => luminance(r, g, b),
        Color::Indexed(n @ 16..=231) => {
            let part = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let n = n - 16;
            luminance(part(n / 36), part(n / 6 % 6), part(n % 6))
        }
        Color::Indexed(n @ 232..) => n >= 244,
        Color::Indexed(n) => matches!(n, 2 | 3 | 6 | 7 | 9..=15),
        Color::Black | Color::Red | Color::Blue | Color::Magenta | Color::DarkGray => false,
        _ => true,
    }
}

/// A name short enough for a column: its first letters.
fn abbreviate(name: &str, width: u16) -> String {
    let mut used = 0;
    name.chars()
        .take_while(|c| {
            used += text_width(c.encode_utf8(&mut [0; 4]));
            used <= usize::from(width)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::{Screenshot, draw, draw_with, mono};

    fn shot(width: u16, charset: Charset) -> Screenshot {
        let names: Vec<String> = ["mnist", "fashion", "optdigits"].map(str::to_owned).to_vec();
        let values = vec![vec![1.0, 0.12, -0.04], vec![0.12, 1.0, f64::NAN], vec![-0.04, 0.3, 1.0]];
        let view = |area, cx: &mut Cx<'_>| {
            let map = Heatmap {
                name: "m",
                rows: &names,
                columns: &names,
                values: &values,
                range: (-0.04, 0.3),
                selected: None,
            };
            assert_eq!(map.draw(area, cx), 5);
        };
        draw_with(width, 6, charset, &mono(), view)
    }

    #[test]
    fn numbers_are_shown_while_they_fit() {
        let wide = shot(40, Charset::Box);
        assert_eq!(wide.line(0), "          mnist fashi optdi");
        assert_eq!(wide.line(1), "mnist      1.00  0.12 -0.04");
        assert_eq!(wide.line(2), "fashion    0.12  1.00     -");
        assert_eq!(wide.line(4), "-0.04 ·▁▂▃▅▆█ 0.30");
        let shorter = shot(26, Charset::Box);
        assert_eq!(shorter.line(1), "mnist    1.00  .12 -.04");
        let middle = shot(22, Charset::Box);
        assert_eq!(middle.line(1), "mnist   100  12  -4");
        assert_eq!(middle.line(4), "-4 ·▁▂▃▅▆█ 30 ×0.01");
    }

    #[test]
    fn glyphs_stand_for_values_in_the_narrowest_map() {
        let narrow = shot(14, Charset::Ascii);
        assert_eq!(narrow.line(1), "mni~ @@==..");
        assert_eq!(narrow.line(2), "fas~ ==@@-");
        assert_eq!(narrow.line(4), "-0.04 .:-=+#@~");
    }

    #[test]
    fn colours_lie_under_readable_text_and_cells_can_be_clicked() {
        let names = vec!["a".to_owned()];
        let values = vec![vec![0.9]];
        let shot = draw(30, 3, |area, cx| {
            Heatmap { name: "m", rows: &names, columns: &names, values: &values, range: (0.0, 1.0), selected: None }
                .draw(area, cx);
        });
        let cell = &shot.buffer[(6, 1)];
        assert_eq!(cell.symbol(), "0");
        assert_eq!((cell.bg, cell.fg), (Color::Rgb(200, 200, 0), Color::Black));
        assert_eq!(shot.hits.at(6, 1).unwrap().1, Target::Cell { list: "m", row: 0, column: 0 });
        assert!(!is_light(Color::Indexed(17)) && is_light(Color::Indexed(226)));
    }

    #[test]
    fn the_chosen_cell_is_marked_and_kept_in_sight() {
        let names: Vec<String> = (0..30).map(|at| format!("n{at:02}")).collect();
        let values: Vec<Vec<f64>> = (0..30).map(|r| (0..30).map(|c| f64::from(r * 30 + c) / 900.0).collect()).collect();
        let shot = draw_with(24, 8, Charset::Ascii, &mono(), |area, cx| {
            let selected = Some((20, 10));
            Heatmap { name: "m", rows: &names, columns: &names, values: &values, range: (0.0, 1.0), selected }
                .draw(area, cx);
        });
        let text = shot.text();
        assert!(text.contains("n20") && !text.contains("n02"), "{text}");
        let marked = (0..24).flat_map(|x| (0..8).map(move |y| (x, y)));
        let marked: Vec<_> =
            marked.filter(|at| shot.buffer[*at].modifier.contains(ratatui::style::Modifier::REVERSED)).collect();
        assert_eq!(marked.len(), 2, "{text}");
        let (x, y) = marked[0];
        assert_eq!(shot.hits.at(x, y).unwrap().1, Target::Cell { list: "m", row: 20, column: 10 });
    }
}
