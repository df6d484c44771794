//! Grouped bars: one group a category, one bar a series.

use super::data::{Bars, Series};
use super::error::ChartError;
use super::font;
use super::frame::{self, Frame, HEIGHT, NameLayout, TITLE_Y, WIDTH};
use super::legend::{self, Entry};
use super::palette::{self, Color, TEXT};
use super::scene::{Anchor, Scene, Text};
use super::ticks;

const LEFT: f64 = 92.0;
const RIGHT: f64 = WIDTH - 28.0;
/// Room above the highest bar for its number.
const ABOVE: f64 = 26.0;
/// The size of the numbers on bars: as large as the bars are wide, within these.
const VALUE_EM: std::ops::RangeInclusive<f64> = 10.5..=13.0;

pub(super) fn scene(chart: &Bars) -> Result<Scene, ChartError> {
    check(chart)?;
    let mut scene = Scene::new(WIDTH, HEIGHT);
    let colors = colors(&chart.series);
    let entries: Vec<_> =
        (chart.series.iter().zip(&colors)).map(|(series, &color)| Entry { name: series.name.clone(), color }).collect();
    let top = legend::rows(&mut scene, &entries, LEFT, RIGHT, TITLE_Y + 14.0) + ABOVE;
    let pitch = (RIGHT - LEFT) / chart.categories.len() as f64;
    let bottom = HEIGHT - 18.0 - NameLayout::of(&chart.categories, pitch).height();
    let highest = chart.series.iter().filter_map(highest).fold(0.0, f64::max) * 100.0;
    // Bars begin at zero, or their lengths would lie; accuracy ends at 100, which is shown unless all is far below it.
    let ticks = ticks::covering(0.0, if highest > 40.0 { highest.max(100.0) } else { highest.max(1.0) }, 5);
    let high = ticks.values.last().copied().unwrap_or(100.0);
    let frame = Frame { left: LEFT, right: RIGHT, top, bottom, low: 0.0, high };
    frame.draw_title(&mut scene, &chart.title);
    let label = if chart.y_label.is_empty() { "accuracy" } else { &chart.y_label };
    frame.draw_y_axis(&mut scene, &ticks, &format!("{label} (%)"));
    let middles: Vec<_> = (0..chart.categories.len()).map(|at| LEFT + pitch * (at as f64 + 0.5)).collect();
    draw_bars(&mut scene, chart, &frame, &colors, pitch, &middles);
    frame.draw_base_line(&mut scene);
    frame::draw_names(&mut scene, &chart.categories, &middles, pitch, bottom);
    Ok(scene)
}

fn check(chart: &Bars) -> Result<(), ChartError> {
    if chart.categories.is_empty() {
        return Err(ChartError::Empty { what: "no categories" });
    }
    if chart.series.is_empty() {
        return Err(ChartError::Empty { what: "no series" });
    }
    let expected = chart.categories.len();
    for series in &chart.series {
        let intervals = if series.intervals.is_empty() { expected } else { series.intervals.len() };
        for got in [series.values.len(), intervals] {
            if got != expected {
                return Err(ChartError::Length { name: series.name.clone(), got, expected, of: "categories" });
            }
        }
    }
    Ok(())
}

fn colors(series: &[Series]) -> Vec<Color> {
    let (mut references, mut others) = (0.., 0..);
    let mut color = |series: &Series| {
        if series.reference { references.next().map(palette::reference) } else { others.next().map(palette::series) }
    };
    series.iter().map(|series| color(series).unwrap_or(TEXT)).collect()
}

fn highest(series: &Series) -> Option<f64> {
    let values = series.values.iter().flatten().copied();
    let ends = series.intervals.iter().flatten().map(|&(_, high)| high);
    values.chain(ends).filter(|value| value.is_finite()).reduce(f64::max)
}

fn draw_bars(scene: &mut Scene, chart: &Bars, frame: &Frame, colors: &[Color], pitch: f64, middles: &[f64]) {
    let number = chart.series.len() as f64;
    let width = (pitch * 0.84 / number).min(72.0);
    let per_em = font::width("88.8", 100.0, false) / 100.0;
    let fitting = (width - 1.0) / per_em;
    let level = fitting >= *VALUE_EM.start();
    let em = if level { fitting.min(*VALUE_EM.end()) } else { width.min(*VALUE_EM.end()) };
    for (at, series) in chart.series.iter().enumerate() {
        for (category, (&value, &middle)) in series.values.iter().zip(middles).enumerate() {
            let Some(value) = value.filter(|value| value.is_finite()) else { continue };
            let left = middle + width * (at as f64 - number / 2.0);
            let x = left + width / 2.0;
            let mut top = frame.y(100.0 * value);
            // A hair of white between neighbours.
            scene.rect((left + 0.5, top), (left + width - 0.5, frame.bottom), colors[at]);
            if let Some(&Some((low, high))) = series.intervals.get(category) {
                let (low, high) = (frame.y(100.0 * low), frame.y(100.0 * high));
                let cap = (width * 0.22).min(6.0);
                scene.line((x, low), (x, high), 1.4, TEXT);
                scene.line((x - cap, low), (x + cap, low), 1.4, TEXT);
                scene.line((x - cap, high), (x + cap, high), 1.4, TEXT);
                top = top.min(high);
            }
            let text = Text::new(ticks::format(100.0 * value, 1), (x, top - 5.0), em);
            if level {
                scene.text(text.anchor(Anchor::Middle));
            } else if em >= *VALUE_EM.start() {
                scene.text(Text { at: (x + 0.35 * em, top - 5.0), ..text }.upwards());
            }
        }
    }
}
