//! The marked runs, and the table of tasks × runs.

use super::judge::{self, Difference, SIGNIFICANT, Unpaired, is_per_task};
use super::letter;
use crate::fusion::PER_TASK;
use crate::store::NewRun;
use crate::text::printable;
use crate::tui::model::Model;
use crate::tui::runs::{self, label::TUNED_ON_TEST};
use crate::tui::view_cx::{Cx, fit};
use crate::tui::widgets::table::{Cell, Column, Table};
use crate::tui::widgets::text;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Below so many columns, runs are letters and chances stars.
const COMPACT: u16 = 60;

/// Names of the tables, for the mouse.
pub const RUNS: &str = "compare.runs";
const TASKS: &str = "compare.tasks";

/// The marked runs with what was done; gives the lines used.
pub fn runs(model: &Model, area: Rect, cx: &mut Cx<'_>) -> u16 {
    let columns = [
        Column::left("", 9),
        Column::left("run", 8).shrinks_to(12),
        Column::left("", 2),
        Column::left("split", 4),
        Column::right("average", 7),
        Column::right("gap", 6),
        Column::left("device", 3).shrinks_to(4),
    ];
    let row = |(at, run): (usize, &NewRun)| {
        let gap = judge::gap_recovered(run, &model.catalog);
        vec![
            Cell::styled(letter(at), cx.theme.series[at % 8]),
            Cell::new(runs::short_title(run, cx.charset)),
            Cell::styled(if at == 0 { "reference" } else { "" }, cx.theme.dim),
            Cell::styled(split(run), cx.theme.dim),
            Cell::new(percent(run.average)),
            Cell::styled(gap.map_or_else(|| "-".to_owned(), percent), cx.theme.dim),
            Cell::styled(run.device.clone(), cx.theme.dim),
        ]
    };
    let rows: Vec<_> = model.compare.runs.iter().enumerate().map(row).collect();
    if rows.is_empty() {
        return 0;
    }
    let selected = Some(model.compare.selected);
    // The table below must keep its place: with many runs in a low terminal this list scrolls.
    let height = (rows.len() as u16 + 1).min((area.height / 3).max(3));
    Table { name: RUNS, columns: &columns, rows: &rows, selected, focused: true }
        .draw(Rect { height: height.min(area.height), ..area }, cx)
}

/// Lines that the table needs with its notes.
#[must_use]
pub fn height(model: &Model) -> u16 {
    judge::tasks(&model.compare.runs).len() as u16 + 3 + notes(model).len() as u16
}

/// One row a task, then the average and the recovered gap, then what the signs mean.
pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let runs = &model.compare.runs;
    let Some(reference) = runs.first() else { return };
    let tasks = judge::tasks(runs);
    let selected = model.compare.selected;
    // Letters say which run it is, and stars and colours what is sure.
    let compact = area.width < COMPACT;
    let mut columns =
        vec![Column::left("task", 99).shrinks_to(9), Column::right("base", 3), Column::right("expert", 4)];
    for (at, run) in runs.iter().enumerate() {
        let keep = if at == 0 {
            90
        } else if at == selected {
            80
        } else {
            70 - at as u8
        };
        let room = if at == 0 { 10 } else { 22 };
        let label = if compact {
            String::new()
        } else {
            fit(&printable(&runs::short_title(run, cx.charset)), room, cx.charset.ellipsis())
        };
        let title = format!("  {} {label}", letter(at));
        columns.push(Column::left(title, keep));
    }
    let known = judge::split(reference);
    let differences: Vec<_> = runs.iter().map(|run| judge::differences(reference, run)).collect();
    let mut rows = Vec::new();
    for task in &tasks {
        let share =
            |score: Option<f64>, style: Style| Cell::styled(score.map_or_else(|| "-".to_owned(), percent), style);
        let recorded = known.map(|split| model.catalog.recorded(task, split)).unwrap_or_default();
        let mut row =
            vec![Cell::new(task.clone()), share(recorded.base, cx.theme.base), share(recorded.expert, cx.theme.expert)];
        let accuracies: Vec<Option<f64>> = runs.iter().map(|run| run.task(task).map(|score| score.accuracy)).collect();
        let best = judge::best(&accuracies);
        for at in 0..runs.len() {
            let difference = differences[at].iter().find(|(known, _)| known == task).map(|(_, difference)| *difference);
            row.push(cell(accuracies[at], difference.filter(|_| at > 0), best[at], compact, cx));
        }
        rows.push(row);
    }
    // What matters most where not all rows have room.
    let first = if usize::from(area.height) < rows.len() + 3 { 0 } else { rows.len() };
    rows.insert(first, averages(model, known, cx));
    rows.insert(first + 1, gaps(model));
    let lines = Table { name: TASKS, columns: &columns, rows: &rows, selected: None, focused: false }.draw(area, cx);
    let below = Rect { y: area.y + lines, height: area.height.saturating_sub(lines), ..area };
    for (at, note) in notes(model).iter().enumerate() {
        text::line(cx, text::row(below, at as u16), note, cx.theme.dim);
    }
}

/// `▲ 65.3   +3.2* p=.003`: each part as wide in every row, so that they line up.
fn cell(accuracy: Option<f64>, difference: Option<Difference>, best: bool, compact: bool, cx: &Cx<'_>) -> Cell {
    let Some(accuracy) = accuracy else { return Cell::styled("-", cx.theme.dim) };
    let mark = if best { cx.symbol("▲", "^") } else { " " };
    let value = format!("{mark}{:5.1}", accuracy * 100.0);
    let Some(Difference { delta, p }) = difference else {
        return Cell::new(value);
    };
    let delta_text = signed(delta);
    let (star, p_text, sure) = match p {
        Ok(p) => {
            let text = if compact { String::new() } else { chance(p) };
            (if p < SIGNIFICANT { "*" } else { " " }, text, p < SIGNIFICANT)
        }
        Err(Unpaired::OtherSamples | Unpaired::NoOutcomes) => ("?", String::new(), false),
    };
    let style = match (sure, delta > 0.0) {
        (true, true) => cx.theme.ok,
        (true, false) => cx.theme.error,
        (false, _) => cx.theme.text,
    };
    Cell::styled(format!("{value} {delta_text:>6}{star} {p_text}").trim_end(), style)
}

fn averages(model: &Model, known: Option<crate::tasks::Split>, cx: &Cx<'_>) -> Vec<Cell> {
    let runs = &model.compare.runs;
    let tasks = judge::tasks(runs);
    let mean = |of: &dyn Fn(&str) -> Option<f64>| {
        let values: Option<Vec<f64>> = tasks.iter().map(|task| of(task)).collect();
        values
            .filter(|values| !values.is_empty())
            .map_or_else(|| "-".to_owned(), |values| percent(values.iter().sum::<f64>() / values.len() as f64))
    };
    let mut row = vec![
        Cell::styled("average", cx.theme.accent),
        Cell::styled(mean(&|task| known.and_then(|split| model.catalog.base(task, split))), cx.theme.base),
        Cell::styled(mean(&|task| known.and_then(|split| model.catalog.expert(task, split))), cx.theme.expert),
    ];
    let averages: Vec<Option<f64>> = runs.iter().map(|run| Some(run.average)).collect();
    let best = judge::best(&averages);
    for (at, run) in runs.iter().enumerate() {
        let mark = if best[at] { cx.symbol("▲", "^") } else { " " };
        let value = format!("{mark}{:5.1}", run.average * 100.0);
        let delta = signed(run.average - runs[0].average);
        row.push(Cell::styled(if at == 0 { value } else { format!("{value} {delta:>6}") }, cx.theme.accent));
    }
    row
}

fn gaps(model: &Model) -> Vec<Cell> {
    let mut row = vec![Cell::new("recovered"), Cell::new("0.0"), Cell::new("100.0")];
    for run in &model.compare.runs {
        let gap = judge::gap_recovered(run, &model.catalog).map_or_else(|| "-".to_owned(), percent);
        row.push(Cell::new(format!(" {gap:>5}")));
    }
    row
}

/// What the signs mean, and which runs cannot be compared.
fn notes(model: &Model) -> Vec<String> {
    let runs = &model.compare.runs;
    let mut notes = vec!["* p < 0.05: McNemar's exact test, same samples, after Holm's correction".to_owned()];
    let letters = |pick: fn(&NewRun) -> bool| {
        let picked = runs.iter().enumerate().filter(|(_, run)| pick(run));
        picked.map(|(at, _)| letter(at).to_string()).collect::<Vec<String>>().join(", ")
    };
    for (letters, note) in [(letters(is_per_task), PER_TASK), (letters(|run| run.tuned_on_test), TUNED_ON_TEST)] {
        if !letters.is_empty() {
            notes.push(format!("{letters}: {note}"));
        }
    }
    for (at, both) in runs.iter().enumerate().filter_map(|(at, run)| Some((at, judge::generalization(run)?))) {
        notes.push(format!(
            "{}: {} on seen, {} on unseen tasks ({})",
            letter(at),
            percent(both.seen),
            percent(both.unseen),
            both.unseen_tasks.iter().map(|task| printable(task)).collect::<Vec<_>>().join(", ")
        ));
    }
    let Some(reference) = runs.first() else { return notes };
    for (at, run) in runs.iter().enumerate().skip(1) {
        let differences = judge::differences(reference, run);
        let mut reasons: Vec<Unpaired> =
            differences.into_iter().filter_map(|(_, difference)| difference.p.err()).collect();
        reasons.dedup();
        if let Some(reason) = reasons.first() {
            notes.push(format!("? {} against A is {}", letter(at), reason.reason()));
        }
    }
    notes
}

/// `test`, or `test, part` when only a part of it was evaluated.
#[must_use]
pub fn split(run: &NewRun) -> String {
    if run.complete { run.split.clone() } else { format!("{}, part", run.split) }
}

/// A share of 1 as a percentage without its sign: tables are full of them.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

/// A difference in points, with its sign; zero without.
fn signed(delta: f64) -> String {
    let points = delta * 100.0;
    if points.abs() < 0.05 { "0.0".to_owned() } else { format!("{points:+.1}") }
}

/// A chance as tables print it.
fn chance(p: f64) -> String {
    if p < 0.001 { "p<.001".to_owned() } else { format!("p={}", format!("{p:.3}").trim_start_matches('0')) }
}
