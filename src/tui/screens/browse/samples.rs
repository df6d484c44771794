//! A task's classes and pictures.

use super::state::SIZES;
use crate::tasks::Task;
use crate::text::printable;
use crate::tui::model::Model;
use crate::tui::view_cx::{Cx, text_width};
use crate::tui::widgets::gallery::{Gallery, grid};
use crate::tui::widgets::text;
use ratatui::layout::Rect;

/// Draws the class list and below it as many pictures as fit.
pub fn view(model: &Model, task: &Task, area: Rect, cx: &mut Cx<'_>) {
    let used = classes(model, task, area, cx);
    let rest = Rect { y: area.y + used, height: area.height - used, ..area };
    if rest.is_empty() {
        return;
    }
    let browse = &model.browse;
    match browse.samples.images() {
        None => _ = text::line(cx, rest, "Unpacking pictures ...", cx.theme.dim),
        Some(Err(reason)) => {
            let message = format!("No pictures: {reason}");
            for (at, line) in text::wrap(&printable(&message), usize::from(rest.width)).iter().enumerate() {
                text::line(cx, text::row(rest, at as u16), line, cx.theme.warn);
            }
        }
        Some(Ok(images)) => {
            let indices = browse.samples.of_class(browse.class);
            let size = size(model, rest);
            let first = browse.first.min(indices.len().saturating_sub(1));
            let page = indices.get(first..).unwrap_or_default();
            let place = Rect { y: rest.y + 1, height: rest.height.saturating_sub(1), ..rest };
            let shown = Gallery { images, indices: page, classes: &task.classes, size }.draw(place, cx);
            let which = browse.class.and_then(|class| task.classes.get(class)).map_or("all classes", String::as_str);
            let left = cx.symbol("◂", "<");
            let right = cx.symbol("▸", ">");
            let line = format!(
                "{left} {}-{} of {} {right}  {which}, {} split",
                if shown == 0 { 0 } else { first + 1 },
                first + shown,
                indices.len(),
                browse.split
            );
            text::line(cx, rest, &line, cx.theme.accent);
        }
    }
}

/// The chosen picture size, or the largest that fits.
fn size(model: &Model, area: Rect) -> u16 {
    let wanted = SIZES[model.browse.size.min(SIZES.len() - 1)];
    let fits = |&size: &u16| {
        let (columns, rows) = grid(Rect { height: area.height.saturating_sub(1), ..area }, size);
        size <= wanted && columns > 0 && rows > 0
    };
    SIZES.into_iter().rev().find(fits).unwrap_or(SIZES[0])
}

/// How many pictures a page of the current size holds; for paging, which has to know it outside of the view.
#[must_use]
pub fn page(model: &Model) -> usize {
    // What lies around the pictures: tabs and footer, frame, side lists, facts and classes. It need not be exact, as
    // the position is shown and any step is allowed.
    let width = if model.size.0 < super::TWO_PANES {
        model.size.0
    } else {
        model.size.0.saturating_sub(if model.size.0 < 100 { 24 } else { 32 })
    };
    let area = Rect::new(0, 0, width, model.size.1.saturating_sub(13));
    let (columns, rows) = grid(Rect { height: area.height.saturating_sub(1), ..area }, size(model, area));
    usize::from(columns * rows).max(1)
}

/// The class list with counts, wrapped over at most a third of the area; gives the lines used.
fn classes(model: &Model, task: &Task, area: Rect, cx: &mut Cx<'_>) -> u16 {
    let browse = &model.browse;
    let most = (area.height / 3).clamp(1, 4);
    let (mut x, mut y) = (area.x, area.y);
    let entry = |class: usize, name: &str| {
        let name = printable(name).into_owned();
        browse.samples.count(class).map_or_else(|| name.clone(), |count| format!("{name} {count}"))
    };
    let entries: Vec<(usize, String)> =
        task.classes.iter().enumerate().map(|(class, name)| (class, entry(class, name))).collect();
    // Starts so that the chosen class is in sight.
    let widths: Vec<usize> = entries.iter().map(|(_, text)| text_width(text) + 2).collect();
    let room = usize::from(area.width) * usize::from(most);
    let chosen = browse.class.unwrap_or(0);
    let before: usize = widths.iter().take(chosen + 1).sum();
    let mut skip = 0;
    let mut dropped = 0;
    while before.saturating_sub(dropped) + usize::from(area.width) / 2 > room && skip < chosen {
        dropped += widths[skip];
        skip += 1;
    }
    for (class, text) in entries.iter().skip(skip) {
        let width = text_width(text) as u16;
        if x > area.x && x + width > area.right() {
            x = area.x;
            y += 1;
        }
        if y >= area.y + most || y >= area.bottom() {
            let more = cx.charset.ellipsis();
            cx.print(area.right().saturating_sub(1), y - 1, 1, more, cx.theme.dim);
            return most.min(area.height);
        }
        let style = if browse.class == Some(*class) { cx.theme.selected } else { cx.theme.text };
        x = cx.print(x, y, area.right() - x, text, style) + 2;
    }
    (y + 1 - area.y).min(area.height)
}
