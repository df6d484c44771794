//! Colours, markers and dashes that stay apart for colour-blind readers and in black and white.
//!
//! Series colours: M. Okabe and K. Ito, "Color Universal Design", 2008. Diverging scale: `RdBu` of
//! C. Brewer's palettes (2003), which red-green blindness does not flatten.

use super::scene::Point;
use std::f64::consts::{PI, TAU};

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Color(pub u8, pub u8, pub u8);

pub(super) const WHITE: Color = Color(255, 255, 255);
pub(super) const TEXT: Color = Color(34, 34, 34);
pub(super) const MUTED: Color = Color(95, 95, 95);
pub(super) const AXIS: Color = Color(85, 85, 85);
pub(super) const GRID: Color = Color(226, 226, 226);
/// No value.
pub(super) const BLANK: Color = Color(222, 222, 222);

const SERIES: [Color; 8] = [
    Color(0, 114, 178),
    Color(230, 159, 0),
    Color(0, 158, 115),
    Color(213, 94, 0),
    Color(86, 180, 233),
    Color(204, 121, 167),
    Color(120, 120, 120),
    // Okabe and Ito's yellow, darkened: the original is too faint as a line on white.
    Color(201, 186, 20),
];

const REFERENCES: [Color; 3] = [Color(190, 190, 190), Color(110, 110, 110), Color(150, 150, 150)];

/// The colour of the series number `at`.
pub(super) fn series(at: usize) -> Color {
    SERIES[at % SERIES.len()]
}

/// The grey of the reference series number `at`.
pub(super) fn reference(at: usize) -> Color {
    REFERENCES[at % REFERENCES.len()]
}

/// Lengths of dash and gap in line widths; empty for a solid line. Changes when the colours begin again.
pub(super) fn dash(at: usize) -> &'static [f64] {
    match at / SERIES.len() % 3 {
        0 => &[],
        1 => &[5.0, 3.0],
        _ => &[1.5, 2.0],
    }
}

fn regular((x, y): Point, corners: u32, start: f64, radius: f64) -> Vec<Point> {
    (0..corners)
        .map(|corner| start + TAU * f64::from(corner) / f64::from(corners))
        .map(|angle| (x + radius * angle.cos(), y + radius * angle.sin()))
        .collect()
}

/// A circle's outline.
pub(super) fn disc(centre: Point, radius: f64) -> Vec<Point> {
    regular(centre, 24, 0.0, radius)
}

/// The outline of the marker number `at` around `centre`.
pub(super) fn marker(at: usize, centre: Point, radius: f64) -> Vec<Point> {
    let (x, y) = centre;
    // A plus with arms a third as wide as it is long, turned by `tilt`.
    let plus = |tilt: f64| -> Vec<Point> {
        let (long, wide) = (1.15 * radius, 0.38 * radius);
        let arm = [(long, -wide), (long, wide), (wide, wide)];
        (0..4)
            .flat_map(|quarter| arm.map(|(a, b)| (f64::from(quarter) * PI / 2.0 + tilt, a, b)))
            .map(|(angle, a, b)| (x + a * angle.cos() - b * angle.sin(), y + a * angle.sin() + b * angle.cos()))
            .collect()
    };
    match at % 8 {
        0 => disc(centre, radius),
        1 => regular(centre, 4, PI / 4.0, 1.2 * radius),
        2 => regular(centre, 3, -PI / 2.0, 1.3 * radius),
        3 => regular(centre, 4, 0.0, 1.25 * radius),
        4 => regular(centre, 3, PI / 2.0, 1.3 * radius),
        5 => plus(0.0),
        6 => plus(PI / 4.0),
        _ => regular(centre, 5, -PI / 2.0, 1.15 * radius),
    }
}

const DIVERGING: [Color; 9] = [
    Color(33, 102, 172),
    Color(67, 147, 195),
    Color(146, 197, 222),
    Color(209, 229, 240),
    Color(247, 247, 247),
    Color(253, 219, 199),
    Color(244, 165, 130),
    Color(214, 96, 77),
    Color(178, 24, 43),
];

/// Blue at −1, near white at 0, red at 1; beyond that as at the end.
pub(super) fn diverging(value: f64) -> Color {
    let position = (0.5 + value.clamp(-1.0, 1.0) / 2.0) * (DIVERGING.len() - 1) as f64;
    let below = (position.floor() as usize).min(DIVERGING.len() - 2);
    let share = position - below as f64;
    let mix = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
    let (a, b) = (DIVERGING[below], DIVERGING[below + 1]);
    Color(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// Black or white, whichever can be read on `ground`.
pub(super) fn contrast(ground: Color) -> Color {
    let luma = 0.299 * f64::from(ground.0) + 0.587 * f64::from(ground.1) + 0.114 * f64::from(ground.2);
    if luma > 140.0 { TEXT } else { WHITE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_centred_at_zero_and_clamped() {
        assert_eq!(diverging(0.0), Color(247, 247, 247));
        assert_eq!(diverging(-7.0), DIVERGING[0]);
        assert_eq!(diverging(1.0), DIVERGING[8]);
        let Color(red, _, blue) = diverging(0.3);
        assert!(red > blue);
    }

    #[test]
    fn text_can_be_read_on_every_cell() {
        assert_eq!(contrast(diverging(0.0)), TEXT);
        assert_eq!(contrast(diverging(1.0)), WHITE);
        assert_eq!(contrast(diverging(-1.0)), WHITE);
    }

    #[test]
    fn series_differ_in_colour_or_dash_and_in_marker() {
        for a in 0..24 {
            for b in 0..a {
                assert!(series(a) != series(b) || dash(a) != dash(b), "{a} and {b}");
            }
        }
        let outlines: Vec<_> = (0..8).map(|at| marker(at, (0.0, 0.0), 5.0)).collect();
        for a in 0..8 {
            assert!((0..a).all(|b| outlines[a] != outlines[b]));
        }
    }
}
