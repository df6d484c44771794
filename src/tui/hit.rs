//! What the view drew where, so that a click can be understood.

use super::command::CommandId;
use super::model::Screen;
use ratatui::layout::{Position, Rect};

/// Something that reacts to the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Tab(Screen),
    Command(CommandId),
    /// Row `index` of the list or table with this name.
    Row { list: &'static str, index: usize },
    /// A slider's track; where in it the mouse is gives the value.
    Slider { index: usize },
}

/// Areas by target, in drawing order; later ones lie on top.
#[derive(Debug, Default)]
pub struct HitMap(Vec<(Rect, Target)>);

impl HitMap {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn add(&mut self, area: Rect, target: Target) {
        self.0.push((area, target));
    }

    /// The topmost target at a cell, with its area.
    #[must_use]
    pub fn at(&self, x: u16, y: u16) -> Option<(Rect, Target)> {
        self.0.iter().rev().find(|(area, _)| area.contains(Position { x, y })).copied()
    }
}
