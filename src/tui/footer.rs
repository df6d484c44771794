//! The last line: a short message, or the keys that matter most here.

use super::command::{self, Command};
use super::hit::Target;
use super::model::Model;
use super::overlay;
use super::view_cx::{Charset, Cx, text_width};
use ratatui::layout::Rect;

/// Shown at the right edge whatever else there is.
const ALWAYS_SHOWN: [&str; 3] = ["help", "palette", "quit"];

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    if area.is_empty() {
        return;
    }
    cx.style(area, cx.theme.bar);
    if let Some(notice) = &model.notice {
        // A mark as well as a colour.
        let (mark, style) =
            if notice.error { (cx.symbol("✗", "!"), cx.theme.error) } else { (cx.symbol("✓", ">"), cx.theme.ok) };
        cx.print(area.x + 1, area.y, area.width.saturating_sub(2), &format!("{mark} {}", notice.text), style);
        return;
    }
    if let Some(open) = &model.overlay {
        return keys(area, cx, overlay::keys(open));
    }
    let fixed: Vec<&Command> = ALWAYS_SHOWN.iter().filter_map(|id| command::find(id)).collect();
    let width: usize = fixed.iter().map(|command| hint_width(model, cx, command)).sum();
    let split = area.right().saturating_sub(u16::try_from(width).unwrap_or(u16::MAX)).max(area.x);
    let hints = hints(model);
    let mut x = area.x;
    for command in hints {
        if usize::from(x) + hint_width(model, cx, command) > usize::from(split) {
            continue;
        }
        x = hint(model, area.y, x, command, cx);
    }
    x = split;
    for command in fixed {
        x = hint(model, area.y, x, command, cx);
    }
}

/// What the footer offers here, the most useful first: what can be done now before what cannot. Of commands that share a
/// key only the one that it would run now is shown.
fn hints(model: &Model) -> Vec<&'static Command> {
    let wanted = |command: &&Command| command.priority > 0 && !ALWAYS_SHOWN.contains(&command.id);
    let is_meant = |command: &&Command| {
        let key = model.keymap.keys(command).first();
        key.is_none_or(|&key| model.keymap.command(model, key).is_some_and(|other| other.id == command.id))
    };
    let mut hints: Vec<&Command> = command::on(model.screen).filter(wanted).filter(is_meant).collect();
    // The sort is stable, so equals stay in table order.
    hints.sort_by_key(|command| ((command.enabled)(model).is_err(), std::cmp::Reverse(command.priority)));
    hints
}

/// One hint: ` key label `. Gives the x behind it.
fn hint(model: &Model, y: u16, x: u16, command: &Command, cx: &mut Cx<'_>) -> u16 {
    let enabled = (command.enabled)(model).is_ok();
    let (key_style, label_style) = if enabled { (cx.theme.key, cx.theme.bar) } else { (cx.theme.dim, cx.theme.dim) };
    let edge = cx.buf.area.right();
    let key = key(model, cx, command);
    let mut end = x + 1;
    if !key.is_empty() {
        end = cx.print(end, y, edge.saturating_sub(end), &key, key_style) + 1;
    }
    end = cx.print(end, y, edge.saturating_sub(end), command.label, label_style) + 1;
    cx.hits.add(Rect { x, y, width: end.saturating_sub(x), height: 1 }, Target::Command(command.id));
    end
}

fn hint_width(model: &Model, cx: &Cx<'_>, command: &Command) -> usize {
    let key = text_width(&key(model, cx, command));
    2 + key + usize::from(key > 0) + text_width(command.label)
}

fn key(model: &Model, cx: &Cx<'_>, command: &Command) -> String {
    let keys = model.keymap.keys(command);
    keys.first().map(|key| key.pretty(cx.charset == Charset::Ascii)).unwrap_or_default()
}

/// The keys of an overlay, which are fixed.
fn keys(area: Rect, cx: &mut Cx<'_>, keys: &[(&str, &str)]) {
    let mut x = area.x + 1;
    for (key, label) in keys {
        let left = |x: u16| area.right().saturating_sub(x);
        x = cx.print(x, area.y, left(x), key, cx.theme.key) + 1;
        x = cx.print(x, area.y, left(x), label, cx.theme.bar) + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::catalog::fixture;
    use crate::tui::model::Screen;
    use std::sync::Arc;

    #[test]
    fn what_can_be_done_comes_first_and_no_key_is_shown_twice() {
        let mut model = Model::new(Arc::new(fixture::catalog()), (120, 40));
        for screen in Screen::ALL {
            model.screen = screen;
            let shown = hints(&model);
            let enabled: Vec<bool> = shown.iter().map(|command| (command.enabled)(&model).is_ok()).collect();
            assert!(enabled.is_sorted_by(|a, b| a >= b), "{screen:?}: {shown:?}");
            let mut keys: Vec<_> = shown.iter().filter_map(|command| model.keymap.keys(command).first()).collect();
            let all = keys.len();
            keys.sort_by_key(|key| key.to_string());
            keys.dedup();
            assert_eq!(keys.len(), all, "{screen:?}: {shown:?}");
        }
    }
}
