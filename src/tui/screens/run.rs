//! Run: the runs of this session, and accuracy of every task while it streams in.

mod commands;
mod view;

#[cfg(test)]
mod tests;

pub use commands::COMMANDS;
pub use view::view;

use crate::engine::{Event, JobKind, RunId};
use crate::tui::effect::Effect;
use crate::tui::hit::{Hit, Target};
use crate::tui::model::Model;
use crate::tui::runs::{self, RunState, RunView};

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    /// The run that is shown; the newest one when missing.
    selected: Option<RunId>,
    part: Part,
    /// The shown part has the whole screen.
    zoomed: bool,
}

/// What is shown where there is no room for everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Part {
    #[default]
    Table,
    Chart,
    Log,
    /// Whom the routers of a mixture ask.
    Routing,
}

impl State {
    /// Shows a run that has just been started.
    pub fn follow(&mut self, id: RunId) {
        self.selected = Some(id);
    }
}

/// The run on screen, with its place in the list (newest first).
fn shown(model: &Model) -> Option<(usize, &RunView)> {
    let mut list = model.runs.asked_for().rev().enumerate();
    match model.run.selected {
        Some(id) => list.find(|(_, run)| run.id == id),
        None => list.next(),
    }
}

fn select(model: &mut Model, index: usize) {
    let last = model.runs.asked_for().count().saturating_sub(1);
    model.run.selected = model.runs.asked_for().rev().nth(index.min(last)).map(|run| run.id);
}

fn step(model: &mut Model, by: isize) {
    let at = shown(model).map_or(0, |(at, _)| at);
    select(model, at.saturating_add_signed(by));
}

/// Asks the run on screen to stop.
fn cancel(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some(id) = shown(model).map(|(_, run)| run.id) else { return };
    model.runs.cancelling(id);
    fx.push(Effect::Cancel(id));
}

pub fn opened(_model: &mut Model, _fx: &mut Vec<Effect>) {}

pub fn pane(model: &mut Model, step: isize) {
    let routed = shown(model).is_some_and(|(_, run)| run.routing.is_some());
    let parts = [Part::Table, Part::Chart, Part::Routing, Part::Log];
    let parts: Vec<Part> = parts.into_iter().filter(|part| routed || *part != Part::Routing).collect();
    let at = parts.iter().position(|part| *part == model.run.part).unwrap_or(0) as isize;
    model.run.part = parts[(at + step).rem_euclid(parts.len() as isize) as usize];
}

pub fn mouse(model: &mut Model, hit: Hit, _fx: &mut Vec<Effect>) {
    if let Some(turn) = hit.wheel() {
        step(model, turn);
    } else if let (Target::Row { list: "run.list", index }, true) = (hit.target, hit.pressed()) {
        select(model, index);
    }
}

/// A finished run goes into the history; how a run ended is said on whatever screen the person is.
pub fn heard(model: &mut Model, event: &Event, fx: &mut Vec<Effect>) {
    let Some(run) = event.run().and_then(|id| model.runs.get(id)) else { return };
    if !event.is_final() || run.job.kind != JobKind::Run {
        return;
    }
    let (text, error) = match &run.state {
        RunState::Done => {
            let average = run.report.as_ref().map_or(f64::NAN, |report| report.average);
            (format!("{}: {:.1} on average, kept in the history", run.label, average * 100.0), false)
        }
        RunState::Failed { error, hint } => (format!("{} failed: {error}. {hint}", run.label), true),
        _ => (format!("{} stopped", run.label), false),
    };
    let started = run.started.unwrap_or(run.submitted);
    match runs::record(run, &model.catalog, model.unix_time(started)) {
        Some(Ok(record)) => fx.push(Effect::Record(record)),
        Some(Err(error)) => {
            model.say(format!("{text}; but not in the history: {error}"), true);
            return;
        }
        None => {}
    }
    model.say(text, error);
}
