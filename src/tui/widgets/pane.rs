//! A titled frame around a part of a screen.

use crate::tui::view_cx::{Charset, Cx};
use ratatui::layout::Rect;
use ratatui::symbols::border;
use ratatui::widgets::{Block, Borders, Widget};

const ASCII: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// Draws the frame and gives the area inside. On areas too small for a frame nothing is drawn and all of it is given.
pub fn pane(cx: &mut Cx<'_>, area: Rect, title: &str, focused: bool) -> Rect {
    let area = area.intersection(cx.buf.area);
    if area.width < 4 || area.height < 3 {
        return area;
    }
    let set = if cx.charset == Charset::Ascii { ASCII } else { border::ROUNDED };
    let style = if focused { cx.theme.focus } else { cx.theme.border };
    let block = Block::new().borders(Borders::ALL).border_set(set).border_style(style);
    let inner = block.inner(area);
    block.render(area, cx.buf);
    if !title.is_empty() {
        let style = if focused { cx.theme.accent } else { cx.theme.dim };
        let end = cx.print(area.x + 2, area.y, area.width - 4, &format!(" {title} "), style);
        // The focused pane is told apart by a mark as well: colour alone does not do on a monochrome terminal.
        if focused && end < area.right().saturating_sub(1) {
            let mark = cx.symbol("●", "*");
            cx.print(area.x + 1, area.y, 1, mark, style);
        }
    }
    inner
}
