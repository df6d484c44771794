//! History: every finished run, kept.

use crate::engine::Event;
use crate::store::RunRecord;
use crate::tui::command::Command;
use crate::tui::effect::Effect;
use crate::tui::hit::Hit;
use crate::tui::model::Model;
use crate::tui::view_cx::Cx;
use ratatui::layout::Rect;

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {}

pub const COMMANDS: &[Command] = &[];

pub fn opened(_model: &mut Model, _fx: &mut Vec<Effect>) {}

pub fn pane(_model: &mut Model, _step: isize) {}

pub fn mouse(_model: &mut Model, _hit: Hit, _fx: &mut Vec<Effect>) {}

pub fn heard(_model: &mut Model, _event: &Event, _fx: &mut Vec<Effect>) {}

/// The records asked for by [`Effect::LoadHistory`], newest first, and what is wrong with the store, if anything.
pub fn loaded(_model: &mut Model, _runs: Vec<RunRecord>, _trouble: Option<String>) {}

pub fn view(_model: &Model, _area: Rect, _cx: &mut Cx<'_>) {}
