//! Browse: tasks and checkpoints, what is in them.
//!
//! Two lists on the left, the chosen entry's details on the right. Pictures and geometry need the data, so they are
//! asked for when they come into sight and kept until another task is looked at.

mod act;
mod checkpoint;
mod lists;
mod samples;
mod state;
mod task;

pub use act::COMMANDS;
pub use state::{Geometry, Pane, Samples, State, Subject};

use crate::fusion::Similarity;
use crate::tasks::{Images, Split};
use crate::tui::effect::Effect;
use crate::tui::hit::{Hit, Target};
use crate::tui::model::Model;
use crate::tui::view_cx::Cx;
use ratatui::layout::Rect;
use std::sync::Arc;

pub fn opened(model: &mut Model, fx: &mut Vec<Effect>) {
    state::ask(model, fx);
}

pub fn pane(model: &mut Model, step: isize) {
    let at = model.browse.focus as isize;
    model.browse.set_focus(Pane::ALL[(at + step).rem_euclid(3) as usize]);
}

pub fn mouse(model: &mut Model, hit: Hit, fx: &mut Vec<Effect>) {
    let pane = match hit.target {
        Target::Row { list: lists::TASKS, .. } | Target::Pane(lists::TASKS) => Pane::Tasks,
        Target::Row { list: lists::CHECKPOINTS, .. } | Target::Pane(lists::CHECKPOINTS) => Pane::Checkpoints,
        _ => Pane::Detail,
    };
    if let Some(step) = hit.wheel() {
        // Turning the wheel over a list moves in that list, whichever has the focus.
        model.browse.set_focus(pane);
        act::step(model, step, fx);
    } else if hit.pressed() {
        model.browse.set_focus(pane);
        if let Target::Row { list, index } = hit.target {
            lists::choose(model, list, index);
        }
        state::ask(model, fx);
    }
}

/// The images asked for by [`Effect::LoadSamples`], or why they cannot be had.
pub fn samples(model: &mut Model, task: &str, split: Split, images: Result<Arc<Images>, String>) {
    let browse = &mut model.browse;
    if browse.samples.is_for(task, split) {
        browse.samples.arrived(images);
    }
}

/// The geometry asked for by [`Effect::LoadSimilarity`], or why it cannot be had.
pub fn similarity(model: &mut Model, similarity: Result<Arc<Similarity>, String>) {
    model.browse.geometry = match similarity {
        Ok(similarity) => Geometry::Here(similarity),
        Err(reason) => Geometry::Failed(reason),
    };
}

/// Below this width there is room for one pane at a time.
const TWO_PANES: u16 = 60;

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let area = area.intersection(cx.buf.area);
    if area.width < TWO_PANES {
        return match model.browse.focus {
            Pane::Tasks => lists::tasks(model, area, cx),
            Pane::Checkpoints => lists::checkpoints(model, area, cx),
            Pane::Detail => detail(model, area, cx),
        };
    }
    let left = if area.width < 100 { 22 } else { 30 };
    let side = Rect { width: left, ..area };
    let tasks = (model.catalog.tasks.len() as u16 + 2).min(area.height / 2);
    lists::tasks(model, Rect { height: tasks, ..side }, cx);
    lists::checkpoints(model, Rect { y: side.y + tasks, height: side.height - tasks, ..side }, cx);
    detail(model, Rect { x: area.x + left, width: area.width - left, ..area }, cx);
}

fn detail(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    cx.hits.add(area, Target::Pane("browse.detail"));
    match model.browse.subject {
        Subject::Task => task::view(model, area, cx),
        Subject::Checkpoint => checkpoint::view(model, area, cx),
    }
}

#[cfg(test)]
mod tests;
