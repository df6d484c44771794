//! One file a screen: its state, its commands, what it does with messages, how it is drawn.
//!
//! Every screen has the same few functions; adding one is a file here, a variant of [`Screen`] and a row in each match.
//!
//! | function | called when |
//! |---|---|
//! | `COMMANDS` | the screen's part of the command table |
//! | `opened(model, fx)` | the person has just switched to it |
//! | `pane(model, step)` | Tab (+1) or Shift-Tab (−1) |
//! | `mouse(model, hit, fx)` | click, drag or wheel on something that the screen drew |
//! | `heard(model, event, fx)` | the engine said something (on all screens; `model.runs` is up to date already) |
//! | `view(model, area, cx)` | it is visible; draws into `area` only, whatever its size |

pub mod browse;
pub mod compare;
pub mod help;
pub mod history;
pub mod inspect;
pub mod run;
pub mod tune;

use super::command::Command;
use super::effect::Effect;
use super::hit::Hit;
use super::model::{Model, Screen};
use super::view_cx::Cx;
use crate::engine::Event;
use ratatui::layout::Rect;

#[must_use]
pub fn commands(screen: Screen) -> &'static [Command] {
    match screen {
        Screen::Browse => browse::COMMANDS,
        Screen::Tune => tune::COMMANDS,
        Screen::Run => run::COMMANDS,
        Screen::Compare => compare::COMMANDS,
        Screen::History => history::COMMANDS,
        Screen::Inspect => inspect::COMMANDS,
        Screen::Help => help::COMMANDS,
    }
}

/// Switches to `screen`.
pub fn open(model: &mut Model, screen: Screen, fx: &mut Vec<Effect>) {
    model.screen = screen;
    match screen {
        Screen::Browse => browse::opened(model, fx),
        Screen::Tune => tune::opened(model, fx),
        Screen::Run => run::opened(model, fx),
        Screen::Compare => compare::opened(model, fx),
        Screen::History => history::opened(model, fx),
        Screen::Inspect => inspect::opened(model, fx),
        Screen::Help => {}
    }
}

/// Moves the focus to the next (+1) or previous (−1) pane of the visible screen.
pub fn pane(model: &mut Model, step: isize) {
    match model.screen {
        Screen::Browse => browse::pane(model, step),
        Screen::Tune => tune::pane(model, step),
        Screen::Run => run::pane(model, step),
        Screen::Compare => compare::pane(model, step),
        Screen::History => history::pane(model, step),
        Screen::Inspect => inspect::pane(model, step),
        Screen::Help => {}
    }
}

pub fn mouse(model: &mut Model, hit: Hit, fx: &mut Vec<Effect>) {
    match model.screen {
        Screen::Browse => browse::mouse(model, hit, fx),
        Screen::Tune => tune::mouse(model, hit, fx),
        Screen::Run => run::mouse(model, hit, fx),
        Screen::Compare => compare::mouse(model, hit, fx),
        Screen::History => history::mouse(model, hit, fx),
        Screen::Inspect => inspect::mouse(model, hit),
        Screen::Help => help::mouse(model, hit),
    }
}

pub fn heard(model: &mut Model, event: &Event, fx: &mut Vec<Effect>) {
    tune::heard(model, event, fx);
    run::heard(model, event, fx);
    compare::heard(model, event, fx);
    history::heard(model, event, fx);
}

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    match model.screen {
        Screen::Browse => browse::view(model, area, cx),
        Screen::Tune => tune::view(model, area, cx),
        Screen::Run => run::view(model, area, cx),
        Screen::Compare => compare::view(model, area, cx),
        Screen::History => history::view(model, area, cx),
        Screen::Inspect => inspect::view(model, area, cx),
        Screen::Help => help::view(model, area, cx),
    }
}
