//! What a view draws with.

use super::hit::HitMap;
use super::theme::Theme;
use crate::text::printable;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use unicode_width::UnicodeWidthChar;

/// Which characters the terminal can show, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Charset {
    Ascii,
    /// Box drawing and block elements.
    Box,
    Braille,
}

impl Charset {
    /// Stands for what was cut from a text, one cell wide.
    #[must_use]
    pub fn ellipsis(self) -> &'static str {
        if self == Self::Ascii { "~" } else { "…" }
    }
}

/// Handed through all views: where to draw, how, and where to note what can be clicked.
pub struct Cx<'a> {
    pub buf: &'a mut Buffer,
    pub theme: &'a Theme,
    pub charset: Charset,
    pub hits: &'a mut HitMap,
    /// Where the text cursor stands, if a text field has the focus.
    pub cursor: Option<Position>,
}

impl Cx<'_> {
    /// Writes one line of text at a cell, cut at `width` cells with an ellipsis and at the edge of the buffer.
    /// Control characters are replaced. Gives the x after the last cell written.
    pub fn print(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let area = self.buf.area;
        if x < area.x || y < area.y || x >= area.right() || y >= area.bottom() {
            return x;
        }
        let room = width.min(area.right() - x);
        let text = printable(text);
        let text = fit(&text, usize::from(room), self.charset.ellipsis());
        self.buf.set_stringn(x, y, text, usize::from(room), style).0
    }

    /// Like [`Cx::print`], with the text's end at the right edge of the `width` cells.
    pub fn print_right(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) {
        let used = u16::try_from(text_width(&printable(text))).unwrap_or(u16::MAX).min(width);
        self.print(x.saturating_add(width - used), y, used, text, style);
    }

    /// Gives a style to all cells of an area.
    pub fn style(&mut self, area: Rect, style: Style) {
        self.buf.set_style(area.intersection(self.buf.area), style);
    }

    /// `unicode` where the terminal can show it, `ascii` elsewhere; both should be of the same width.
    #[must_use]
    pub fn symbol<'s>(&self, unicode: &'s str, ascii: &'s str) -> &'s str {
        if self.charset == Charset::Ascii { ascii } else { unicode }
    }
}

/// Width of a text in cells.
#[must_use]
pub fn text_width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// `text` cut to `room` cells, ending in `ellipsis` (one cell) if something had to go.
#[must_use]
pub fn fit(text: &str, room: usize, ellipsis: &str) -> String {
    if text_width(text) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if used + width + 1 > room {
            break;
        }
        used += width;
        kept.push(c);
    }
    if room > 0 {
        kept.push_str(ellipsis);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_their_room_by_cells() {
        assert_eq!(fit("fashion", 7, "…"), "fashion");
        assert_eq!(fit("fashion", 5, "…"), "fash…");
        assert_eq!(fit("日本語", 5, "…"), "日本…");
        assert_eq!(fit("日本語", 4, "…"), "日…");
        assert_eq!(fit("abc", 0, "…"), "");
    }
}
