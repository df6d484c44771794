//! Which colour or line is what, outside of the data.

use super::font;
use super::frame::LABEL_EM;
use super::palette::Color;
use super::scene::{Scene, Text};

const SWATCH: f64 = 15.0;
const GAP: f64 = 26.0;
pub(super) const ROW: f64 = 25.0;

/// A colour and its name.
pub(super) struct Entry {
    pub name: String,
    pub color: Color,
}

/// Coloured squares with names in rows from (`left`, `top`) to `right`; returns where the last row ends.
pub(super) fn rows(scene: &mut Scene, entries: &[Entry], left: f64, right: f64, top: f64) -> f64 {
    let (mut x, mut y) = (left, top);
    for entry in entries {
        let name = font::fit(&entry.name, LABEL_EM, false, (right - left - SWATCH - 8.0).min(320.0));
        let width = SWATCH + 8.0 + font::width(&name, LABEL_EM, false);
        if x > left && x + width > right {
            (x, y) = (left, y + ROW);
        }
        let middle = y + ROW / 2.0;
        scene.rect((x, middle - SWATCH / 2.0), (x + SWATCH, middle + SWATCH / 2.0), entry.color);
        scene.text(Text::new(name, (x + SWATCH + 8.0, middle + 0.35 * LABEL_EM), LABEL_EM));
        x += width + GAP;
    }
    y + ROW
}
