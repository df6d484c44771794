//! Lines over a common axis: braille dots where the terminal has them, one mark a cell elsewhere.

use crate::tui::view_cx::{Charset, Cx};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// One line. A point that is not finite leaves a gap.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    pub points: &'a [(f64, f64)],
    pub style: Style,
    /// Tells the line from its neighbours without colour; drawn at its last point, and all along in plain charsets.
    pub marker: &'a str,
}

/// A chart of shares (0 to 1, labelled in per cent) over some x.
#[derive(Debug, Clone)]
pub struct LineChart<'a> {
    pub series: Vec<Series<'a>>,
    pub x: (f64, f64),
    pub y: (f64, f64),
    pub x_title: &'a str,
    /// A value of x to mark with a vertical line.
    pub mark: Option<f64>,
}

/// Marks of up to eight lines, by charset.
#[must_use]
pub fn markers(charset: Charset) -> [&'static str; 8] {
    if charset == Charset::Ascii {
        ["a", "b", "c", "d", "e", "f", "g", "h"]
    } else {
        ["●", "▲", "■", "◆", "○", "△", "□", "◇"]
    }
}

/// The range of y that shows all points, leaving out the noise of the first twentieth of `x`; ends are round numbers.
#[must_use]
pub fn range<'a>(lines: impl Iterator<Item = &'a [(f64, f64)]> + Clone, x: (f64, f64)) -> (f64, f64) {
    let settled = x.0 + (x.1 - x.0) / 20.0;
    let over = |from: f64| {
        let points = lines.clone().flatten().filter(move |(x, y)| *x >= from && y.is_finite());
        points.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &(_, y)| (low.min(y), high.max(y)))
    };
    let (mut low, mut high) = over(settled);
    if low > high {
        (low, high) = over(f64::NEG_INFINITY);
    }
    if low > high {
        return (0.0, 1.0);
    }
    let grid = if high - low > 0.15 { 0.1 } else { 0.02 };
    let (low, high) = ((low / grid).floor() * grid, (high / grid).ceil() * grid);
    if high - low < grid { (low - grid, high + grid) } else { (low, high) }
}

/// Width of the labels of y.
const LABELS: u16 = 5;

impl LineChart<'_> {
    /// Draws axes, labels and lines; small areas lose the labels first.
    pub fn draw(&self, cx: &mut Cx<'_>, area: Rect) {
        let area = area.intersection(cx.buf.area);
        let labels = if area.width >= 24 { LABELS } else { 0 };
        if area.width < labels + 3 || area.height < 3 {
            return;
        }
        let plot = Rect { x: area.x + labels + 1, y: area.y, width: area.width - labels - 1, height: area.height - 2 };
        self.axes(cx, area, plot, labels);
        let mut dots = Dots::new(plot, cx.charset);
        for (index, series) in self.series.iter().enumerate() {
            dots.line(series.points.iter().map(|&point| self.place(point)), index);
        }
        dots.paint(cx, plot, &self.series);
        for series in &self.series {
            let last = series.points.iter().rev().find_map(|&point| self.place(point));
            if let Some((x, y)) = last.filter(|(x, y)| (0.0..=1.0).contains(x) && (0.0..=1.0).contains(y)) {
                let column = plot.x + (x * f64::from(plot.width - 1)).round() as u16;
                let row = plot.y + (y * f64::from(plot.height - 1)).round() as u16;
                cx.buf[(column, row)].set_symbol(series.marker).set_style(series.style);
            }
        }
    }

    /// Shares of the plot's width (from the left) and height (from the top).
    fn place(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        let place = ((x - self.x.0) / (self.x.1 - self.x.0), 1.0 - (y - self.y.0) / (self.y.1 - self.y.0));
        (place.0.is_finite() && place.1.is_finite()).then_some(place)
    }

    fn axes(&self, cx: &mut Cx<'_>, area: Rect, plot: Rect, labels: u16) {
        let (dim, bottom) = (cx.theme.dim, plot.bottom());
        let [vertical, corner, horizontal, mark] = match cx.charset {
            Charset::Ascii => ["|", "+", "-", ":"],
            _ => ["│", "└", "─", "┊"],
        };
        if let Some((x, _)) = self.mark.and_then(|x| self.place((x, self.y.0))).filter(|(x, _)| (0.0..=1.0).contains(x))
        {
            let column = plot.x + (x * f64::from(plot.width - 1)).round() as u16;
            for y in plot.y..bottom {
                cx.buf[(column, y)].set_symbol(mark).set_style(dim);
            }
        }
        for y in plot.y..bottom {
            cx.buf[(plot.x - 1, y)].set_symbol(vertical).set_style(dim);
        }
        cx.buf[(plot.x - 1, bottom)].set_symbol(corner).set_style(dim);
        for x in plot.x..plot.right() {
            cx.buf[(x, bottom)].set_symbol(horizontal).set_style(dim);
        }
        if labels > 0 {
            let middle = plot.height / 2;
            let rows: &[u16] = if plot.height > 4 { &[0, middle, plot.height - 1] } else { &[0, plot.height - 1] };
            for &row in rows {
                let share = f64::from(row) / f64::from(plot.height - 1).max(1.0);
                let value = self.y.1 + (self.y.0 - self.y.1) * share;
                cx.print_right(area.x, plot.y + row, labels - 1, &format!("{:.0}%", value * 100.0), dim);
            }
        }
        let foot = bottom + 1;
        let end = number(self.x.1);
        cx.print(plot.x, foot, plot.width, &number(self.x.0), dim);
        cx.print_right(plot.x, foot, plot.width, &end, dim);
        let title = u16::try_from(crate::tui::view_cx::text_width(self.x_title)).unwrap_or(u16::MAX);
        if title + 14 < plot.width {
            cx.print(plot.x + (plot.width - title) / 2, foot, title, self.x_title, dim);
        }
    }
}

fn number(x: f64) -> String {
    crate::params::Value::Float(x).to_string()
}

/// A grid of dots, each owned by the line that set it last.
struct Dots {
    /// Dots a cell, across and down.
    cell: (u16, u16),
    width: u16,
    height: u16,
    /// Per cell: the dots that are set, as braille bits, and whose they are.
    bits: Vec<(u8, usize)>,
}

/// Braille bits by row and column of a cell.
const BRAILLE: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

impl Dots {
    fn new(plot: Rect, charset: Charset) -> Self {
        let cell = if charset == Charset::Braille { (2, 4) } else { (1, 1) };
        let bits = vec![(0, 0); usize::from(plot.width) * usize::from(plot.height)];
        Self { cell, width: plot.width, height: plot.height, bits }
    }

    fn set(&mut self, x: i32, y: i32, owner: usize) {
        let (across, down) = (i32::from(self.cell.0), i32::from(self.cell.1));
        if x < 0 || y < 0 || x >= i32::from(self.width) * across || y >= i32::from(self.height) * down {
            return;
        }
        let at = (y / down) as usize * usize::from(self.width) + (x / across) as usize;
        let bit = BRAILLE[(y % down) as usize][(x % across) as usize];
        self.bits[at] = (self.bits[at].0 | bit, owner);
    }

    /// Connects places given as shares of width and height; a missing one leaves a gap.
    fn line(&mut self, places: impl Iterator<Item = Option<(f64, f64)>>, owner: usize) {
        let columns = f64::from(self.width * self.cell.0 - 1);
        let rows = f64::from(self.height * self.cell.1 - 1);
        let mut before: Option<(i32, i32)> = None;
        for place in places {
            // Far outside is as good as just outside, and keeps the walk below short.
            let dot = place.map(|(x, y)| {
                ((x.clamp(-1.0, 2.0) * columns).round() as i32, (y.clamp(-1.0, 2.0) * rows).round() as i32)
            });
            if let (Some(from), Some(to)) = (before, dot) {
                let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).max(1);
                for step in 1..=steps {
                    let walk =
                        |a: i32, b: i32| a + ((b - a) as f64 * f64::from(step) / f64::from(steps)).round() as i32;
                    self.set(walk(from.0, to.0), walk(from.1, to.1), owner);
                }
            } else if let Some((x, y)) = dot {
                self.set(x, y, owner);
            }
            before = dot;
        }
    }

    fn paint(&self, cx: &mut Cx<'_>, plot: Rect, series: &[Series<'_>]) {
        let mut utf8 = [0; 4];
        for (at, &(bits, owner)) in self.bits.iter().enumerate() {
            let Some(series) = series.get(owner).filter(|_| bits != 0) else { continue };
            let (x, y) = (at % usize::from(self.width), at / usize::from(self.width));
            let cell = &mut cx.buf[(plot.x + x as u16, plot.y + y as u16)];
            let glyph = match cx.charset {
                Charset::Ascii => series.marker,
                Charset::Box => "·",
                Charset::Braille => {
                    char::from_u32(0x2800 + u32::from(bits)).map_or(" ", |c| &*c.encode_utf8(&mut utf8))
                }
            };
            cell.set_symbol(glyph).set_style(series.style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_round_and_ignores_noise_and_nan() {
        let line: Vec<(f64, f64)> = vec![(1.0, 0.0), (50.0, 0.512), (60.0, f64::NAN), (100.0, 0.538)];
        let (low, high) = range([&line[..]].into_iter(), (0.0, 100.0));
        assert!((low - 0.50).abs() < 1e-9 && (high - 0.54).abs() < 1e-9, "{low} {high}");
        let (low, high) = range([&line[..1]].into_iter(), (0.0, 100.0));
        assert!(low < 0.0 && high > 0.0, "{low} {high}");
        assert_eq!(range(std::iter::empty(), (0.0, 1.0)), (0.0, 1.0));
    }

    #[test]
    fn lines_connect_and_gaps_stay_open() {
        let plot = Rect::new(0, 0, 5, 1);
        let mut dots = Dots::new(plot, Charset::Ascii);
        dots.line([Some((0.0, 0.0)), Some((0.25, 0.0)), None, Some((0.75, 0.0)), Some((1.0, 0.0))].into_iter(), 3);
        let set: Vec<bool> = dots.bits.iter().map(|bits| bits.0 != 0).collect();
        assert_eq!(set, [true, true, false, true, true]);
        assert!(dots.bits.iter().all(|bits| bits.0 == 0 || bits.1 == 3));
        dots.line([Some((-9e9, 0.5)), Some((9e9, 0.5))].into_iter(), 1);
        assert!(dots.bits.iter().all(|bits| bits.0 != 0));
    }
}
