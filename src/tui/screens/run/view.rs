//! How Run looks: the list above, below it chart and table of the selected run, its progress and its log.

mod detail;

use super::{Part, shown};
use crate::engine::FITTED;
use crate::tui::hit::Target;
use crate::tui::model::Model;
use crate::tui::runs::{
    RunState, RunView,
    label::{TUNED_ON_TEST, on},
};
use crate::tui::view_cx::Cx;
use crate::tui::widgets::pane::pane;
use crate::tui::widgets::routing;
use crate::tui::widgets::spinner;
use crate::tui::widgets::text::{columns, from, line, right, row, seconds, wrap};
use ratatui::layout::Rect;

/// Below this width or height one part is shown at a time.
const EVERYTHING: (u16, u16) = (72, 18);

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let area = area.intersection(cx.buf.area);
    if area.is_empty() {
        return;
    }
    let Some((at, run)) = shown(model) else { return empty(area, cx) };
    let runs = model.runs.asked_for().count() as u16;
    if model.run.zoomed {
        let inner = pane(cx, area, &title(run), true);
        return one_part(model, run, inner, cx);
    }
    if area.width < EVERYTHING.0 || area.height < EVERYTHING.1 {
        let rows = runs.min(3).min(area.height / 4);
        list(model, at, Rect { height: rows, ..area }, cx);
        return one_part(model, run, Rect { y: area.y + rows, height: area.height - rows, ..area }, cx);
    }
    let rows = (runs + 2).min(area.height / 4).max(3);
    let inner = pane(cx, Rect { height: rows, ..area }, "runs", false);
    list(model, at, inner, cx);
    let below = Rect { y: area.y + rows, height: area.height - rows, ..area };
    let inner = pane(cx, below, &title(run), true);
    everything(model, run, inner, cx);
}

fn empty(area: Rect, cx: &mut Cx<'_>) {
    let text = "No run yet. On Tune (2), enter evaluates the recipe on the whole test split; it shows here while it runs \
                and in the history for good.";
    for (y, text) in wrap(text, usize::from(area.width.saturating_sub(2))).iter().enumerate() {
        line(cx, from(row(area, y as u16 + 1), 1), text, cx.theme.dim);
    }
}

fn title(run: &RunView) -> String {
    let (tuned, fitted) = (run.tuned_on_test, run.job.recipe.is_fitted_to(run.job.split));
    let marks = [(tuned, TUNED_ON_TEST), (fitted, FITTED)].into_iter().filter(|(marked, _)| *marked);
    let marks: String = marks.map(|(_, mark)| format!(" · {mark}")).collect();
    format!("{} · {}{marks}", run.label, on(run.job.data()))
}

/// The runs, newest first, with the selected one in sight.
fn list(model: &Model, selected: usize, area: Rect, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    let height = usize::from(area.height);
    let first = selected.saturating_sub(height.saturating_sub(1));
    for (y, (at, run)) in model.runs.asked_for().rev().enumerate().skip(first).take(height).enumerate() {
        let line_area = row(area, y as u16);
        let style = if at == selected { theme.selected } else { theme.text };
        cx.style(line_area, style);
        let (mark, look) = mark(run, model, cx);
        line(cx, line_area, mark, if at == selected { style } else { look });
        let average = run.report.as_ref().map(|report| report.average).or_else(|| run.average().map(|pair| pair.0));
        let average = average.map_or_else(String::new, |mean| format!("{:.1}", mean * 100.0));
        let elapsed = run.elapsed(model.now).map_or_else(String::new, |time| seconds(time.as_secs_f64()));
        let tail = format!("{average:>6} {elapsed:>7} {:<9}", run.state.word());
        let tail_width = 24.min(area.width / 2);
        right(cx, line_area, &tail, style);
        let room = area.width.saturating_sub(tail_width + 3);
        line(cx, columns(line_area, 2, room), &run.label, style);
        cx.hits.add(line_area, Target::Row { list: "run.list", index: at });
    }
}

fn mark(run: &RunView, model: &Model, cx: &Cx<'_>) -> (&'static str, ratatui::style::Style) {
    let theme = cx.theme;
    match run.state {
        RunState::Queued { .. } => (cx.symbol("·", "."), theme.dim),
        RunState::Running | RunState::Cancelling => (spinner::glyph(model.now, cx.charset), theme.accent),
        RunState::Done => (cx.symbol("✓", "+"), theme.ok),
        RunState::Failed { .. } => (cx.symbol("✗", "!"), theme.error),
        RunState::Cancelled => (cx.symbol("–", "-"), theme.warn),
    }
}

fn one_part(model: &Model, run: &RunView, area: Rect, cx: &mut Cx<'_>) {
    let foot = detail::progress_height(run, area).min(area.height);
    let upper = Rect { height: area.height - foot, ..area };
    match model.run.part {
        Part::Table => detail::table(run, upper, cx),
        Part::Chart => detail::chart(model, run, upper, cx),
        Part::Log => detail::log(run, upper, cx),
        Part::Routing => match &run.routing {
            Some(routing) => routing::view(routing, upper, cx),
            None => detail::table(run, upper, cx),
        },
    }
    detail::progress(model, run, Rect { y: upper.bottom(), height: foot, ..area }, cx);
}

fn everything(model: &Model, run: &RunView, area: Rect, cx: &mut Cx<'_>) {
    let foot = detail::progress_height(run, area);
    let table_rows = run.tasks.len() as u16 + 2;
    // The log takes what chart and table do not need.
    let spare = area.height.saturating_sub(foot + table_rows.max(16));
    let log = (run.log.len() as u16 + 1).min(spare.min(8));
    let log = if run.log.is_empty() { 0 } else { log };
    let upper = Rect { height: area.height.saturating_sub(foot + log), ..area };
    let table_width = detail::table_width(run).min(area.width / 2);
    let chart = Rect { width: area.width - table_width - 1, ..upper };
    match &run.routing {
        // Of a mixture this says more than the curves, which tab brings.
        Some(routing) if model.run.part != Part::Chart => routing::view(routing, chart, cx),
        _ => detail::chart(model, run, chart, cx),
    }
    detail::table(run, Rect { x: area.x + area.width - table_width, width: table_width, ..upper }, cx);
    let progress = Rect { y: upper.bottom(), height: foot.min(area.height), ..area };
    detail::progress(model, run, progress, cx);
    if log > 0 {
        detail::log(run, Rect { y: progress.bottom(), height: log, ..area }, cx);
    }
}
