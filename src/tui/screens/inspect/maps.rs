//! The heat maps, and the list of alarms.

use super::Look;
use crate::engine::inspect::{BlockMeasures, ExpertMeasures, Severity};
use crate::text::printable;
use crate::tui::model::Model;
use crate::tui::view_cx::{Cx, text_width};
use crate::tui::widgets::heatmap::{Heatmap, off_diagonal};
use crate::tui::widgets::table::{Cell, Column, Table};
use crate::tui::widgets::text;
use ratatui::layout::Rect;

/// Name the cells and rows for the mouse.
pub const MAP: &str = "inspect.map";
pub const ALARMS: &str = "inspect.alarms";

/// A map's rows, columns, values and the range of its colours.
struct Map {
    rows: Vec<String>,
    columns: Vec<String>,
    values: Vec<Vec<f64>>,
    range: (f64, f64),
}

/// The cells that the map needs to show numbers, at most `most`.
pub fn width(model: &Model, most: u16) -> u16 {
    let map = map(model);
    let label = map.rows.iter().map(|row| text_width(row)).max().unwrap_or(0) as u16;
    (label.min(12) + 2 + 6 * map.columns.len() as u16).clamp(30.min(most), most)
}

/// Draws the chosen map; gives the lines used.
pub fn draw(model: &Model, area: Rect, cx: &mut Cx<'_>) -> u16 {
    let map = map(model);
    if map.columns.is_empty() {
        text::line(cx, area, "Reading the headers ...", cx.theme.dim);
        return 1.min(area.height);
    }
    let selected = Some(model.inspect.at);
    let Map { rows, columns, values, range } = &map;
    Heatmap { name: MAP, rows, columns, values, range: *range, selected }.draw(area, cx)
}

fn map(model: &Model) -> Map {
    let state = &model.inspect;
    let diff = &state.diff;
    if state.look == Look::Cosine {
        let block = state.block.map_or(Some(&diff.whole), |at| diff.blocks.get(at));
        let unknown = || vec![vec![f64::NAN; diff.experts.len()]; diff.experts.len()];
        let values = block.map(|block| block.cosine.clone()).filter(|rows| !rows.is_empty()).unwrap_or_else(unknown);
        let range = off_diagonal(&values);
        return Map { rows: diff.experts.clone(), columns: diff.experts.clone(), values, range };
    }
    let of_experts = |of: &dyn Fn(&ExpertMeasures) -> f64| -> Vec<Vec<f64>> {
        blocks(model)
            .map(|block| match block {
                Some(block) => block.experts.iter().map(of).collect(),
                None => vec![f64::NAN; diff.experts.len()],
            })
            .collect()
    };
    let (values, top) = match state.look {
        Look::Conflict => {
            let three = |block: Option<&BlockMeasures>| {
                block.map_or(vec![f64::NAN; 3], |block| vec![block.conflict, block.pair_conflict, block.cancelled])
            };
            (blocks(model).map(three).collect(), Some(1.0))
        }
        Look::Changed => (of_experts(&|expert| expert.changed), Some(1.0)),
        Look::Rank => (of_experts(&|expert| expert.rank.and_then(|rank| rank.share()).unwrap_or(f64::NAN)), Some(1.0)),
        _ => (of_experts(&|expert| expert.relative), None),
    };
    let largest = values.iter().flatten().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
    let columns = if state.look == Look::Conflict {
        ["any", "pairs", "lost"].map(str::to_owned).into()
    } else {
        diff.experts.clone()
    };
    let rows = diff.names.iter().cloned().chain(["all".to_owned()]).collect();
    Map { rows, columns, values, range: (0.0, top.unwrap_or(largest)) }
}

/// All blocks, those that are not measured yet as nothing, and then all together.
fn blocks(model: &Model) -> impl Iterator<Item = Option<&BlockMeasures>> {
    let diff = &model.inspect.diff;
    let measured = (0..diff.names.len()).map(|at| diff.blocks.get(at));
    measured.chain([(!diff.blocks.is_empty()).then_some(&diff.whole)])
}

/// What is wrong, and below the chosen one what to do.
pub fn alarms(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let state = &model.inspect;
    if state.diff.alarms.is_empty() {
        let known = matches!(state.done, Some(Ok(())));
        let (line, style) = if known {
            ("No alarms: one ancestor, one shape, all numbers finite, nothing dead or doubled.", cx.theme.ok)
        } else {
            ("None so far.", cx.theme.dim)
        };
        for (at, line) in text::wrap(line, usize::from(area.width)).iter().enumerate() {
            text::line(cx, text::row(area, at as u16), line, style);
        }
        return;
    }
    let columns = [Column::left("", 9), Column::left("", 5), Column::left("", 8).shrinks_to(10)];
    let rows: Vec<Vec<Cell>> = state
        .diff
        .alarms
        .iter()
        .map(|alarm| {
            let (word, style) = match alarm.severity {
                Severity::Error => ("ERROR", cx.theme.error),
                Severity::Warning => ("warning", cx.theme.warn),
            };
            vec![
                Cell::styled(word, style),
                Cell::styled(alarm.kind.title(), cx.theme.dim),
                Cell::new(alarm.text.clone()),
            ]
        })
        .collect();
    let chosen = state.at.0.min(rows.len() - 1);
    let alarm = &state.diff.alarms[chosen];
    let words = format!("{} What to do: {}.", printable(&alarm.text), alarm.kind.hint());
    let lines = text::wrap(&words, usize::from(area.width.saturating_sub(2)));
    let below = (lines.len() as u16 + 1).min(area.height / 2);
    let list = Rect { height: area.height - below, ..area };
    let used =
        Table { name: ALARMS, columns: &columns, rows: &rows, selected: Some(chosen), focused: true }.draw(list, cx);
    let place = Rect { y: area.y + used + 1, height: area.height.saturating_sub(used + 1), ..area };
    for (at, line) in lines.iter().enumerate() {
        text::line(cx, text::from(text::row(place, at as u16), 2), line, cx.theme.text);
    }
}
