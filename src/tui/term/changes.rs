//! Which cells of two pictures differ.

use ratatui::buffer::{Buffer, Cell};
use unicode_width::UnicodeWidthStr;

/// The cells of `back` that must be sent to a terminal that shows `front`; both are of the same area.
///
/// A terminal blanks the other half of a wide character when one half is written over, so the cells behind a changed
/// wide character are sent even if they are the same.
#[must_use]
pub fn changes<'b>(front: &Buffer, back: &'b Buffer) -> Vec<(u16, u16, &'b Cell)> {
    let mut cells = Vec::new();
    let columns = usize::from(back.area.width).max(1);
    let rows = front.content.chunks(columns).zip(back.content.chunks(columns));
    for (y, (before, after)) in (back.area.y..).zip(rows) {
        // So many cells to the right were blanked; so many are covered by a wide character.
        let (mut blanked, mut covered) = (0_usize, 0_usize);
        for (x, (old, new)) in (back.area.x..).zip(before.iter().zip(after)) {
            let changed = old != new || blanked > 0;
            if changed && covered == 0 {
                cells.push((x, y, new));
            }
            let affected = if changed { width(old).max(width(new)) } else { 0 };
            blanked = blanked.max(affected).saturating_sub(1);
            covered = if covered == 0 { width(new) } else { covered }.saturating_sub(1);
        }
    }
    cells
}

fn width(cell: &Cell) -> usize {
    let symbol = cell.symbol();
    if symbol.len() == 1 { 1 } else { symbol.width() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;

    fn row(text: &str) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 6, 1));
        buffer.set_string(0, 0, text, ratatui::style::Style::new());
        buffer
    }

    fn sent(before: &str, after: &str) -> String {
        let (front, back) = (row(before), row(after));
        changes(&front, &back).iter().map(|(x, _, cell)| format!("{x}{} ", cell.symbol())).collect()
    }

    #[test]
    fn only_what_differs_is_sent() {
        assert_eq!(sent("abc", "abc"), "");
        assert_eq!(sent("abc", "axc"), "1x ");
    }

    #[test]
    fn halves_of_wide_characters_are_repaired() {
        assert_eq!(sent("日b", "a b"), "0a 1  ");
        assert_eq!(sent("ab", "日"), "0日 ");
        assert_eq!(sent("a日b", "日 b"), "0日 2  ");
    }
}
