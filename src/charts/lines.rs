//! Lines over a common axis, each with its own colour, marker and dash, the legend at their right.

use super::data::{Line, Lines};
use super::decimate::decimate;
use super::error::ChartError;
use super::font;
use super::frame::{Frame, HEIGHT, LABEL_EM, TICK_EM, TITLE_Y, WIDTH};
use super::marks;
use super::palette::{self, AXIS, Color, GRID, TEXT, WHITE};
use super::scene::{Anchor, Point, Scene, Text};
use super::ticks;

const LEFT: f64 = 92.0;
const SAMPLE: f64 = 38.0;
/// More points than this would not be told apart.
const MOST_POINTS: usize = 600;
/// Up to here every point has a marker; longer lines have a few, to be told apart by.
const MOST_MARKERS: usize = 24;
const FEW_MARKERS: usize = 10;

/// How one line is drawn.
struct Style {
    color: Color,
    width: f64,
    dash: &'static [f64],
    marker: usize,
    radius: f64,
}

impl Style {
    fn of(series: &[Line]) -> Vec<Self> {
        let mut plain = 0..;
        series
            .iter()
            .map(|line| {
                if line.bold {
                    return Self { color: TEXT, width: 4.0, dash: &[], marker: 0, radius: 5.5 };
                }
                let at = plain.next().unwrap_or(0);
                Self { color: palette::series(at), width: 2.2, dash: palette::dash(at), marker: at, radius: 5.0 }
            })
            .collect()
    }
}

/// From values to pixels.
pub(super) struct Plot {
    pub frame: Frame,
    pub x_low: f64,
    pub x_high: f64,
    factor: f64,
}

impl Plot {
    pub fn at(&self, (x, y): (f64, f64)) -> Point {
        let share = (x - self.x_low) / (self.x_high - self.x_low);
        (self.frame.left + share * (self.frame.right - self.frame.left), self.frame.y(y * self.factor))
    }
}

pub(super) fn scene(chart: &Lines) -> Result<Scene, ChartError> {
    let factor = if chart.percent { 100.0 } else { 1.0 };
    let finite = |&(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
    let points: Vec<_> = chart.series.iter().flat_map(|line| &line.points).copied().filter(finite).collect();
    if points.is_empty() {
        return Err(ChartError::Empty { what: "no line has a point" });
    }
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (x_low, x_high) = widened(range(&mut points.iter().map(|point| point.0)));
    let (y_low, y_high) = widened(range(&mut points.iter().map(|point| factor * point.1)));

    let mut scene = Scene::new(WIDTH, HEIGHT);
    let styles = Style::of(&chart.series);
    let names: Vec<_> = chart.series.iter().map(|line| font::fit(&line.name, LABEL_EM, line.bold, 190.0)).collect();
    let widest = names.iter().zip(&chart.series).map(|(name, line)| font::width(name, LABEL_EM, line.bold));
    let right = WIDTH - SAMPLE - 62.0 - widest.fold(0.0, f64::max);
    let y_ticks = ticks::covering(y_low, y_high, 6);
    let (low, high) = (y_ticks.values[0], y_ticks.values[y_ticks.values.len() - 1]);
    let frame = Frame { left: LEFT, right, top: TITLE_Y + 36.0, bottom: HEIGHT - 76.0, low, high };
    frame.draw_title(&mut scene, &chart.title);
    let unit = if chart.percent { " (%)" } else { "" };
    frame.draw_y_axis(&mut scene, &y_ticks, &format!("{}{unit}", chart.y_label));
    let plot = Plot { frame, x_low, x_high, factor };
    draw_x_axis(&mut scene, &plot, &chart.x_label);
    marks::draw_guides(&mut scene, &plot, &chart.marks);
    // The bold line lies above the others.
    let mut order: Vec<_> = chart.series.iter().zip(&styles).collect();
    order.sort_by_key(|(line, _)| line.bold);
    let mut drawn = Vec::new();
    for (line, style) in order {
        drawn.extend(draw_line(&mut scene, &plot, line, style));
    }
    marks::draw(&mut scene, &plot, &chart.marks, &drawn);
    draw_legend(&mut scene, &plot.frame, &names, &chart.series, &styles);
    Ok(scene)
}

/// A range with some extent.
fn widened((low, high): (f64, f64)) -> (f64, f64) {
    if high - low > f64::EPSILON * high.abs().max(low.abs()) * 16.0 {
        return (low, high);
    }
    let half = if low == 0.0 { 0.5 } else { low.abs() * 0.05 };
    (low - half, high + half)
}

fn draw_x_axis(scene: &mut Scene, plot: &Plot, label: &str) {
    let frame = &plot.frame;
    let ticks = ticks::within(plot.x_low, plot.x_high, 10);
    for &value in &ticks.values {
        let (x, _) = plot.at((value, 0.0));
        scene.line((x, frame.top), (x, frame.bottom), 1.0, GRID);
        scene.line((x, frame.bottom), (x, frame.bottom + 6.0), 1.5, AXIS);
        let number = ticks::format(value, ticks.decimals);
        scene.text(Text::new(number, (x, frame.bottom + 10.0 + TICK_EM), TICK_EM).anchor(Anchor::Middle));
    }
    frame.draw_base_line(scene);
    frame.draw_x_label(scene, label, frame.bottom + 54.0);
}

/// Returns the paths drawn.
fn draw_line(scene: &mut Scene, plot: &Plot, line: &Line, style: &Style) -> Vec<Vec<Point>> {
    let mut points = line.points.clone();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    // A point without a value breaks the line.
    let pieces: Vec<Vec<(f64, f64)>> = points
        .split(|(x, y)| !(x.is_finite() && y.is_finite()))
        .map(|piece| decimate(piece, MOST_POINTS))
        .filter(|piece| !piece.is_empty())
        .collect();
    let paths: Vec<Vec<Point>> =
        pieces.iter().map(|piece| piece.iter().map(|&point| plot.at(point)).collect()).collect();
    for path in &paths {
        stroke(scene, path, style);
    }
    let all: Vec<_> = pieces.concat();
    let every = if all.len() <= MOST_MARKERS { 1 } else { all.len() / FEW_MARKERS };
    // Not at the same places as the neighbours', where lines lie close together.
    let first = style.marker * 3 % 8 * every / 8;
    for &point in all.iter().skip(first).step_by(every) {
        draw_marker(scene, plot.at(point), style);
    }
    paths
}

fn draw_marker(scene: &mut Scene, at: Point, style: &Style) {
    scene.polygon(palette::marker(style.marker, at, style.radius + 1.6), WHITE);
    scene.polygon(palette::marker(style.marker, at, style.radius), style.color);
}

/// A path in the style's dashes.
fn stroke(scene: &mut Scene, path: &[Point], style: &Style) {
    if style.dash.is_empty() {
        scene.path(path.to_vec(), style.width, style.color);
        return;
    }
    for piece in dashes(path, style.dash, style.width) {
        scene.path(piece, style.width, style.color);
    }
}

/// The drawn pieces of a dashed path; `pattern` alternates lengths of dash and gap, in `unit` pixels.
pub(super) fn dashes(path: &[Point], pattern: &[f64], unit: f64) -> Vec<Vec<Point>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let (mut at, mut left) = (0, pattern[0] * unit);
    for pair in path.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let point = |along: f64| (x0 + (x1 - x0) * along / length, y0 + (y1 - y0) * along / length);
        let mut along = 0.0;
        if at % 2 == 0 && piece.is_empty() {
            piece.push((x0, y0));
        }
        while along + left < length {
            along += left;
            if at % 2 == 0 {
                piece.push(point(along));
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece.push(point(along));
            }
            at = (at + 1) % pattern.len();
            left = pattern[at] * unit;
        }
        left -= length - along;
        if at % 2 == 0 {
            piece.push((x1, y1));
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

fn draw_legend(scene: &mut Scene, frame: &Frame, names: &[String], series: &[Line], styles: &[Style]) {
    let row = ((frame.bottom - frame.top) / names.len() as f64).min(28.0);
    let em = LABEL_EM.min(row * 0.8);
    let left = frame.right + 24.0;
    for (at, ((name, line), style)) in names.iter().zip(series).zip(styles).enumerate() {
        let y = frame.top + row * (at as f64 + 0.5);
        stroke(scene, &[(left, y), (left + SAMPLE, y)], style);
        draw_marker(scene, (left + SAMPLE / 2.0, y), style);
        let text = Text::new(name.clone(), (left + SAMPLE + 10.0, y + 0.35 * em), em);
        scene.text(if line.bold { text.bold() } else { text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_around_corners() {
        let path = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)];
        let pieces = dashes(&path, &[4.0, 3.0], 2.0);
        assert_eq!(pieces, [vec![(0.0, 0.0), (8.0, 0.0)], vec![(10.0, 4.0), (10.0, 10.0)]]);
        let around = dashes(&path, &[12.0, 3.0], 1.0);
        assert_eq!(around[0], [(0.0, 0.0), (10.0, 0.0), (10.0, 2.0)]);
    }
}
