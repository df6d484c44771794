//! The first line: the screens with their number keys, what is going on, the device.

use super::hit::Target;
use super::layout::Room;
use super::model::{Model, Screen};
use super::view_cx::{Cx, text_width};
use ratatui::layout::Rect;

/// From this width on there is room for the program's name.
const NAMED: u16 = 96;

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    cx.style(area, cx.theme.bar);
    let mut x = area.x + 1;
    let compact = Room::of((cx.buf.area.width, cx.buf.area.height)) <= Room::Compact;
    // The name has to go before what the engine is doing does.
    if !compact && area.width >= NAMED {
        x = cx.print(x, area.y, area.width, "fusebench", cx.theme.accent) + 2;
    }
    for (at, screen) in Screen::ALL.into_iter().enumerate() {
        let selected = screen == model.screen;
        // Where there is little room only the number of the others is shown.
        let text =
            if compact && !selected { format!(" {} ", at + 1) } else { format!(" {} {} ", at + 1, screen.title()) };
        let style = if selected { cx.theme.selected } else { cx.theme.bar };
        let end = cx.print(x, area.y, area.right().saturating_sub(x), &text, style);
        let tab = Rect { x, y: area.y, width: end - x, height: 1 };
        if selected {
            cx.style(tab, cx.theme.selected);
        }
        cx.hits.add(tab, Target::Tab(screen));
        x = end;
    }
    let room = area.right().saturating_sub(x + 2);
    let status = status(model, cx.symbol("●", "*"));
    if text_width(&status) <= usize::from(room) {
        cx.print_right(
            x + 1,
            area.y,
            room,
            &status,
            if model.device.reason.is_some() { cx.theme.warn } else { cx.theme.bar },
        );
    } else if room >= 8 {
        cx.print(x + 1, area.y, room, &status, cx.theme.bar);
    }
}

/// What the engine is doing, and on which device; a mark says that it is not the one that was asked for.
fn status(model: &Model, dot: &str) -> String {
    let device = match (&model.device.name, &model.device.reason) {
        (name, _) if name.is_empty() => "starting".to_owned(),
        (name, None) => name.clone(),
        (name, Some(_)) => format!("{name} (!)"),
    };
    if model.runs.is_active() { format!("{dot} working  {device}") } else { device }
}
