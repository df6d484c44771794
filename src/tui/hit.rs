//! What the view drew where, so that a click can be understood.

use super::command::CommandId;
use super::model::Screen;
use crossterm::event::MouseEventKind;
use ratatui::layout::{Position, Rect};

/// Something that reacts to the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Tab(Screen),
    Command(CommandId),
    /// Row `index` of the list or table with this name.
    Row {
        list: &'static str,
        index: usize,
    },
    /// A cell of a table or heat map with this name.
    Cell {
        list: &'static str,
        row: usize,
        column: usize,
    },
    /// A slider's track; where in it the mouse is gives the value.
    Slider {
        index: usize,
    },
    /// A pane as a whole: a click focuses it, the wheel scrolls it.
    Pane(&'static str),
}

/// A mouse event on something that was drawn. While a button is held, `target` stays the one it was pressed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    pub target: Target,
    /// Where the target was drawn.
    pub area: Rect,
    pub at: Position,
    pub kind: MouseEventKind,
}

impl Hit {
    /// Where in the target the mouse is, from 0 (left edge) to 1 (right edge); outside counts as the edge.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        let span = f64::from(self.area.width.saturating_sub(1)).max(1.0);
        ((f64::from(self.at.x) - f64::from(self.area.x)) / span).clamp(0.0, 1.0)
    }

    /// +1 for the wheel turned down, −1 for up, nothing otherwise.
    #[must_use]
    pub fn wheel(&self) -> Option<isize> {
        match self.kind {
            MouseEventKind::ScrollDown => Some(1),
            MouseEventKind::ScrollUp => Some(-1),
            _ => None,
        }
    }

    /// Whether a button was pressed, or moved while pressed.
    #[must_use]
    pub fn pressed(&self) -> bool {
        matches!(self.kind, MouseEventKind::Down(_) | MouseEventKind::Drag(_))
    }
}

/// Areas by target, in drawing order; later ones lie on top.
#[derive(Debug, Default)]
pub struct HitMap(Vec<(Rect, Target)>);

impl HitMap {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn add(&mut self, area: Rect, target: Target) {
        if !area.is_empty() {
            self.0.push((area, target));
        }
    }

    /// The topmost target at a cell, with its area.
    #[must_use]
    pub fn at(&self, x: u16, y: u16) -> Option<(Rect, Target)> {
        self.0.iter().rev().find(|(area, _)| area.contains(Position { x, y })).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_target_wins_and_fractions_stay_in_range() {
        let mut hits = HitMap::default();
        hits.add(Rect::new(0, 0, 20, 5), Target::Pane("sliders"));
        hits.add(Rect::new(5, 2, 11, 1), Target::Slider { index: 3 });
        assert_eq!(hits.at(1, 1).map(|(_, target)| target), Some(Target::Pane("sliders")));
        let (area, target) = hits.at(10, 2).unwrap();
        assert_eq!(target, Target::Slider { index: 3 });
        let at = |x| Hit { target, area, at: Position { x, y: 2 }, kind: MouseEventKind::Moved }.fraction();
        assert_eq!((at(0), at(10), at(15), at(40)), (0.0, 0.5, 1.0, 1.0));
        assert_eq!(hits.at(30, 30), None);
    }
}
