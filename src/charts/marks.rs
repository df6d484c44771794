//! Points that are pointed out in a line chart: a ring, a guide down to the axis, and a label where it hides least.

use super::data::Mark;
use super::font;
use super::frame::LABEL_EM;
use super::lines::{Plot, dashes};
use super::palette::{self, MUTED, TEXT, WHITE};
use super::scene::{Anchor, Point, Scene, Text};

/// Thin dashed lines through the marked points, under the data.
pub(super) fn draw_guides(scene: &mut Scene, plot: &Plot, marks: &[Mark]) {
    for mark in visible(plot, marks) {
        let (x, _) = plot.at((mark.x, mark.y));
        for piece in dashes(&[(x, plot.frame.bottom), (x, plot.frame.top)], &[4.0, 4.0], 1.4) {
            scene.path(piece, 1.4, MUTED);
        }
    }
}

/// Rings around the marked points and what they are. `paths` is what the labels should not hide.
pub(super) fn draw(scene: &mut Scene, plot: &Plot, marks: &[Mark], paths: &[Vec<Point>]) {
    let frame = &plot.frame;
    for mark in visible(plot, marks) {
        let (x, y) = plot.at((mark.x, mark.y));
        let mut ring = palette::disc((x, y), 10.0);
        ring.extend(ring.first().copied());
        scene.path(ring, 2.2, TEXT);
        let label = font::fit(&mark.label, LABEL_EM, true, frame.right - frame.left - 20.0);
        let half = font::width(&label, LABEL_EM, true) / 2.0 + 6.0;
        let middle = x.clamp(frame.left + half, (frame.right - half).max(frame.left + half));
        let boxed = |baseline: f64| ((middle - half, baseline - LABEL_EM), (middle + half, baseline + 6.0));
        // Anywhere along the guide but on the point itself; among equally free places the nearest one.
        let places = (1..200).map(|step| frame.top + 4.0 + LABEL_EM * f64::from(step));
        let cost = |baseline: f64| hidden(paths, boxed(baseline)) as f64 + 0.001 * (baseline - y).abs();
        let best = places
            .take_while(|baseline| baseline + 8.0 < frame.bottom)
            .filter(|baseline| baseline + 20.0 < y || baseline - LABEL_EM - 12.0 > y)
            .min_by(|&a, &b| cost(a).total_cmp(&cost(b)));
        let Some(baseline) = best else { continue };
        let (corner, opposite) = boxed(baseline);
        scene.rect(corner, opposite, WHITE);
        scene.text(Text::new(label, (middle, baseline), LABEL_EM).bold().anchor(Anchor::Middle));
    }
}

/// How many pixels of the paths lie within a box.
fn hidden(paths: &[Vec<Point>], ((left, top), (right, bottom)): (Point, Point)) -> usize {
    let within = |(x, y): Point| (left..=right).contains(&x) && (top..=bottom).contains(&y);
    let segment = |from: Point, to: Point| {
        let steps = ((to.0 - from.0).hypot(to.1 - from.1) / 2.0).ceil().clamp(1.0, 2000.0) as usize;
        let at = |step: usize| step as f64 / steps as f64;
        (0..=steps)
            .map(at)
            .filter(|share| within((from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1))))
            .count()
    };
    paths.iter().flat_map(|path| path.windows(2)).map(|pair| segment(pair[0], pair[1])).sum()
}

fn visible<'a>(plot: &'a Plot, marks: &'a [Mark]) -> impl Iterator<Item = &'a Mark> {
    marks.iter().filter(|mark| mark.y.is_finite() && (plot.x_low..=plot.x_high).contains(&mark.x))
}
