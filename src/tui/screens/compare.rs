//! Compare: two or more runs per task, and whether the difference is real.
//!
//! Runs are marked on the Run and History screens; what is kept here is a copy, so that a run stays comparable even
//! when it is deleted from the history. The first one is the reference that the others are measured against.

mod act;
mod chart;
pub mod judge;
pub mod table;

pub use act::COMMANDS;
pub use table::{percent, split};

use crate::engine::Event;
use crate::store::NewRun;
use crate::tui::effect::Effect;
use crate::tui::hit::{Hit, Target};
use crate::tui::model::Model;
use crate::tui::view_cx::Cx;
use crate::tui::widgets::pane::pane as frame;
use crate::tui::widgets::text;
use ratatui::layout::Rect;

/// So many runs can be told apart by colour and letter.
pub const MOST: usize = 8;

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    /// The marked runs; the first is the reference.
    pub runs: Vec<NewRun>,
    pub selected: usize,
    /// Shows the chart where there is no room for both.
    pub chart: bool,
}

/// Whether a run is marked.
#[must_use]
pub fn is_marked(model: &Model, run: &NewRun) -> bool {
    model.compare.runs.iter().any(|marked| same(marked, run))
}

/// Marks a run for comparison, or takes the mark away; gives whether it is marked now.
///
/// # Errors
/// When there are as many as can be told apart.
pub fn toggle(model: &mut Model, run: &NewRun) -> Result<bool, String> {
    let runs = &mut model.compare.runs;
    if let Some(at) = runs.iter().position(|marked| same(marked, run)) {
        remove(model, at);
        return Ok(false);
    }
    if runs.len() == MOST {
        return Err(format!("{MOST} runs are marked already; x on the Compare screen takes one away"));
    }
    runs.push(run.clone());
    Ok(true)
}

/// As [`toggle`], and says what came of it: what `space` does on Run and History.
pub fn mark(model: &mut Model, run: &NewRun) {
    match toggle(model, run) {
        Ok(true) if model.compare.runs.len() == 1 => model.say("marked for Compare; mark another one, too", false),
        Ok(true) => model.say(format!("{} runs marked; 4 compares them", model.compare.runs.len()), false),
        Ok(false) => model.say("no longer marked", false),
        Err(reason) => model.say(reason, true),
    }
}

/// The same result of the same recipe, however it came here: from this session or from the history.
fn same(a: &NewRun, b: &NewRun) -> bool {
    let accuracies =
        |run: &NewRun| run.tasks.iter().map(|score| (score.accuracy.to_bits(), score.n)).collect::<Vec<_>>();
    a.recipe_toml == b.recipe_toml
        && a.split == b.split
        && a.label == b.label
        && a.tuned_on_test == b.tuned_on_test
        && accuracies(a) == accuracies(b)
}

fn remove(model: &mut Model, at: usize) {
    let compare = &mut model.compare;
    if at < compare.runs.len() {
        compare.runs.remove(at);
        compare.selected = compare.selected.min(compare.runs.len().saturating_sub(1));
    }
}

/// What a run is called here: A, B, C …
#[must_use]
pub fn letter(at: usize) -> char {
    char::from(b'A' + (at % 26) as u8)
}

pub fn opened(_: &mut Model, _: &mut Vec<Effect>) {}

/// There is one pane only.
pub fn pane(_: &mut Model, _: isize) {}

pub fn mouse(model: &mut Model, hit: Hit, _: &mut Vec<Effect>) {
    if let Some(step) = hit.wheel() {
        act::step(model, step);
    } else if hit.pressed()
        && let Target::Row { list: table::RUNS, index } = hit.target
    {
        model.compare.selected = index.min(model.compare.runs.len().saturating_sub(1));
    }
}

pub fn heard(_: &mut Model, _: &Event, _: &mut Vec<Effect>) {}

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let area = area.intersection(cx.buf.area);
    let runs = &model.compare.runs;
    let inner = frame(cx, area, &format!("Compare {} runs", runs.len()), true);
    if inner.is_empty() {
        return;
    }
    if runs.len() < 2 {
        let mut lines = vec!["Mark two or more runs with space, on Run (3) or on History (5), and come back."];
        lines.insert(
            0,
            if runs.is_empty() { "No run is marked yet." } else { "One run is marked; a second one is needed." },
        );
        lines.push("No runs yet? Press 2, move a slider, press Enter. Or press a: it marks the newest stored run.");
        let lines = lines.iter().flat_map(|line| text::wrap(line, usize::from(inner.width)));
        for (at, line) in lines.enumerate() {
            text::line(cx, text::row(inner, at as u16), &line, cx.theme.dim);
        }
        let below = Rect { y: inner.y + inner.height.min(6), height: inner.height.saturating_sub(6), ..inner };
        table::runs(model, below, cx);
        return;
    }
    let used = table::runs(model, inner, cx) + 1;
    let rest = Rect { y: inner.y + used.min(inner.height), height: inner.height.saturating_sub(used), ..inner };
    let needed = table::height(model) + 1;
    let both = rest.height >= needed + chart::LEAST;
    if both {
        table::view(model, Rect { height: needed, ..rest }, cx);
        chart::view(model, Rect { y: rest.y + needed, height: rest.height - needed, ..rest }, cx);
    } else if model.compare.chart {
        chart::view(model, rest, cx);
    } else {
        table::view(model, rest, cx);
    }
}

#[cfg(test)]
pub mod tests;
