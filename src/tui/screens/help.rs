//! Help: what fusebench is, how to begin, every command with its keys.

use crate::tui::command::Command;
use crate::tui::hit::Hit;
use crate::tui::model::Model;
use crate::tui::view_cx::Cx;
use ratatui::layout::Rect;

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    pub scroll: usize,
}

pub const COMMANDS: &[Command] = &[];

pub fn mouse(model: &mut Model, hit: Hit) {
    if let Some(step) = hit.wheel() {
        model.help.scroll = model.help.scroll.saturating_add_signed(3 * step);
    }
}

pub fn view(_model: &Model, _area: Rect, _cx: &mut Cx<'_>) {}
