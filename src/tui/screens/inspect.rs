//! Inspect: how the experts lie to their base and to each other, as heat maps, and what is wrong with them.
//!
//! Measured in the background when the screen is first looked at, block by block; what is not known yet is a gap.

mod act;
mod detail;
mod maps;
mod state;

pub use act::COMMANDS;
pub use state::{Look, State};

use crate::engine::inspect::{Severity, Step};
use crate::tui::effect::Effect;
use crate::tui::hit::{Hit, Target};
use crate::tui::model::Model;
use crate::tui::view_cx::Cx;
use crate::tui::widgets::pane::pane as frame;
use crate::tui::widgets::text;
use ratatui::layout::Rect;

/// Asks for the measurements, once a session.
pub fn opened(model: &mut Model, fx: &mut Vec<Effect>) {
    if !std::mem::replace(&mut model.inspect.asked, true) {
        fx.push(Effect::Inspect);
    }
}

/// Tab goes from map to map.
pub fn pane(model: &mut Model, step: isize) {
    model.inspect.turn(step);
}

pub fn mouse(model: &mut Model, hit: Hit) {
    if let Some(step) = hit.wheel() {
        act::step(model, step, 0);
    } else if hit.pressed() {
        match hit.target {
            Target::Cell { list: maps::MAP, row, column } => model.inspect.at = (row, column),
            Target::Row { list: maps::ALARMS, index } => model.inspect.at.0 = index,
            _ => {}
        }
    }
}

/// Takes in what was found out.
pub fn step(model: &mut Model, step: &Step) {
    model.inspect.diff.apply(step);
}

/// All has been measured, or why not.
pub fn done(model: &mut Model, result: Result<(), String>) {
    model.inspect.done = Some(result);
}

/// From this width on the details stand beside the map.
const SIDE_BY_SIDE: u16 = 100;
/// Below this height there is one line of details.
const LOW: u16 = 16;

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let area = area.intersection(cx.buf.area);
    let inner = if area.height < LOW { area } else { frame(cx, area, &title(model), true) };
    cx.hits.add(inner, Target::Pane("inspect"));
    if inner.is_empty() {
        return;
    }
    if let Some(Err(reason)) = &model.inspect.done {
        let reason = format!("The checkpoints cannot be compared: {}", crate::text::printable(reason));
        for (at, line) in text::wrap(&reason, usize::from(inner.width)).iter().enumerate() {
            text::line(cx, text::row(inner, at as u16), line, cx.theme.warn);
        }
        return;
    }
    let used = heading(model, inner, cx);
    let rest = Rect { y: inner.y + used, height: inner.height.saturating_sub(used), ..inner };
    if model.inspect.look == Look::Alarms {
        return maps::alarms(model, rest, cx);
    }
    if inner.width >= SIDE_BY_SIDE {
        let left = maps::width(model, rest.width * 2 / 3);
        maps::draw(model, Rect { width: left, ..rest }, cx);
        detail::view(model, text::from(rest, left + 2), cx);
        return;
    }
    let below = if area.height < LOW { 1 } else { detail::LINES.min(rest.height / 2) };
    let map = Rect { height: rest.height.saturating_sub(below), ..rest };
    let lines = maps::draw(model, map, cx).min(map.height);
    let gap = u16::from(lines < map.height && area.height >= LOW);
    let place = Rect { y: rest.y + lines + gap, height: rest.height.saturating_sub(lines + gap), ..rest };
    detail::view(model, place, cx);
}

fn title(model: &Model) -> String {
    let state = &model.inspect;
    let (measured, all) = (state.diff.blocks.len(), state.diff.names.len());
    match &state.done {
        None if all == 0 => "Inspect: measuring ...".to_owned(),
        None if measured < all => format!("Inspect: {measured} of {all} blocks measured ..."),
        None => "Inspect: effective ranks ...".to_owned(),
        Some(_) => format!("Inspect: {} experts and their base", state.diff.experts.len()),
    }
}

/// The maps to choose from, alarms, and what the chosen map shows; gives the lines used.
fn heading(model: &Model, area: Rect, cx: &mut Cx<'_>) -> u16 {
    let state = &model.inspect;
    let mut x = area.x;
    let mut after = " ";
    for look in Look::ALL {
        // Brackets as well as a colour.
        let (before, style) = if look == state.look { ("[", cx.theme.selected) } else { (after, cx.theme.dim) };
        after = if look == state.look { "]" } else { " " };
        let room = |x: u16| area.right().saturating_sub(x);
        x = cx.print(x, area.y, room(x), before, cx.theme.dim);
        let end = cx.print(x, area.y, room(x), look.label(), style);
        cx.hits.add(Rect { x, y: area.y, width: end - x, height: 1 }, Target::Command(look.command()));
        x = end;
    }
    x = cx.print(x, area.y, area.right().saturating_sub(x), after, cx.theme.dim);
    let (errors, warnings) = (state.diff.count(Severity::Error), state.diff.count(Severity::Warning));
    let (found, style) = match (errors, warnings) {
        (0, 0) => ("none".to_owned(), cx.theme.ok),
        (0, n) => (n.to_string(), cx.theme.warn),
        (n, m) => (format!("{}!", n + m), cx.theme.error),
    };
    cx.print(x, area.y, area.right().saturating_sub(x), &found, style);
    let about = match state.look {
        Look::Cosine => {
            let block = state.block.and_then(|at| state.diff.names.get(at)).map_or("all blocks", String::as_str);
            format!("{} ({block}; [ and ] choose)", state.look.about(cx.charset))
        }
        look => look.about(cx.charset).to_owned(),
    };
    let room = if area.height < LOW { 1 } else { 2 };
    // One line ends in an ellipsis where it is not enough.
    let lines = if room == 1 { vec![about] } else { text::wrap(&about, usize::from(area.width)) };
    for (at, line) in lines.iter().take(room).enumerate() {
        text::line(cx, text::row(area, 1 + at as u16), line, cx.theme.text);
    }
    (1 + lines.len().min(room) as u16).min(area.height)
}

#[cfg(test)]
mod tests;
