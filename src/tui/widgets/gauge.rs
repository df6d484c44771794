//! A progress bar that does not lie: it shows a share only when the total is known.

use crate::tui::view_cx::{Charset, Cx};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Left-aligned eighths of a cell.
pub(super) const EIGHTHS: [&str; 9] = [" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];

/// Fills the first row of `area` to `share`, or draws an empty track when it is not known.
pub fn draw(cx: &mut Cx<'_>, area: Rect, share: Option<f64>, style: Style) {
    let area = area.intersection(cx.buf.area);
    if area.is_empty() {
        return;
    }
    let ascii = cx.charset == Charset::Ascii;
    let eighths = share.map_or(0.0, |share| share.clamp(0.0, 1.0) * f64::from(area.width) * 8.0).round() as usize;
    for i in 0..area.width {
        let part = eighths.saturating_sub(usize::from(i) * 8).min(8);
        let (glyph, style) = match (part, ascii) {
            (0, true) => ("-", cx.theme.dim),
            (0, false) => ("░", cx.theme.dim),
            (part, true) => (if part >= 4 { "#" } else { "-" }, style),
            (part, false) => (EIGHTHS[part], style),
        };
        cx.buf[(area.x + i, area.y)].set_symbol(glyph).set_style(style);
    }
}
