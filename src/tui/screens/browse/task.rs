//! A task in detail: where it comes from, its sizes and classes, how base and expert do on it, what it looks like.

use super::{Pane, samples};
use crate::tasks::{Split, Task};
use crate::text::grouped;
use crate::tui::model::Model;
use crate::tui::view_cx::Cx;
use crate::tui::widgets::{gauge, pane::pane, text};
use ratatui::layout::Rect;
use ratatui::style::Style;

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let focused = model.browse.focus == Pane::Detail;
    let Some(task) = model.catalog.tasks.get(model.browse.task) else {
        let inner = pane(cx, area, "Task", focused);
        text::line(cx, inner, "No task is chosen.", cx.theme.dim);
        return;
    };
    let inner = pane(cx, area, &format!("{}: {}", task.id, task.title), focused);
    let mut y = 0;
    let sizes = [Split::Train, Split::Validation, Split::Test]
        .map(|split| format!("{split} {}", grouped(task.len(split))))
        .join(cx.symbol(" · ", ", "));
    text::line(cx, text::row(inner, y), &format!("{sizes} images, {} classes", task.classes.len()), cx.theme.text);
    y += 1;
    if inner.height >= 12 {
        let from = format!("from {}, licence {}", task.source, task.licence);
        for line in text::wrap(&from, usize::from(inner.width)).into_iter().take(2) {
            text::line(cx, text::row(inner, y), &line, cx.theme.dim);
            y += 1;
        }
    }
    if let Some(heads) = model.catalog.heads.as_deref().filter(|_| inner.height >= 16) {
        for line in text::wrap(&format!("frozen head: {heads}"), usize::from(inner.width)).into_iter().take(3) {
            text::line(cx, text::row(inner, y), &line, cx.theme.dim);
            y += 1;
        }
    }
    accuracy(model, task, text::row(inner, y), "base", cx);
    accuracy(model, task, text::row(inner, y + 1), "expert", cx);
    y += 2;
    if inner.height > y {
        let rest = Rect { y: inner.y + y, height: inner.height - y, ..inner };
        samples::view(model, task, rest, cx);
    }
}

/// One bar: who, how good, on which split.
fn accuracy(model: &Model, task: &Task, row: Rect, who: &str, cx: &mut Cx<'_>) {
    let split = model.browse.split;
    let recorded = model.catalog.recorded(&task.id, split);
    let (share, style): (Option<f64>, Style) =
        if who == "base" { (recorded.base, cx.theme.base) } else { (recorded.expert, cx.theme.expert) };
    text::line(cx, row, who, style);
    let bar = text::columns(row, 7, row.width.saturating_sub(33).clamp(8, 40));
    gauge::draw(cx, bar, share, style);
    let value = share.map_or_else(|| "not recorded".to_owned(), |share| format!("{:5.1} % on {split}", share * 100.0));
    text::line(cx, text::from(row, 7 + bar.width + 1), &value, cx.theme.text);
}
