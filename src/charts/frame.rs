//! Title, axes and grid around the area in which bars and lines are drawn.

use super::font;
use super::palette::{AXIS, GRID};
use super::scene::{Anchor, Scene, Text};
use super::ticks::{self, Ticks};

pub(super) const WIDTH: f64 = 1200.0;
pub(super) const HEIGHT: f64 = 720.0;

pub(super) const TITLE_EM: f64 = 21.0;
pub(super) const LABEL_EM: f64 = 15.5;
pub(super) const TICK_EM: f64 = 14.0;

/// The baseline of the title.
pub(super) const TITLE_Y: f64 = 42.0;

/// The area of the data, in logical pixels, and the range of values from its bottom to its top.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
    pub low: f64,
    pub high: f64,
}

impl Frame {
    /// The height at which `value` is drawn; values beyond the range stay at its ends.
    pub fn y(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.bottom - share * (self.bottom - self.top)
    }

    /// Grid lines with numbers, and what they count.
    pub fn draw_y_axis(&self, scene: &mut Scene, ticks: &Ticks, label: &str) {
        let mut widest: f64 = 0.0;
        for &value in &ticks.values {
            let y = self.y(value);
            scene.line((self.left, y), (self.right, y), 1.0, GRID);
            let number = ticks::format(value, ticks.decimals);
            widest = widest.max(font::width(&number, TICK_EM, false));
            scene.text(Text::new(number, (self.left - 10.0, y + 0.35 * TICK_EM), TICK_EM).anchor(Anchor::End));
        }
        let room = self.bottom - self.top;
        let x = (self.left - 10.0 - widest - 16.0).max(LABEL_EM);
        let middle = f64::midpoint(self.top, self.bottom);
        let label = font::fit(label, LABEL_EM, false, room);
        scene.text(Text::new(label, (x, middle), LABEL_EM).anchor(Anchor::Middle).upwards());
    }

    /// The line that the data stand on.
    pub fn draw_base_line(&self, scene: &mut Scene) {
        scene.line((self.left, self.bottom), (self.right, self.bottom), 1.5, AXIS);
    }

    /// What the horizontal axis counts, with its baseline at `y`.
    pub fn draw_x_label(&self, scene: &mut Scene, label: &str, y: f64) {
        let label = font::fit(label, LABEL_EM, false, self.right - self.left);
        scene.text(Text::new(label, (f64::midpoint(self.left, self.right), y), LABEL_EM).anchor(Anchor::Middle));
    }

    pub fn draw_title(&self, scene: &mut Scene, title: &str) {
        draw_title(scene, title, self.left);
    }
}

pub(super) fn draw_title(scene: &mut Scene, title: &str, left: f64) {
    let title = font::fit(title, TITLE_EM, true, scene.width - left - 20.0);
    scene.text(Text::new(title, (left, TITLE_Y), TITLE_EM).bold());
}

/// Draws names under an axis; `places` are their middles, `pitch` the distance between two.
pub(super) fn draw_names(scene: &mut Scene, names: &[String], places: &[f64], pitch: f64, top: f64) {
    let layout = NameLayout::of(names, pitch);
    for (at, (name, &x)) in names.iter().zip(places).enumerate() {
        let level = |em: f64, row: f64, room: f64| {
            let at = (x, top + em * (1.25 + 1.35 * row));
            Text::new(font::fit(name, em, false, room), at, em).anchor(Anchor::Middle)
        };
        scene.text(match layout {
            NameLayout::Level { em } => level(em, 0.0, pitch - 4.0),
            NameLayout::Staggered => level(LABEL_EM, (at % 2) as f64, 2.0 * pitch - 12.0),
            NameLayout::Upwards { room } => {
                let em = LABEL_EM.min(pitch * 0.9);
                let text = Text::new(font::fit(name, em, false, room), (x + 0.35 * em, top + 8.0), em);
                text.anchor(Anchor::End).upwards()
            }
        });
    }
}

/// How names are laid out under an axis: level where they fit, in two rows where that helps, else upwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum NameLayout {
    Level { em: f64 },
    Staggered,
    Upwards { room: f64 },
}

impl NameLayout {
    pub fn of(names: &[String], pitch: f64) -> Self {
        let width = |name: &String| font::width(&font::fit(name, LABEL_EM, false, 150.0), LABEL_EM, false);
        let widest = names.iter().map(width).fold(0.0, f64::max);
        // A little smaller is better than two rows.
        let em = LABEL_EM * ((pitch - 6.0) / widest).min(1.0);
        if em >= 0.84 * LABEL_EM {
            Self::Level { em }
        } else if widest <= 2.0 * pitch - 12.0 {
            Self::Staggered
        } else {
            Self::Upwards { room: widest }
        }
    }

    /// Below the axis.
    pub fn height(self) -> f64 {
        match self {
            Self::Level { .. } => 1.6 * LABEL_EM,
            Self::Staggered => 3.0 * LABEL_EM,
            Self::Upwards { room } => room + 14.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_level_then_staggered_then_upwards() {
        let names: Vec<_> = ["optdigits", "mnist"].map(String::from).to_vec();
        assert_eq!(NameLayout::of(&names, 140.0), NameLayout::Level { em: LABEL_EM });
        assert!(matches!(NameLayout::of(&names, 66.0), NameLayout::Level { em } if em < LABEL_EM));
        assert_eq!(NameLayout::of(&names, 50.0), NameLayout::Staggered);
        assert!(matches!(NameLayout::of(&names, 30.0), NameLayout::Upwards { .. }));
    }
}
