//! The whole picture: tabs, screen, footer, and what lies above.

use super::hit::HitMap;
use super::layout::{Frame, Room};
use super::model::Model;
use super::term::caps::Caps;
use super::term::degrade::degrade;
use super::theme::Theme;
use super::view_cx::Cx;
use super::{footer, overlay, screens, tab_bar};
use ratatui::buffer::Buffer;
use ratatui::layout::Position;

/// How things look on one terminal.
#[derive(Debug, Clone)]
pub struct Look {
    /// Never empty.
    pub themes: Vec<Theme>,
    pub caps: Caps,
}

/// Draws everything into `buffer`, whose size counts, and notes what can be clicked. Gives the place of the text cursor.
pub fn draw(model: &Model, look: &Look, buffer: &mut Buffer, hits: &mut HitMap) -> Option<Position> {
    hits.clear();
    buffer.reset();
    let plain = Theme::default();
    let theme = look.themes.get(model.theme).or(look.themes.first()).unwrap_or(&plain);
    let area = buffer.area;
    let mut cx = Cx { buf: buffer, theme, charset: look.caps.charset, hits, cursor: None };
    cx.style(area, theme.text);
    if Room::of((area.width, area.height)) == Room::Tiny {
        enlarge(&mut cx);
    } else {
        let frame = Frame::of(area);
        screens::view(model, frame.screen, &mut cx);
        tab_bar::view(model, frame.tabs, &mut cx);
        footer::view(model, frame.footer, &mut cx);
        overlay::view(model, area, &mut cx);
    }
    let cursor = cx.cursor.filter(|&at| area.contains(at));
    degrade(buffer, look.caps.depth, look.caps.charset);
    cursor
}

fn enlarge(cx: &mut Cx<'_>) {
    let area = cx.buf.area;
    cx.print(area.x, area.y + area.height / 2, area.width, "enlarge to 20x5", cx.theme.accent);
}
