//! History: every finished run, kept.

mod act;
mod detail;
mod when;

pub use act::{COMMANDS, reload};

use crate::engine::Event;
use crate::store::RunRecord;
use crate::tui::effect::Effect;
use crate::tui::filter;
use crate::tui::hit::{Hit, Target};
use crate::tui::model::Model;
use crate::tui::runs;
use crate::tui::screens::compare;
use crate::tui::view_cx::Cx;
use crate::tui::widgets::pane::pane as frame;
use crate::tui::widgets::table::{Cell, Column, Table};
use crate::tui::widgets::text;
use ratatui::layout::Rect;

/// What takes the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pane {
    #[default]
    List,
    Detail,
}

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    /// Newest first.
    pub records: Vec<RunRecord>,
    /// Whether the store has answered yet.
    pub loaded: bool,
    /// What is wrong with the store, if anything.
    pub trouble: Option<String>,
    /// Id of the selected run.
    pub selected: Option<i64>,
    pub filter: String,
    pub focus: Pane,
    /// First line of the details.
    pub scroll: usize,
}

/// Names the panes for the mouse.
const LIST: &str = "history.runs";
const DETAIL: &str = "history.detail";

impl State {
    /// Runs that pass the filter, pinned ones first, newest first among equals.
    #[must_use]
    pub fn shown(&self) -> Vec<&RunRecord> {
        let texts = self.records.iter().map(|record| {
            let run = &record.run;
            format!("{}\n{}\n{}\n{}\n{}", record.id, runs::title(run), run.method_name, run.split, run.device)
        });
        let mut shown: Vec<&RunRecord> =
            filter::matching(&self.filter, texts).into_iter().filter_map(|at| self.records.get(at)).collect();
        shown.sort_by_key(|record| !record.pinned);
        shown
    }

    /// The selected run, if it is shown; else the first one.
    #[must_use]
    pub fn current(&self) -> Option<&RunRecord> {
        let shown = self.shown();
        shown.iter().find(|record| Some(record.id) == self.selected).or(shown.first()).copied()
    }
}

pub fn opened(_: &mut Model, fx: &mut Vec<Effect>) {
    fx.push(Effect::LoadHistory);
}

pub fn pane(model: &mut Model, _: isize) {
    let history = &mut model.history;
    history.focus = if history.focus == Pane::List { Pane::Detail } else { Pane::List };
}

pub fn mouse(model: &mut Model, hit: Hit, _: &mut Vec<Effect>) {
    let detail = hit.target == Target::Pane(DETAIL);
    if hit.pressed() || hit.wheel().is_some() {
        model.history.focus = if detail { Pane::Detail } else { Pane::List };
    }
    if let Some(step) = hit.wheel() {
        act::step(model, step);
    } else if hit.pressed()
        && let Target::Row { list: LIST, index } = hit.target
        && let Some(id) = model.history.shown().get(index).map(|record| record.id)
    {
        model.history.selected = Some(id);
        model.history.scroll = 0;
    }
}

pub fn heard(_: &mut Model, _: &Event, _: &mut Vec<Effect>) {}

/// The records asked for by [`Effect::LoadHistory`], newest first, and what is wrong with the store, if anything.
pub fn loaded(model: &mut Model, runs: Vec<RunRecord>, trouble: Option<String>) {
    let history = &mut model.history;
    history.records = runs;
    history.loaded = true;
    history.trouble = trouble;
}

/// From this width on the details stand beside the list.
const SIDE_BY_SIDE: u16 = 110;
/// Below this height there is room for one pane at a time.
const TWO_PANES: u16 = 18;

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let area = area.intersection(cx.buf.area);
    if area.width >= SIDE_BY_SIDE {
        let left = area.width * 6 / 10;
        list(model, Rect { width: left, ..area }, cx);
        detail::view(model, text::from(area, left), cx);
    } else if area.height >= TWO_PANES && area.width >= 60 {
        let upper = area.height / 2;
        list(model, Rect { height: upper, ..area }, cx);
        detail::view(model, Rect { y: area.y + upper, height: area.height - upper, ..area }, cx);
    } else if model.history.focus == Pane::List {
        list(model, area, cx);
    } else {
        detail::view(model, area, cx);
    }
}

fn list(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let history = &model.history;
    cx.hits.add(area, Target::Pane(LIST));
    let shown = history.shown();
    let title = if history.filter.is_empty() {
        format!("History {} runs", history.records.len())
    } else {
        format!("History {}/{} /{}", shown.len(), history.records.len(), history.filter)
    };
    let focused = history.focus == Pane::List;
    let mut inner = frame(cx, area, &title, focused);
    if let Some(trouble) = &history.trouble {
        for line in text::wrap(&crate::text::printable(trouble), usize::from(inner.width)).into_iter().take(3) {
            text::line(cx, inner, &line, cx.theme.warn);
            inner = Rect { y: inner.y + 1.min(inner.height), height: inner.height.saturating_sub(1), ..inner };
        }
    }
    if shown.is_empty() {
        for (at, line) in text::wrap(empty(model), usize::from(inner.width)).iter().enumerate() {
            text::line(cx, text::row(inner, at as u16), line, cx.theme.dim);
        }
        return;
    }
    let columns = [
        Column::left("", 8),
        Column::right("id", 4),
        Column::left("when (UTC)", 3),
        Column::left("run", 9).shrinks_to(24),
        Column::left("split", 2),
        Column::right("average", 7),
        Column::left("device", 1).shrinks_to(4),
        Column::right("time", 1),
    ];
    let row = |record: &&RunRecord| {
        let run = &record.run;
        let marked = if compare::is_marked(model, run) { cx.symbol("●", "*") } else { " " };
        let pinned = if record.pinned { cx.symbol("▲", "^") } else { " " };
        vec![
            Cell::styled(format!("{marked}{pinned}"), cx.theme.accent),
            Cell::styled(record.id.to_string(), cx.theme.dim),
            Cell::styled(when::utc(run.started_unix), cx.theme.dim),
            Cell::new(runs::short_title(run, cx.charset)),
            Cell::styled(compare::split(run), cx.theme.dim),
            Cell::new(compare::percent(run.average)),
            Cell::styled(run.device.clone(), cx.theme.dim),
            Cell::styled(text::seconds(run.seconds), cx.theme.dim),
        ]
    };
    let rows: Vec<_> = shown.iter().map(row).collect();
    let current = history.current().map(|record| record.id);
    let selected = shown.iter().position(|record| Some(record.id) == current);
    Table { name: LIST, columns: &columns, rows: &rows, selected, focused }.draw(inner, cx);
}

/// Why the list is empty, and what to do about it.
fn empty(model: &Model) -> &'static str {
    let history = &model.history;
    if !history.loaded {
        "Reading the history ..."
    } else if !history.records.is_empty() {
        "No run matches; / changes the filter."
    } else if history.trouble.is_some() {
        "No stored runs can be shown. Runs of this session still work; Compare takes them from Run (3)."
    } else {
        "No runs yet: press 2, move a slider, press Enter."
    }
}

#[cfg(test)]
mod tests;
