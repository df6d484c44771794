//! A matrix as coloured cells around zero, with its numbers and a colour bar.

use super::data::Heatmap;
use super::error::ChartError;
use super::font;
use super::frame::{self, HEIGHT, LABEL_EM, TICK_EM, TITLE_EM, TITLE_Y};
use super::palette::{self, AXIS, BLANK, TEXT};
use super::scene::{Anchor, Scene, Text};
use super::ticks;

/// The largest side of a cell.
const CELL: f64 = 74.0;
const BAR_WIDTH: f64 = 22.0;
const TOP: f64 = TITLE_Y + 30.0;

pub(super) fn scene(chart: &Heatmap) -> Result<Scene, ChartError> {
    check(chart)?;
    let (rows, columns) = (chart.rows.len() as f64, chart.columns.len() as f64);
    let cell = CELL.min((HEIGHT - TOP - 90.0) / rows).min(1000.0 / columns);
    let name_em = LABEL_EM.min(cell * 0.9);
    let row_names: Vec<_> = chart.rows.iter().map(|name| font::fit(name, name_em, false, 170.0)).collect();
    let widest = row_names.iter().map(|name| font::width(name, name_em, false)).fold(0.0, f64::max);
    let left = widest + 34.0;
    let (right, bottom) = (left + cell * columns, TOP + cell * rows);
    let places: Vec<_> = (0..chart.columns.len()).map(|at| left + cell * (at as f64 + 0.5)).collect();
    let names_height = frame::NameLayout::of(&chart.columns, cell).height();
    let title_width = font::width(&font::fit(&chart.title, TITLE_EM, true, 900.0), TITLE_EM, true);
    let width = (right + 150.0).max(left + title_width + 24.0);
    let mut scene = Scene::new(width, bottom + names_height + 22.0);
    frame::draw_title(&mut scene, &chart.title, left);

    let limit = limit(chart);
    let decimals = if limit < 0.1 { 3 } else { 2 };
    let value_em = (cell * 0.25).min(15.0);
    for (row, values) in chart.values.iter().enumerate() {
        let top = TOP + cell * row as f64;
        let name = row_names[row].clone();
        let baseline = top + cell / 2.0 + 0.35 * name_em;
        scene.text(Text::new(name, (left - 10.0, baseline), name_em).anchor(Anchor::End));
        for (column, &value) in values.iter().enumerate() {
            let x = left + cell * column as f64;
            let trivial = is_trivial(chart, row, column);
            let ground = if trivial || !value.is_finite() { BLANK } else { palette::diverging(value / limit) };
            scene.rect((x + 0.75, top + 0.75), (x + cell - 0.75, top + cell - 0.75), ground);
            if value.is_finite() && value_em >= 7.0 {
                let at = (x + cell / 2.0, top + cell / 2.0 + 0.35 * value_em);
                let text = Text::new(ticks::format(value, decimals), at, value_em).color(palette::contrast(ground));
                scene.text(text.anchor(Anchor::Middle));
            }
        }
    }
    frame::draw_names(&mut scene, &chart.columns, &places, cell, bottom);
    draw_bar(&mut scene, limit, &chart.value_label, (right + 34.0, TOP), bottom);
    Ok(scene)
}

fn check(chart: &Heatmap) -> Result<(), ChartError> {
    if chart.rows.is_empty() || chart.columns.is_empty() {
        return Err(ChartError::Empty { what: "the matrix has no rows or no columns" });
    }
    if chart.values.len() != chart.rows.len() {
        let (got, expected) = (chart.values.len(), chart.rows.len());
        return Err(ChartError::Length { name: chart.title.clone(), got, expected, of: "rows" });
    }
    for (name, row) in chart.rows.iter().zip(&chart.values) {
        if row.len() != chart.columns.len() {
            let (got, expected) = (row.len(), chart.columns.len());
            return Err(ChartError::Length { name: name.clone(), got, expected, of: "columns" });
        }
    }
    Ok(())
}

/// A thing compared with itself.
fn is_trivial(chart: &Heatmap, row: usize, column: usize) -> bool {
    row == column && chart.rows == chart.columns
}

/// The value at the ends of the colour scale: a round number that no cell with a meaning goes beyond.
fn limit(chart: &Heatmap) -> f64 {
    let cells = chart.values.iter().enumerate().flat_map(|(row, values)| {
        values
            .iter()
            .enumerate()
            .filter(move |&(column, _)| !is_trivial(chart, row, column))
            .map(|(_, value)| value.abs())
    });
    let largest = cells.filter(|value| value.is_finite()).fold(0.0, f64::max);
    if largest == 0.0 { 1.0 } else { ticks::covering(0.0, largest, 4).values.last().copied().unwrap_or(largest) }
}

fn draw_bar(scene: &mut Scene, limit: f64, label: &str, (left, top): (f64, f64), bottom: f64) {
    const STEPS: u32 = 128;
    let y = |share: f64| bottom - share * (bottom - top);
    for step in 0..STEPS {
        let (from, to) = (f64::from(step) / f64::from(STEPS), f64::from(step + 1) / f64::from(STEPS));
        let color = palette::diverging(from + to - 1.0);
        // Overlaps its neighbour by a pixel, so that no viewer shows a seam.
        scene.rect((left, y(to)), (left + BAR_WIDTH, (y(from) + 1.0).min(bottom)), color);
    }
    let outline = [(left, top), (left + BAR_WIDTH, top), (left + BAR_WIDTH, bottom), (left, bottom), (left, top)];
    scene.path(outline.to_vec(), 1.0, AXIS);
    let marks = ticks::within(-limit, limit, 8);
    let mut widest: f64 = 0.0;
    for &value in &marks.values {
        let at = y(0.5 + value / limit / 2.0);
        scene.line((left + BAR_WIDTH, at), (left + BAR_WIDTH + 5.0, at), 1.2, AXIS);
        let number = ticks::format(value, marks.decimals);
        widest = widest.max(font::width(&number, TICK_EM, false));
        scene.text(Text::new(number, (left + BAR_WIDTH + 9.0, at + 0.35 * TICK_EM), TICK_EM).color(TEXT));
    }
    let label = font::fit(label, LABEL_EM, false, bottom - top);
    let x = left + BAR_WIDTH + 9.0 + widest + 10.0 + LABEL_EM;
    scene.text(Text::new(label, (x, f64::midpoint(top, bottom)), LABEL_EM).anchor(Anchor::Middle).upwards());
}
