//! The marked runs as grouped columns, beside base and experts.

use super::{judge, letter};
use crate::tui::model::Model;
use crate::tui::view_cx::Cx;
use crate::tui::widgets::columns::Columns;
use crate::tui::widgets::text;
use ratatui::layout::Rect;

/// Fewest lines on which the chart says something.
pub const LEAST: u16 = 8;

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let runs = &model.compare.runs;
    let Some(reference) = runs.first() else { return };
    let tasks = judge::tasks(runs);
    let split = judge::split(reference);
    let values =
        |run: &crate::store::NewRun| tasks.iter().map(|task| run.task(task).map(|score| score.accuracy)).collect();
    let series: Vec<_> =
        runs.iter().enumerate().map(|(at, run)| (letter(at), cx.theme.series[at % 8], values(run))).collect();
    let recorded = |of: fn(&crate::tui::catalog::Recorded) -> Option<f64>| -> Vec<Option<f64>> {
        tasks.iter().map(|task| split.and_then(|split| of(&model.catalog.recorded(task, split)))).collect()
    };
    let marks = [
        ("╌", "~", cx.theme.base, recorded(|recorded| recorded.base)),
        ("━", "=", cx.theme.expert, recorded(|recorded| recorded.expert)),
    ];
    let title = text::row(area, 0);
    let used = text::line(cx, title, "accuracy in %  ", cx.theme.accent);
    let base = format!("{} base  ", cx.symbol("╌", "~"));
    let expert = format!("{} expert", cx.symbol("━", "="));
    text::spans(cx, text::from(title, used), &[(&base, cx.theme.base), (&expert, cx.theme.expert)]);
    let place = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    Columns { categories: &tasks, series: &series, marks: &marks }.draw(place, cx);
}
