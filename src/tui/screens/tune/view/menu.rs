//! The lists that lie over the form: methods by family, experts.

use super::about;
use crate::fusion::{Family, Method};
use crate::tui::hit::Target;
use crate::tui::model::Model;
use crate::tui::screens::tune::{Menu, actions};
use crate::tui::view_cx::Cx;
use crate::tui::widgets::text::{from, line, right, row};
use ratatui::layout::Rect;

/// A line of the list of methods.
enum Line {
    Family(Family),
    Method(usize),
}

fn lines(model: &Model) -> Vec<Line> {
    let mut lines = Vec::new();
    for family in Family::ALL {
        let members = model.catalog.methods.iter().enumerate().filter(|(_, method)| method.family == family);
        let mut members = members.map(|(at, _)| Line::Method(at)).peekable();
        if members.peek().is_some() {
            lines.push(Line::Family(family));
            lines.extend(members);
        }
    }
    lines
}

/// The methods' indices in the order of the list.
pub fn order(model: &Model) -> Vec<usize> {
    lines(model).into_iter().filter_map(|line| if let Line::Method(at) = line { Some(at) } else { None }).collect()
}

/// Lines of the list of methods.
pub fn height(model: &Model) -> u16 {
    lines(model).len() as u16
}

/// The method that the text below the list is about.
pub fn highlighted(model: &Model) -> &'static Method {
    match model.tune.menu {
        Some(Menu::Methods { cursor }) => model.catalog.methods.get(cursor).copied(),
        _ => None,
    }
    .unwrap_or(model.tune.setting.method)
}

/// The open list over the whole area, with what there is to know about the highlighted line below it.
pub fn view(model: &Model, menu: Menu, area: Rect, cx: &mut Cx<'_>) {
    match menu {
        Menu::Methods { cursor } => {
            // The text gives way first, down to the formula alone.
            let text = area.height.saturating_sub(height(model) + 1).clamp(1, 8).min(area.height / 2);
            methods(model, Some(cursor), Rect { height: area.height - text, ..area }, cx);
            let below = Rect { y: area.y + area.height - text, height: text, ..area };
            about::method(model, highlighted(model), below, cx);
        }
        Menu::Experts { cursor } => experts(model, cursor, area, cx),
    }
}

/// The list of methods; without a cursor the one in use is marked.
pub fn methods(model: &Model, cursor: Option<usize>, area: Rect, cx: &mut Cx<'_>) {
    let lines = lines(model);
    let current = |at: usize| model.catalog.methods[at].id == model.tune.setting.method.id;
    let marked = |entry: &Line| matches!(entry, Line::Method(at) if cursor.map_or(current(*at), |c| c == *at));
    let focus = lines.iter().position(marked).unwrap_or(0);
    let first = scroll(focus, lines.len(), area.height);
    let theme = cx.theme;
    for (y, entry) in lines.iter().skip(first).take(usize::from(area.height)).enumerate() {
        let at_row = row(area, y as u16);
        match entry {
            Line::Family(family) => {
                let used = line(cx, at_row, family.title(), theme.dim);
                // What it means is said in full below the list.
                if let Some(note) = family.note().split(':').next().filter(|note| !note.is_empty()) {
                    line(cx, from(at_row, used), &format!(": {note}"), theme.dim);
                }
            }
            Line::Method(at) => {
                let method = model.catalog.methods[*at];
                let fits = actions::fits(model, method).is_ok();
                let style = match (cursor == Some(*at), fits) {
                    (true, _) => theme.selected,
                    (false, true) if current(*at) => theme.accent,
                    (false, true) => theme.text,
                    (false, false) => theme.dim,
                };
                if cursor == Some(*at) {
                    cx.style(at_row, theme.selected);
                }
                let mark = if current(*at) { cx.symbol("● ", "* ") } else { "  " };
                let used = line(cx, at_row, mark, style);
                line(cx, from(at_row, used), method.name, style);
                if !fits {
                    let mark = cx.symbol("⟂", "x");
                    right(cx, at_row, mark, theme.warn);
                }
                cx.hits.add(at_row, Target::Row { list: "tune.methods", index: *at });
            }
        }
    }
}

fn experts(model: &Model, cursor: usize, area: Rect, cx: &mut Cx<'_>) {
    let names = &model.catalog.experts;
    let list = Rect { height: area.height.saturating_sub(2), ..area };
    let first = scroll(cursor, names.len(), list.height);
    let theme = cx.theme;
    for (y, (at, name)) in names.iter().enumerate().skip(first).take(usize::from(list.height)).enumerate() {
        let chosen = model.tune.setting.experts.contains(name);
        let at_row = row(list, y as u16);
        let style = if at == cursor { theme.selected } else { theme.text };
        cx.style(at_row, style);
        let used = line(cx, at_row, if chosen { "[x] " } else { "[ ] " }, style);
        line(cx, from(at_row, used), name, style);
        cx.hits.add(at_row, Target::Row { list: "tune.experts", index: at });
    }
    let below = Rect { y: list.bottom(), height: area.height - list.height, ..area };
    if let Err(reason) = crate::tui::screens::tune::jobs::check(model, &model.tune.setting) {
        line(cx, row(below, 0), &reason, theme.warn);
    }
    line(cx, row(below, 1), "enter in or out (out: unseen)", theme.dim);
}

/// The first line to show so that line `focus` of `n` is in sight, near the middle where possible.
pub fn scroll(focus: usize, n: usize, height: u16) -> usize {
    let height = usize::from(height);
    focus.saturating_sub(height / 2).min(n.saturating_sub(height))
}

#[cfg(test)]
mod tests {
    use super::scroll;

    #[test]
    fn the_focus_is_always_in_sight() {
        for n in 1..30 {
            for height in 1..12u16 {
                for focus in 0..n {
                    let first = scroll(focus, n, height);
                    assert!(first <= focus && focus < first + usize::from(height), "{focus} of {n} in {height}");
                }
            }
        }
        assert_eq!(scroll(3, 5, 0), 3);
    }
}
