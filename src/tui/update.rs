//! What a message does to the model. Pure: the same messages give the same model and the same effects.

use super::command::{self, Command, Scope};
use super::effect::Effect;
use super::global::ABOVE_ALL;
use super::hit::{Hit, Target};
use super::key::Chord;
use super::model::{DeviceStatus, Model};
use super::msg::Msg;
use super::screens::{self, browse, history, inspect};
use super::{overlay, persist};
use crate::engine::Event;
use crossterm::event::{KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

/// Changes `model` by one message and appends what is to be done outside.
pub fn update(model: &mut Model, msg: Msg, fx: &mut Vec<Effect>) {
    match msg {
        Msg::Key(event) => key(model, event, fx),
        Msg::Mouse(event, target) => mouse(model, event, target, fx),
        Msg::Paste(text) => overlay::paste(model, &text, fx),
        Msg::Resize(width, height) => model.size = (width, height),
        Msg::Command(id) => {
            if let Some(command) = command::find(id) {
                run(model, command, fx);
            }
        }
        Msg::Engine(event) => engine(model, &event, fx),
        Msg::Samples { task, split, images } => browse::samples(model, &task, split, images),
        Msg::Similarity(similarity) => browse::similarity(model, similarity),
        Msg::Inspection(found) => inspect::step(model, &found),
        Msg::Inspected(result) => inspect::done(model, result),
        Msg::History { runs, trouble } => history::loaded(model, runs, trouble),
        Msg::Remembered { key, json } => {
            if key == persist::KEY {
                persist::restore(model, &json, fx);
            }
        }
        Msg::Notice { text, error } => model.say(text, error),
        Msg::Tick(now) => {
            model.now = now;
            model.notice.take_if(|notice| notice.until <= now);
        }
        Msg::Terminate => {
            fx.push(persist::save(model));
            fx.push(Effect::Quit);
        }
    }
}

/// Runs a command, on its own screen; if it cannot be used now, says why.
pub fn run(model: &mut Model, command: &Command, fx: &mut Vec<Effect>) {
    if let Scope::On(screen) = command.scope
        && model.screen != screen
    {
        screens::open(model, screen, fx);
    }
    match (command.enabled)(model) {
        Ok(()) => (command.run)(model, fx),
        Err(reason) => model.say(format!("{}: {reason}", command.label), true),
    }
}

fn key(model: &mut Model, event: KeyEvent, fx: &mut Vec<Effect>) {
    if event.kind == KeyEventKind::Release {
        return;
    }
    model.touched = true;
    let chord = Chord::from(event);
    let command = model.keymap.clone().command(model, chord);
    let above_all = command.is_some_and(|command| ABOVE_ALL.contains(&command.id));
    if model.overlay.is_some() && !above_all {
        overlay::key(model, chord, fx);
    } else if let Some(command) = command {
        // What was said about the last key does not belong to this one.
        model.notice = None;
        run(model, command, fx);
    }
}

fn mouse(model: &mut Model, event: MouseEvent, target: Option<(Rect, Target)>, fx: &mut Vec<Effect>) {
    let target = match event.kind {
        MouseEventKind::Down(_) => {
            model.touched = true;
            model.grabbed = target;
            target
        }
        MouseEventKind::Drag(_) => model.grabbed,
        MouseEventKind::Up(_) => model.grabbed.take(),
        MouseEventKind::Moved => return,
        _ => target,
    };
    let pressed = event.kind == MouseEventKind::Down(MouseButton::Left);
    let Some((area, target)) = target else {
        if pressed {
            overlay::clicked_outside(model, fx);
        }
        return;
    };
    let hit = Hit { target, area, at: Position { x: event.column, y: event.row }, kind: event.kind };
    if model.overlay.is_some() {
        return overlay::mouse(model, hit, fx);
    }
    match target {
        Target::Tab(screen) if pressed => screens::open(model, screen, fx),
        Target::Command(id) if pressed => {
            model.notice = None;
            if let Some(command) = command::find(id) {
                run(model, command, fx);
            }
        }
        Target::Tab(_) | Target::Command(_) => {}
        _ => screens::mouse(model, hit, fx),
    }
}

fn engine(model: &mut Model, event: &Event, fx: &mut Vec<Effect>) {
    model.runs.apply(event, model.now);
    match event {
        Event::Device { name, reason } => {
            if let Some(reason) = reason {
                model.say(format!("using {name}: {reason}"), true);
            }
            model.device = DeviceStatus { name: name.clone(), reason: reason.clone() };
        }
        Event::Failed { error, hint, .. } => {
            let hint = if hint.is_empty() { String::new() } else { format!(" ({hint})") };
            model.say(format!("{error}{hint}"), true);
        }
        _ => {}
    }
    screens::heard(model, event, fx);
    if matches!(event, Event::Finished { .. }) {
        fx.push(persist::save(model));
    }
}
