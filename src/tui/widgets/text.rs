//! Text in areas: lines, columns, wrapping, and how durations are said.

use crate::tui::view_cx::{Charset, Cx, fit, text_width};
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthChar;

/// Draws `text` on the first row of `area`; returns the columns used.
pub fn line(cx: &mut Cx<'_>, area: Rect, text: &str, style: Style) -> u16 {
    if area.is_empty() {
        return 0;
    }
    cx.print(area.x, area.y, area.width, text, style).saturating_sub(area.x)
}

/// Draws pieces one after the other on the first row of `area`; returns the columns used.
pub fn spans(cx: &mut Cx<'_>, area: Rect, pieces: &[(&str, Style)]) -> u16 {
    pieces.iter().fold(0, |used, (text, style)| used + line(cx, from(area, used), text, *style))
}

/// [`wrap`]ped into at most so many rows; what does not fit gives way to an ellipsis.
#[must_use]
pub fn paragraph(text: &str, width: usize, rows: usize, charset: Charset) -> Vec<String> {
    let mut lines = wrap(text, width);
    if lines.len() > rows {
        lines.truncate(rows);
        if let Some(last) = lines.last_mut() {
            *last = fit(&format!("{last}  "), (text_width(last) + 1).min(width), charset.ellipsis());
        }
    }
    lines
}

/// Draws `text` flush right on the first row of `area`.
pub fn right(cx: &mut Cx<'_>, area: Rect, text: &str, style: Style) {
    if !area.is_empty() {
        cx.print_right(area.x, area.y, area.width, text, style);
    }
}

/// `area` without its first `columns`.
#[must_use]
pub fn from(area: Rect, columns: u16) -> Rect {
    let columns = columns.min(area.width);
    Rect { x: area.x + columns, width: area.width - columns, ..area }
}

/// The part of `area` that starts at `column` and is at most `width` wide.
#[must_use]
pub fn columns(area: Rect, column: u16, width: u16) -> Rect {
    let rest = from(area, column);
    Rect { width: rest.width.min(width), ..rest }
}

/// Row `index` of `area`; empty when there is no such row.
#[must_use]
pub fn row(area: Rect, index: u16) -> Rect {
    if index < area.height { Rect { y: area.y + index, height: 1, ..area } } else { Rect { height: 0, ..area } }
}

/// `text` broken at spaces into lines of at most `width` columns; words longer than that are cut.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word = word;
        loop {
            let line = lines.last_mut().map_or(0, |line| text_width(line));
            let gap = usize::from(line > 0);
            if line + gap + text_width(word) <= width {
                if let Some(last) = lines.last_mut() {
                    last.push_str(if gap == 1 { " " } else { "" });
                    last.push_str(word);
                }
                break;
            }
            if line > 0 {
                lines.push(String::new());
                continue;
            }
            let mut used = 0;
            let fits = word.char_indices().find(|(_, c)| {
                used += c.width().unwrap_or(0);
                used > width
            });
            let at = fits.map_or(word.len(), |(at, _)| at);
            if at == 0 {
                break;
            }
            lines.pop();
            lines.push(word[..at].to_owned());
            lines.push(String::new());
            word = &word[at..];
        }
    }
    if lines.len() > 1 && lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// A duration in seconds the way a person says it, at most six columns.
#[must_use]
pub fn seconds(s: f64) -> String {
    if !s.is_finite() || s < 0.0 {
        "-".to_owned()
    } else if s < 0.9995 {
        format!("{:.0} ms", s * 1e3)
    } else if s < 99.95 {
        format!("{s:.1} s")
    } else if s < 3600.0 {
        format!("{:.0}:{:02.0}", (s / 60.0).floor(), (s % 60.0).floor())
    } else {
        format!("{:.0}h{:02.0}", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_breaks_at_spaces_and_cuts_long_words() {
        assert_eq!(wrap("adds the task vectors", 10), ["adds the", "task", "vectors"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("anything", 0), [""]);
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(seconds(0.0123), "12 ms");
        assert_eq!(seconds(4.25), "4.2 s");
        assert_eq!(seconds(83.0), "83.0 s");
        assert_eq!(seconds(125.0), "2:05");
        assert_eq!(seconds(f64::NAN), "-");
    }
}
