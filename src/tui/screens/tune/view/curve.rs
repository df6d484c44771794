//! The curve of a sweep: average and tasks over the number that was moved, and where each is best.

use crate::params::Value;
use crate::tui::model::Model;
use crate::tui::runs::average;
use crate::tui::screens::tune::form;
use crate::tui::screens::tune::sweep::{self, Sweep};
use crate::tui::view_cx::{Cx, text_width};
use crate::tui::widgets::line_chart::{LineChart, Series, markers, range};
use crate::tui::widgets::text::{from, line, right, row, spans, wrap};
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

/// Points from which on something can be said of a maximum.
const SHAPE: usize = 5;

pub fn view(model: &Model, sweep: &Sweep, area: Rect, cx: &mut Cx<'_>) {
    if area.height < 4 {
        return;
    }
    let theme = cx.theme;
    let (done, all) = sweep.progress();
    let of = if sweep.of.is_empty() { String::new() } else { format!(" of {}", sweep.of) };
    let title = format!("accuracy over {}{of}, {} {} images a task", sweep.spec.label(), sweep::SAMPLES, sweep.data);
    let progress = if sweep.is_over() { String::new() } else { format!(" {done}/{all}") };
    let room = area.width.saturating_sub(text_width(&progress) as u16);
    line(cx, Rect { width: room, ..row(area, 0) }, &title, theme.accent);
    right(cx, row(area, 0), &progress, theme.dim);
    let foot = foot(sweep, model, area.width);
    let rows = (foot.len() as u16).min(area.height / 3).max(1);
    let chart = Rect { y: area.y + 1, height: area.height - 1 - rows, ..area };
    lines(model, sweep, chart, cx);
    let below = Rect { y: chart.bottom(), height: rows, ..area };
    if let Some(error) = &sweep.error {
        line(cx, row(below, 0), error, theme.error);
        return;
    }
    if let Some((value, mean)) = sweep.best().filter(|_| done >= SHAPE || sweep.is_over()) {
        let best = format!("best average {:.1} at {}={}", mean * 100.0, sweep.spec.label(), Value::Float(value));
        let used = spans(cx, row(below, 0), &[(&best, theme.ok)]);
        line(cx, from(row(below, 0), used), "   a applies it", theme.dim);
    }
    for (y, text) in foot.iter().skip(1).enumerate().take(usize::from(rows.saturating_sub(1))) {
        line(cx, row(below, y as u16 + 1), text, theme.text);
    }
}

/// Where each task is best: the first line is left for the average.
fn foot(sweep: &Sweep, model: &Model, width: u16) -> Vec<String> {
    let tasks = model.catalog.tasks.iter().enumerate().filter_map(|(at, task)| {
        sweep.best_for(at).map(|(value, _)| format!("{} at {}", task.id, Value::Float(value)))
    });
    let text = tasks.collect::<Vec<_>>().join(", ");
    let mut lines = vec![String::new()];
    if !text.is_empty() {
        lines.extend(wrap(&format!("best for {text}"), usize::from(width)));
    }
    lines
}

fn lines(model: &Model, sweep: &Sweep, area: Rect, cx: &mut Cx<'_>) {
    let x = match (sweep.points.first(), sweep.points.last()) {
        (Some(first), Some(last)) if last.value > first.value => (first.value, last.value),
        _ => return,
    };
    let known = || sweep.points.iter().filter(|point| !point.scores.is_empty());
    let tasks: Vec<Vec<(f64, f64)>> = (0..model.catalog.tasks.len())
        .map(|at| known().filter_map(|point| Some((point.value, point.scores.get(at)?.accuracy))).collect())
        .collect();
    let mean: Vec<(f64, f64)> =
        known().filter_map(|point| average(&point.scores).map(|(mean, _)| (point.value, mean))).collect();
    let marks = markers(cx.charset);
    // The names of the lines stand at the right, in the order of their ends.
    let names = model.catalog.tasks.iter().map(|task| text_width(&task.id)).max().unwrap_or(0) as u16 + 3;
    let names = if area.width > names + 30 { names } else { 0 };
    let chart = Rect { width: area.width - names, ..area };
    let everything = || tasks.iter().chain([&mean]).map(|points| &points[..]);
    // A sweep has no noise at its beginning: all points count.
    let y = range(everything(), (x.0, x.0));
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut series: Vec<Series<'_>> = tasks
        .iter()
        .enumerate()
        .map(|(at, points)| Series { points, style: cx.theme.series[at % 8], marker: marks[at % 8] })
        .collect();
    series.push(Series { points: &mean, style: cx.theme.text.patch(bold), marker: cx.symbol("★", "*") });
    let now = form::mean_of_part(&model.tune.setting, sweep.spec, sweep.part, model.catalog.groups.len());
    LineChart { series, x, y, x_title: sweep.spec.label(), mark: now }.draw(cx, chart);
    if names > 0 {
        let mut ends: Vec<(f64, usize)> =
            tasks.iter().enumerate().filter_map(|(at, points)| Some((points.last()?.1, at))).collect();
        ends.sort_by(|a, b| b.0.total_cmp(&a.0));
        let legend = from(area, area.width - names + 1);
        let star = cx.symbol("★ ", "* ");
        spans(cx, row(legend, 0), &[(star, cx.theme.text), ("average", cx.theme.text)]);
        for (y, (_, at)) in ends.iter().enumerate() {
            let style = cx.theme.series[at % 8];
            let name = &model.catalog.tasks[*at].id;
            spans(cx, row(legend, y as u16 + 1), &[(marks[at % 8], style), (" ", style), (name, style)]);
        }
    }
}
