//! A method in its own words.

use crate::fusion::Method;
use crate::tui::model::Model;
use crate::tui::screens::tune::actions;
use crate::tui::view_cx::Cx;
use crate::tui::widgets::text::{line, paragraph, row, wrap};
use ratatui::layout::Rect;

/// Formula, summary, reference, and why the method cannot be used, if so.
pub fn method(model: &Model, method: &Method, area: Rect, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    let width = usize::from(area.width);
    let mut lines = vec![(method.formula.to_owned(), theme.accent)];
    if let Err(reason) = actions::fits(model, method) {
        let mark = cx.symbol("⟂ ", "x ");
        lines.extend(wrap(&format!("{mark}{reason}"), width).into_iter().map(|text| (text, theme.warn)));
    }
    if method.is_per_task() {
        let note = wrap(method.family.note(), width).into_iter();
        lines.extend(note.map(|text| (text, theme.warn)));
    }
    let room = usize::from(area.height).saturating_sub(lines.len()).max(1);
    let summary = paragraph(method.summary, width, room, cx.charset);
    lines.extend(summary.into_iter().map(|text| (text, theme.text)));
    if !method.reference.is_empty() {
        lines.push((method.reference.to_owned(), theme.dim));
    }
    for (at, (text, style)) in lines.iter().enumerate().take(usize::from(area.height)) {
        line(cx, row(area, at as u16), text, *style);
    }
}
