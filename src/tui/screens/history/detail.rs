//! One stored run: its result on every task, and the recipe that reproduces it.

use super::{DETAIL, Pane, when};
use crate::fusion::PER_TASK;
use crate::store::RunRecord;
use crate::tui::hit::Target;
use crate::tui::model::Model;
use crate::tui::runs::{self, label::UNSEEN};
use crate::tui::screens::compare;
use crate::tui::screens::compare::judge;
use crate::tui::view_cx::Cx;
use crate::tui::widgets::{gauge, pane::pane, text};
use ratatui::layout::Rect;

/// What one line of the details shows.
enum Line<'a> {
    Text(String),
    Heading(&'a str),
    Task { name: &'a str, seen: bool, accuracy: f64, n: u64, base: Option<f64>, expert: Option<f64> },
}

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    cx.hits.add(area, Target::Pane(DETAIL));
    let focused = model.history.focus == Pane::Detail;
    let Some(record) = model.history.current() else {
        pane(cx, area, "Run", focused);
        return;
    };
    let inner = pane(cx, area, &format!("Run {}: {}", record.id, runs::title(&record.run)), focused);
    let lines = lines(model, record, usize::from(inner.width));
    let first = model.history.scroll.min(lines.len().saturating_sub(usize::from(inner.height)));
    for (at, line) in lines.iter().skip(first).take(usize::from(inner.height)).enumerate() {
        draw(line, text::row(inner, at as u16), cx);
    }
}

/// Number of lines that scrolling can reach.
#[must_use]
pub fn len(model: &Model) -> usize {
    model.history.current().map_or(0, |record| lines(model, record, 60).len())
}

fn lines<'a>(model: &'a Model, record: &'a RunRecord, width: usize) -> Vec<Line<'a>> {
    let run = &record.run;
    let mut summary = format!(
        "{} on the {} split: average {} %",
        run.method_name,
        compare::split(run),
        compare::percent(run.average)
    );
    if let Some(gap) = judge::gap_recovered(run, &model.catalog) {
        summary += &format!(", {} % of the way from base to experts", compare::percent(gap));
    }
    let both = judge::generalization(run);
    if let Some(both) = &both {
        let (seen, unseen) = (compare::percent(both.seen), compare::percent(both.unseen));
        summary += &format!("; {seen} % on seen, {unseen} % on unseen tasks ({})", both.unseen_tasks.join(", "));
    }
    let place = format!("{} UTC on {}, {}", when::utc(run.started_unix), run.device, text::seconds(run.seconds));
    let mut lines: Vec<Line<'_>> = text::wrap(&summary, width).into_iter().map(Line::Text).collect();
    lines.extend(text::wrap(&place, width).into_iter().map(Line::Text));
    if judge::is_per_task(run) {
        lines.extend(text::wrap(PER_TASK, width).into_iter().map(Line::Text));
    }
    let split = judge::split(run);
    for score in &run.tasks {
        let recorded = split.map(|split| model.catalog.recorded(&score.task, split)).unwrap_or_default();
        lines.push(Line::Task {
            name: &score.task,
            seen: both.as_ref().is_none_or(|both| both.is_seen(&score.task)),
            accuracy: score.accuracy,
            n: score.n,
            base: recorded.base,
            expert: recorded.expert,
        });
    }
    lines.push(Line::Heading("recipe (r: take it up in Tune, y: copy)"));
    lines.extend(run.recipe_toml.lines().map(|line| Line::Text(line.replace('\t', "    "))));
    lines
}

fn draw(line: &Line<'_>, row: Rect, cx: &mut Cx<'_>) {
    match line {
        Line::Text(text) => _ = text::line(cx, row, text, cx.theme.text),
        Line::Heading(text) => _ = text::line(cx, row, text, cx.theme.accent),
        Line::Task { name, seen, accuracy, n, base, expert } => {
            text::line(cx, text::columns(row, 0, 9), name, cx.theme.text);
            if !seen {
                let mark = cx.symbol(UNSEEN.0, UNSEEN.1);
                text::line(cx, text::columns(row, 9, 1), mark, cx.theme.warn);
            }
            // The numbers come first: the bar takes what they leave.
            let bar = text::columns(row, 10, row.width.saturating_sub(10 + 1 + 30).clamp(5, 24));
            gauge::draw(cx, bar, Some(*accuracy), cx.theme.series[0]);
            let known = |share: &Option<f64>| share.map_or_else(|| "-".to_owned(), compare::percent);
            let mut value = format!("{:5.1} % base {:>4} expert {:>4}", accuracy * 100.0, known(base), known(expert));
            if usize::from(row.width.saturating_sub(11 + bar.width)) > value.len() + 8 {
                value += &format!(" n {n}");
            }
            text::line(cx, text::from(row, 10 + bar.width + 1), &value, cx.theme.text);
        }
    }
}
