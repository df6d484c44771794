//! Browse: tasks and checkpoints, what is in them.

use crate::engine::Event;
use crate::fusion::Similarity;
use crate::tasks::{Images, Split};
use crate::tui::catalog::Catalog;
use crate::tui::command::Command;
use crate::tui::effect::Effect;
use crate::tui::hit::Hit;
use crate::tui::model::Model;
use crate::tui::view_cx::Cx;
use ratatui::layout::Rect;
use std::sync::Arc;

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

/// The images asked for by [`Effect::LoadSamples`], or why they cannot be had.
pub fn samples(_model: &mut Model, _task: &str, _split: Split, _images: Result<Arc<Images>, String>) {}

/// The geometry asked for by [`Effect::LoadSimilarity`], or why it cannot be had.
pub fn similarity(_model: &mut Model, _similarity: Result<Arc<Similarity>, String>) {}

pub fn view(_model: &Model, _area: Rect, _cx: &mut Cx<'_>) {}
