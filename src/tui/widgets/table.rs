//! A list of rows in columns: scrolls with the selection, drops columns that do not fit, can be clicked.

use crate::text::printable;
use crate::tui::hit::Target;
use crate::tui::view_cx::{Cx, text_width};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// One column.
#[derive(Debug, Clone)]
pub struct Column {
    pub title: String,
    pub align: Align,
    /// Columns with the lowest number go first when the room is short; the highest stays to the end.
    pub keep: u8,
    /// Whether it may shrink below its widest text, down to this many cells.
    pub shrink: Option<u16>,
}

impl Column {
    #[must_use]
    pub fn left(title: impl Into<String>, keep: u8) -> Self {
        Self { title: title.into(), align: Align::Left, keep, shrink: None }
    }

    #[must_use]
    pub fn right(title: impl Into<String>, keep: u8) -> Self {
        Self { align: Align::Right, ..Self::left(title, keep) }
    }

    #[must_use]
    pub fn shrinks_to(mut self, cells: u16) -> Self {
        self.shrink = Some(cells);
        self
    }
}

/// One cell: its text, and its style where it differs from the row's.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    pub text: String,
    pub style: Option<Style>,
}

impl Cell {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: None }
    }

    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style: Some(style) }
    }
}

/// All that is drawn; rows are given in full, the visible part is chosen here.
#[derive(Debug)]
pub struct Table<'a> {
    /// Names the rows for the mouse.
    pub name: &'static str,
    /// No header line is drawn when all titles are empty.
    pub columns: &'a [Column],
    pub rows: &'a [Vec<Cell>],
    pub selected: Option<usize>,
    pub focused: bool,
}

const GAP: u16 = 1;

impl Table<'_> {
    /// Draws into `area`; gives the number of lines used.
    pub fn draw(&self, area: Rect, cx: &mut Cx<'_>) -> u16 {
        let area = area.intersection(cx.buf.area);
        if area.is_empty() {
            return 0;
        }
        let widths = self.widths(area.width.saturating_sub(2));
        let header = self.columns.iter().any(|column| !column.title.is_empty());
        let mut y = area.y;
        if header {
            let titles: Vec<Cell> = self.columns.iter().map(|column| Cell::new(column.title.clone())).collect();
            self.line(area, y, &widths, &titles, cx.theme.dim, cx);
            y += 1;
        }
        let height = usize::from(area.bottom().saturating_sub(y));
        let first = first_visible(self.selected, self.rows.len(), height);
        for (index, row) in self.rows.iter().enumerate().skip(first).take(height) {
            let line = Rect { y, height: 1, ..area };
            let chosen = self.selected == Some(index);
            let style = if chosen && self.focused { cx.theme.selected } else { cx.theme.text };
            if chosen {
                if self.focused {
                    cx.style(line, style);
                }
                let mark = cx.symbol("▸", ">");
                cx.print(area.x, y, 1, mark, if self.focused { style } else { cx.theme.accent });
            }
            self.line(area, y, &widths, row, style, cx);
            cx.hits.add(line, Target::Row { list: self.name, index });
            y += 1;
        }
        y - area.y
    }

    fn line(&self, area: Rect, y: u16, widths: &[u16], cells: &[Cell], style: Style, cx: &mut Cx<'_>) {
        let mut x = area.x + 2.min(area.width);
        for ((column, cell), &width) in self.columns.iter().zip(cells).zip(widths) {
            if width == 0 {
                continue;
            }
            // A selected row keeps its own colours: contrast on the selection is only known for them.
            let style = match cell.style {
                Some(own) if style != cx.theme.selected => own,
                _ => style,
            };
            match column.align {
                Align::Left => _ = cx.print(x, y, width, &cell.text, style),
                Align::Right => cx.print_right(x, y, width, &cell.text, style),
            }
            x += width + GAP;
        }
    }

    /// Width of every column; 0 for those that had to go.
    fn widths(&self, room: u16) -> Vec<u16> {
        let natural = |at: usize, column: &Column| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| text_width(&printable(&cell.text)));
            cells.chain([text_width(&column.title)]).max().unwrap_or(0).min(usize::from(u16::MAX)) as u16
        };
        let mut widths: Vec<u16> = self.columns.iter().enumerate().map(|(at, column)| natural(at, column)).collect();
        let total = |widths: &[u16]| {
            let shown = widths.iter().filter(|&&width| width > 0);
            shown.clone().map(|&width| u32::from(width)).sum::<u32>()
                + u32::from(GAP) * (shown.count() as u32).saturating_sub(1)
        };
        loop {
            let mut over = total(&widths).saturating_sub(u32::from(room));
            if over == 0 {
                return widths;
            }
            let smallest = |width: u16, column: &Column| column.shrink.map_or(width, |least| least.min(width));
            let could: u32 = widths
                .iter()
                .zip(self.columns)
                .map(|(&width, column)| u32::from(width - smallest(width, column)))
                .sum();
            if could >= over {
                for (width, column) in widths.iter_mut().zip(self.columns) {
                    let give = u32::from(*width - smallest(*width, column)).min(over);
                    *width -= give as u16;
                    over -= give;
                }
                return widths;
            }
            let shown = widths.iter().enumerate().filter(|(_, width)| **width > 0);
            let Some(drop) = shown.clone().min_by_key(|(at, _)| self.columns[*at].keep).map(|(at, _)| at) else {
                return widths;
            };
            if shown.count() == 1 {
                widths[drop] = room;
                return widths;
            }
            widths[drop] = 0;
        }
    }
}

/// The first visible of `len` rows when `height` fit: the selection stays in the middle where it can.
#[must_use]
pub fn first_visible(selected: Option<usize>, len: usize, height: usize) -> usize {
    selected.unwrap_or(0).saturating_sub(height / 2).min(len.saturating_sub(height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::{Screenshot, draw};

    fn rows(n: usize) -> Vec<Vec<Cell>> {
        (0..n).map(|at| vec![Cell::new(format!("row{at}")), Cell::new("x".repeat(12)), Cell::new("0.5")]).collect()
    }

    fn shot(width: u16, height: u16, selected: usize) -> Screenshot {
        let columns = [Column::left("name", 9), Column::left("label", 5).shrinks_to(4), Column::right("average", 7)];
        draw(width, height, |area, cx| {
            Table { name: "t", columns: &columns, rows: &rows(20), selected: Some(selected), focused: true }
                .draw(area, cx);
        })
    }

    #[test]
    fn columns_shrink_first_and_then_go_by_rank() {
        assert_eq!(shot(40, 2, 0).line(0), "  name  label        average");
        assert_eq!(shot(40, 2, 0).line(1), "▸ row0  xxxxxxxxxxxx     0.5");
        assert_eq!(shot(20, 2, 0).line(1), "▸ row0  xxx…     0.5");
        assert_eq!(shot(15, 2, 0).line(1), "▸ row0      0.5");
        assert_eq!(shot(8, 2, 0).line(1), "▸ row0");
        assert_eq!(shot(5, 2, 0).line(1), "▸ ro…");
    }

    #[test]
    fn the_selection_stays_visible_and_rows_can_be_clicked() {
        let shot = shot(40, 6, 12);
        assert!(shot.text().contains("▸ row12"));
        assert!(!shot.text().contains("row5"));
        let (area, target) = shot.hits.at(3, 3).unwrap();
        assert_eq!(target, Target::Row { list: "t", index: 12 });
        assert_eq!(area, Rect::new(0, 3, 40, 1));
        assert_eq!(first_visible(Some(19), 20, 5), 15);
        assert_eq!(first_visible(None, 3, 5), 0);
    }
}
