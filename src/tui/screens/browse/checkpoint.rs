//! A checkpoint in detail: sizes, dtypes, its tensors as a tree, and the geometry of its task vector.

use super::Pane;
use super::state::{Geometry, Part};
use crate::fusion::Similarity;
use crate::text::{bytes, grouped};
use crate::tui::catalog::CheckpointFacts;
use crate::tui::model::Model;
use crate::tui::view_cx::Cx;
use crate::tui::widgets::heatmap::{Heatmap, off_diagonal};
use crate::tui::widgets::table::{Cell, Column, Table};
use crate::tui::widgets::{gauge, pane::pane, text, tree};
use ratatui::layout::Rect;

/// Names the tree's lines for the mouse.
pub const TREE: &str = "browse.tree";

/// From this width on layers and geometry stand side by side.
const SIDE_BY_SIDE: u16 = 84;

/// The tree's visible lines.
#[must_use]
pub fn lines(model: &Model) -> Vec<tree::Line> {
    let facts = model.catalog.checkpoints.get(model.browse.checkpoint);
    facts.map_or_else(Vec::new, |facts| tree::lines(&facts.tensors, &model.browse.open))
}

/// Chooses a line of the tree; a click on a chosen branch opens or closes it.
pub fn choose(model: &mut Model, row: usize) {
    let Some(line) = lines(model).into_iter().nth(row) else { return };
    if model.browse.line.as_ref() == Some(&line.path) {
        toggle(model, &line);
    }
    model.browse.line = Some(line.path);
}

/// Opens or closes a branch.
pub fn toggle(model: &mut Model, line: &tree::Line) {
    match line.open {
        Some(true) => _ = model.browse.open.remove(&line.path),
        Some(false) => _ = model.browse.open.insert(line.path.clone()),
        None => {}
    }
}

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let focused = model.browse.focus == Pane::Detail;
    let Some(facts) = model.catalog.checkpoints.get(model.browse.checkpoint) else {
        let inner = pane(cx, area, "Checkpoint", focused);
        text::line(cx, inner, "No checkpoint is chosen.", cx.theme.dim);
        return;
    };
    let inner = pane(cx, area, &facts.name, focused);
    let used = summary(model, facts, inner, cx);
    let rest = Rect { y: inner.y + used, height: inner.height.saturating_sub(used), ..inner };
    if rest.width >= SIDE_BY_SIDE {
        // The matrix needs its room to show numbers; the tree takes what is left.
        let matrix = 12 + 5 * model.catalog.experts.len() as u16;
        let left = (rest.width - 2).saturating_sub(matrix).clamp(34, 70);
        layers(model, facts, Rect { width: left, ..rest }, cx);
        geometry(model, facts, text::from(rest, left + 2), cx);
    } else {
        match model.browse.part {
            Part::Geometry => geometry(model, facts, rest, cx),
            Part::Layers => layers(model, facts, rest, cx),
        }
    }
}

/// Two lines: what the header says, and how far the model went from the base.
fn summary(model: &Model, facts: &CheckpointFacts, inner: Rect, cx: &mut Cx<'_>) -> u16 {
    let dtypes: Vec<String> = facts.dtypes.iter().map(|(dtype, count)| format!("{dtype} ({count} tensors)")).collect();
    let dot = cx.symbol(" · ", ", ");
    let line =
        [format!("{} parameters", grouped(facts.parameters)), bytes(facts.bytes as u64), dtypes.join(", ")].join(dot);
    text::line(cx, inner, &line, cx.theme.text);
    let place = text::row(inner, 1);
    if facts.is_base {
        text::line(cx, place, "The base: all experts were fine-tuned from it.", cx.theme.dim);
    } else if crate::tui::screens::tune::experts(model).contains(&facts.name) {
        text::line(cx, place, "In the recipe; space takes it out.", cx.theme.ok);
    } else {
        text::line(cx, place, "Not in the recipe; space puts it in.", cx.theme.warn);
    }
    2.min(inner.height)
}

fn layers(model: &Model, facts: &CheckpointFacts, area: Rect, cx: &mut Cx<'_>) {
    let lines = lines(model);
    let columns = [Column::left("tensor", 9).shrinks_to(16), Column::left("shape", 7), Column::right("elements", 6)];
    let row = |line: &tree::Line| {
        let marker = match line.open {
            Some(true) => cx.symbol("▾ ", "- "),
            Some(false) => cx.symbol("▸ ", "+ "),
            None => "  ",
        };
        let label = if line.label.is_empty() { &line.path } else { &line.label };
        let name = format!("{}{marker}{label}", "  ".repeat(line.depth));
        let shape = match line.tensor.and_then(|at| facts.tensors.get(at)) {
            Some(tensor) => format!("{} {}", shape(&tensor.shape), tensor.dtype),
            None => format!("{} tensors", line.tensors),
        };
        vec![Cell::new(name), Cell::styled(shape, cx.theme.dim), Cell::new(grouped(line.elements))]
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    let selected = model.browse.line.as_ref().and_then(|path| lines.iter().position(|line| line.path == *path));
    let focused = model.browse.focus == Pane::Detail;
    let selected = Some(selected.unwrap_or(0)).filter(|_| focused);
    Table { name: TREE, columns: &columns, rows: &rows, selected, focused }.draw(area, cx);
}

/// A shape for people: `192×64`.
fn shape(shape: &[usize]) -> String {
    if shape.is_empty() {
        return "scalar".to_owned();
    }
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

fn geometry(model: &Model, facts: &CheckpointFacts, area: Rect, cx: &mut Cx<'_>) {
    if area.is_empty() {
        return;
    }
    match &model.browse.geometry {
        Geometry::Unasked | Geometry::Asked => {
            _ = text::line(cx, area, "Measuring the task vectors ...", cx.theme.dim);
        }
        Geometry::Failed(reason) => {
            let reason = format!("The task vectors cannot be measured: {}", crate::text::printable(reason));
            for (at, line) in text::wrap(&reason, usize::from(area.width)).iter().enumerate() {
                text::line(cx, text::row(area, at as u16), line, cx.theme.warn);
            }
        }
        Geometry::Here(similarity) => {
            let used = norms(model, facts, similarity, area, cx);
            let rest = Rect { y: area.y + used, height: area.height.saturating_sub(used), ..area };
            cosines(similarity, rest, cx);
        }
    }
}

/// Norm of the task vector, whole and by block; for the base, of every expert's. Gives the lines used.
fn norms(model: &Model, facts: &CheckpointFacts, similarity: &Similarity, area: Rect, cx: &mut Cx<'_>) -> u16 {
    let base = similarity.base_norm;
    let share = |norm: f64| if base > 0.0 { format!("{:.2} %", 100.0 * norm / base) } else { "-".to_owned() };
    let expert = similarity.names.iter().position(|name| *name == facts.name).filter(|_| !facts.is_base);
    let bars: Vec<(&str, f64)> = if let Some(at) = expert {
        let norm = similarity.norms[at];
        let line = format!("task vector {norm:.3}, {} of the base", share(norm));
        text::line(cx, area, &line, cx.theme.accent);
        let blocks = model.catalog.groups.iter().map(String::as_str);
        blocks.zip(similarity.group_norms[at].iter().copied()).collect()
    } else {
        let line = format!("norm {base:.1}; the experts' task vectors:");
        text::line(cx, area, &line, cx.theme.accent);
        similarity.names.iter().map(String::as_str).zip(similarity.norms.iter().copied()).collect()
    };
    let largest = bars.iter().map(|(_, norm)| *norm).filter(|norm| norm.is_finite()).fold(0.0, f64::max);
    // The cosine map below is the more telling picture: bars get what it does not need, and at least three lines.
    let map = similarity.names.len() as u16 + 4;
    let most = area.height.saturating_sub(1 + map).max(3).min(area.height.saturating_sub(1));
    let shown = bars.len().min(usize::from(most));
    for (at, (name, norm)) in bars.iter().take(shown).enumerate() {
        let row = text::row(area, 1 + at as u16);
        text::line(cx, text::columns(row, 0, 11), name, cx.theme.text);
        let bar = text::columns(row, 12, row.width.saturating_sub(32).clamp(6, 30));
        gauge::draw(cx, bar, (largest > 0.0).then(|| norm / largest), cx.theme.series[0]);
        let value = match expert {
            Some(_) => format!("{norm:.3}"),
            None => format!("{norm:.3} {}", share(*norm)),
        };
        text::line(cx, text::from(row, 12 + bar.width + 1), &value, cx.theme.text);
    }
    (1 + shown as u16).min(area.height)
}

fn cosines(similarity: &Similarity, area: Rect, cx: &mut Cx<'_>) {
    if area.height < 5 {
        return;
    }
    text::line(cx, text::row(area, 1), "cosine between task vectors", cx.theme.accent);
    let place = Rect { y: area.y + 2, height: area.height - 2, ..area };
    let (names, values) = (&similarity.names, &similarity.cosine);
    Heatmap { name: "browse.cosine", rows: names, columns: names, values, range: off_diagonal(values), selected: None }
        .draw(place, cx);
}
