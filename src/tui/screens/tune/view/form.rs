//! The parameter form.

use super::{about, menu::scroll};
use crate::fusion::Groups;
use crate::params::{Kind, Spec, Value};
use crate::tui::hit::Target;
use crate::tui::model::Model;
use crate::tui::screens::tune::form::{self, Link, Row};
use crate::tui::view_cx::{Cx, text_width};
use crate::tui::widgets::text::{columns, from, line, paragraph, right, row};
use ratatui::layout::Rect;

/// Columns of a number at the right of a slider, with the mark that it was changed.
const NUMBER: u16 = 7;
/// Columns of a cell of a table of blocks.
const CELL: u16 = 5;

/// A line of the form: a row, or the names of the blocks above a table.
enum Line {
    Row(usize, Row),
    Blocks,
}

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let lines = lines(model);
    let text = 3.min(area.height.saturating_sub(lines.len() as u16)).max(u16::from(area.height > 6));
    let list = Rect { height: area.height - text, ..area };
    let focus = lines.iter().position(|entry| matches!(entry, Line::Row(at, _) if *at == model.tune.focus));
    let first = scroll(focus.unwrap_or(0), lines.len(), list.height);
    for (y, entry) in lines.iter().skip(first).take(usize::from(list.height)).enumerate() {
        match entry {
            Line::Row(at, kind) => draw_row(model, *at, *kind, row(list, y as u16), cx),
            Line::Blocks => blocks(model, row(list, y as u16), cx),
        }
    }
    let used = (lines.len() - first).min(usize::from(list.height)) as u16;
    let below = Rect { y: area.y + used, height: area.height - used, ..area };
    notes(model, below, cx);
}

fn lines(model: &Model) -> Vec<Line> {
    let mut lines = Vec::new();
    for (at, kind) in model.tune.rows().into_iter().enumerate() {
        lines.push(Line::Row(at, kind));
        if let Row::Param(spec) = kind
            && model.tune.setting.method.specs.get(spec).is_some_and(form::is_per_block)
        {
            lines.push(Line::Blocks);
        }
    }
    lines
}

/// Width of the names before sliders: as much as the longest needs, at most a third.
fn names(model: &Model, area: Rect) -> u16 {
    let setting = &model.tune.setting;
    let experts = setting.experts.iter().map(|name| text_width(name) + 1);
    let specs = setting.method.specs.iter();
    let per_expert = setting.method.specs.iter().any(form::is_per_expert);
    let labels = specs.map(|spec| text_width(spec.label())).chain(["experts".len()]);
    let longest = labels.chain(experts.filter(|_| per_expert)).max().unwrap_or(0) as u16;
    longest.min(area.width / 3) + 1
}

fn draw_row(model: &Model, at: usize, kind: Row, area: Rect, cx: &mut Cx<'_>) {
    let (setting, theme) = (&model.tune.setting, cx.theme);
    let focused = model.tune.focus == at && model.tune.menu.is_none();
    let style = if focused { theme.accent } else { theme.text };
    cx.hits.add(area, Target::Row { list: "tune.form", index: at });
    if focused {
        let mark = cx.symbol("▸", ">");
        line(cx, area, mark, theme.accent);
    }
    let area = from(area, 1);
    let name = columns(area, 0, names(model, area));
    let rest = from(area, name.width);
    let name = Rect { width: name.width.saturating_sub(1), ..name };
    match kind {
        Row::Method => {
            line(cx, name, "method", style);
            let open = cx.symbol("▾", "v");
            line(cx, columns(rest, 0, rest.width.saturating_sub(2)), setting.method.name, style);
            right(cx, rest, open, theme.dim);
        }
        Row::Experts => {
            line(cx, name, "experts", style);
            let all = model.catalog.experts.len();
            let text = match setting.experts.len() {
                n if n == all => format!("all {n}"),
                1..=3 => setting.experts.join(", "),
                n => format!("{n} of {all}"),
            };
            line(cx, rest, &text, style);
            let open = cx.symbol("▾", "v");
            right(cx, rest, open, theme.dim);
        }
        Row::Param(spec) => {
            let Some(spec) = setting.method.specs.get(spec) else { return };
            line(cx, name, spec.label(), style);
            param(model, at, kind, spec, rest, focused, cx);
        }
        Row::Expert { spec, expert } => {
            let Some(spec) = setting.method.specs.get(spec) else { return };
            let expert_name = setting.experts.get(expert).map_or("", String::as_str);
            line(cx, from(name, 1), expert_name, style);
            if form::is_per_block(spec) {
                cells(model, at, spec, expert, rest, cx);
            } else {
                param(model, at, kind, spec, rest, focused, cx);
            }
        }
    }
}

/// Slider or value of a parameter, and the mark that it was changed.
fn param(model: &Model, at: usize, kind: Row, spec: &Spec, area: Rect, focused: bool, cx: &mut Cx<'_>) {
    let (setting, theme) = (&model.tune.setting, cx.theme);
    let style = if focused { theme.accent } else { theme.text };
    let changed = matches!(kind, Row::Param(_)) && form::is_changed(setting, spec);
    if let Some(slider) = form::slider(setting, kind, spec, model.tune.block) {
        let track = Rect { width: area.width.saturating_sub(NUMBER + 1), ..area };
        if track.width >= 4 {
            slider.draw(cx, track, focused);
            cx.hits.add(track, Target::Slider { index: at });
        }
        let whole = matches!(spec.kind, Kind::Int { .. });
        let number = if whole { format!("{:.0}", slider.value) } else { short(slider.value) };
        let number = format!("{number}{}", spec.unit);
        right(cx, Rect { width: area.width.saturating_sub(1), ..area }, &number, style);
    } else if let Some(value) = setting.params.get(spec.name) {
        let text = match value {
            Value::Bool(on) => (if *on { "[x] yes" } else { "[ ] no" }).to_owned(),
            other => {
                let (left, right) = (cx.symbol("‹", "<"), cx.symbol("›", ">"));
                format!("{left} {other} {right}")
            }
        };
        line(cx, area, &text, style);
    }
    if changed {
        let mark = cx.symbol("•", "*");
        right(cx, area, mark, theme.warn);
    }
}

/// A number in at most five columns.
fn short(x: f64) -> String {
    if x != 0.0 && x.abs() < 0.001 {
        return format!("{x:.0e}");
    }
    let text = format!("{x:.3}");
    let text = text.trim_end_matches('0');
    if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
}

/// The blocks that fit beside the names, with the one under the cursor among them.
fn visible_blocks(model: &Model, area: Rect) -> std::ops::Range<usize> {
    let fit = usize::from(area.width / CELL).max(1);
    let blocks = model.catalog.groups.len();
    let first = scroll(model.tune.block, blocks, fit as u16);
    first..(first + fit).min(blocks)
}

/// Names of the blocks above their columns, shortened to the layer's number.
fn blocks(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let area = from(area, 1);
    let area = from(area, names(model, area));
    for (i, block) in visible_blocks(model, area).enumerate() {
        let name = &model.catalog.groups[block];
        let short = Groups::short(name);
        let short: String = short.chars().take(usize::from(CELL) - 1).collect();
        let style = if block == model.tune.block { cx.theme.accent } else { cx.theme.dim };
        right(cx, Rect { width: CELL, ..from(area, i as u16 * CELL) }, &short, style);
    }
}

fn cells(model: &Model, at: usize, spec: &Spec, expert: usize, area: Rect, cx: &mut Cx<'_>) {
    let Some(value) = model.tune.setting.params.get(spec.name) else { return };
    let (theme, tune) = (cx.theme, &model.tune);
    let focused_row = tune.focus == at;
    for (i, block) in visible_blocks(model, area).enumerate() {
        let cell = columns(area, i as u16 * CELL, CELL);
        let (here, same_block) = (focused_row && tune.block == block, tune.block == block);
        let in_table = matches!(tune.row(), Row::Expert { .. });
        let linked = in_table
            && match tune.link {
                Link::None => false,
                Link::All => true,
                Link::Row => focused_row,
                Link::Column => same_block,
            };
        let style = match (here, linked) {
            (true, _) => theme.selected,
            (false, true) => theme.accent,
            (false, false) => theme.text,
        };
        let number = form::number(value, expert, block).map(|x| format!("{x:.2}")).unwrap_or_default();
        right(cx, cell, &number, style);
        cx.hits.add(cell, Target::Cell { list: "tune.form", row: at, column: block });
    }
}

/// Below the rows: what the parameter under the cursor means, then what the method is.
fn notes(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    let mut area = area;
    if area.height > 5 {
        area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    }
    if let Some((row_kind, spec)) = model.tune.focused_spec() {
        let range = spec.range().map_or_else(String::new, |(low, high)| {
            format!(" {}..{}, default {}.", Value::Float(low), Value::Float(high), form::default_number(spec))
        });
        let link = if matches!(row_kind, Row::Expert { .. }) && model.tune.link != Link::None {
            format!(" [{}]", model.tune.link.word())
        } else {
            String::new()
        };
        let room = if area.height > 7 { 3 } else { area.height };
        let help = format!("{}{range}{link}", spec.help);
        let text = paragraph(&help, usize::from(area.width), usize::from(room), cx.charset);
        let shown = text.len() as u16;
        for (y, text) in text.iter().enumerate() {
            line(cx, row(area, y as u16), text, theme.dim);
        }
        let used = shown + 1;
        if area.height <= used {
            return;
        }
        area = Rect { y: area.y + used, height: area.height - used, ..area };
    }
    if area.height >= 2 {
        about::method(model, model.tune.setting.method, area, cx);
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.3, 0.35, 1.0, 0.125, 0.0].map(short), ["0.3", "0.35", "1.0", "0.125", "0.0"]);
        assert_eq!(short(0.00002), "2e-5");
        assert_eq!(short(1.0 / 3.0), "0.333");
    }
}
