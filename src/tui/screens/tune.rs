//! Tune: pick a method, move its sliders, watch the tasks respond.

use crate::engine::Event;
use crate::tui::catalog::Catalog;
use crate::tui::command::Command;
use crate::tui::effect::Effect;
use crate::tui::hit::Hit;
use crate::tui::model::Model;
use crate::tui::view_cx::Cx;
use ratatui::layout::Rect;

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {}

impl State {
    #[must_use]
    pub fn new(_catalog: &Catalog) -> Self {
        Self::default()
    }
}

pub const COMMANDS: &[Command] = &[];

pub fn opened(_model: &mut Model, _fx: &mut Vec<Effect>) {}

pub fn pane(_model: &mut Model, _step: isize) {}

pub fn mouse(_model: &mut Model, _hit: Hit, _fx: &mut Vec<Effect>) {}

pub fn heard(_model: &mut Model, _event: &Event, _fx: &mut Vec<Effect>) {}

/// What to remember between sessions, as JSON: the recipe and the layout.
pub fn saved(_model: &Model) -> String {
    "{}".to_owned()
}

/// Takes up what [`saved`] gave in an earlier session; whatever does not fit any more is left out.
pub fn restore(_model: &mut Model, _json: &str, _fx: &mut Vec<Effect>) {}

/// The recipe as a preset TOML, for the clipboard.
pub fn recipe_toml(_model: &Model) -> String {
    String::new()
}

pub fn view(_model: &Model, _area: Rect, _cx: &mut Cx<'_>) {}

/// Names of the experts that the recipe combines, in pool order.
#[must_use]
pub fn experts(model: &Model) -> &[String] {
    &model.catalog.experts
}

/// Combines these experts from now on.
pub fn set_experts(_model: &mut Model, _experts: Vec<String>, _fx: &mut Vec<Effect>) {}
