//! One run in detail: its chart, its table, how far it is, what was logged.

use crate::text::bytes;
use crate::tui::model::Model;
use crate::tui::runs::{RunState, RunView, label::UNSEEN};
use crate::tui::view_cx::{Cx, text_width};
use crate::tui::widgets::gauge;
use crate::tui::widgets::line_chart::{LineChart, Series, markers, range};
use crate::tui::widgets::text::{columns, from, line, right, row, seconds, wrap};
use ratatui::layout::Rect;

/// Accuracy over samples seen, one line a task.
pub fn chart(model: &Model, run: &RunView, area: Rect, cx: &mut Cx<'_>) {
    let known = |id: &str| model.catalog.task(id).map(|task| task.len(run.job.split) as u64);
    let totals = run.tasks.iter().filter_map(|task| task.score.map(|score| score.total).or_else(|| known(&task.task)));
    // Known from the start, so that the axis does not move under the lines.
    let x = (0.0, totals.max().unwrap_or(1).max(1) as f64);
    let y = range(run.tasks.iter().map(|task| &task.curve[..]), x);
    let marks = markers(cx.charset);
    let series = run.tasks.iter().enumerate().map(|(at, task)| {
        // The first few samples say nothing and would scribble over the left edge.
        let noise = task.curve.partition_point(|point| point.0 < x.1 / 40.0).min(task.curve.len().saturating_sub(1));
        Series { points: &task.curve[noise..], style: cx.theme.series[at % 8], marker: marks[at % 8] }
    });
    LineChart { series: series.collect(), x, y, x_title: "samples a task", mark: None }.draw(cx, area);
}

/// Widths of the table's columns after the name: accuracy, interval, loss, samples.
const WIDTHS: [u16; 4] = [7, 13, 7, 11];

/// Columns that the whole table takes.
pub fn table_width(run: &RunView) -> u16 {
    name_width(run) + WIDTHS.iter().sum::<u16>()
}

fn name_width(run: &RunView) -> u16 {
    // Unseen tasks have a mark behind their names.
    let mark = if run.has_unseen() { 2 } else { 0 };
    run.tasks.iter().map(|task| text_width(&task.task)).max().unwrap_or(0).clamp(7, 14) as u16 + 3 + mark
}

/// One row a task; its mark and colour are those of its line in the chart. Narrow areas lose columns from the right.
pub fn table(run: &RunView, area: Rect, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    let name = name_width(run).min(area.width);
    let marks = markers(cx.charset);
    let cells = |cx: &mut Cx<'_>, y: u16, texts: [&str; 4], style| {
        let mut x = name;
        for (text, width) in texts.iter().zip(WIDTHS) {
            if x + width <= area.width {
                right(cx, columns(row(area, y), x, width), text, style);
            }
            x += width;
        }
    };
    let (apart, unseen) = (run.has_unseen(), cx.symbol(UNSEEN.0, UNSEEN.1));
    line(cx, row(area, 0), "task", theme.dim);
    cells(cx, 0, ["acc", "95 %", "loss", "samples"], theme.dim);
    for (at, task) in run.tasks.iter().enumerate() {
        let y = at as u16 + 1;
        if y >= area.height {
            return;
        }
        line(cx, row(area, y), marks[at % 8], theme.series[at % 8]);
        let place = columns(row(area, y), 2, name.saturating_sub(3));
        let used = line(cx, place, &task.task, theme.text);
        if apart && !run.job.recipe.has_seen(&task.task) {
            line(cx, from(place, (used + 1).min(place.width.saturating_sub(1))), unseen, theme.warn);
        }
        let Some(score) = task.score else { continue };
        let accuracy = format!("{:.1}", score.accuracy * 100.0);
        let interval = format!("{:.1}..{:.1}", score.low * 100.0, score.high * 100.0);
        let loss =
            task.loss.filter(|loss| loss.is_finite()).map_or_else(|| "-".to_owned(), |loss| format!("{loss:.3}"));
        let samples = format!("{}/{}", score.seen, score.total);
        let style = if task.done || run.state == RunState::Done { theme.text } else { theme.accent };
        cells(cx, y, [&accuracy, &interval, &loss, &samples], style);
    }
    let over = |seen: bool| run.average_over(|task| run.job.recipe.has_seen(task) == seen);
    let mut averages = vec![(String::from("average"), run.average())];
    if apart {
        averages.push(("seen".to_owned(), over(true)));
        averages.push((format!("unseen {unseen}"), over(false)));
    }
    for (at, (title, mean)) in averages.iter().enumerate() {
        let y = (run.tasks.len() + 1 + at) as u16;
        let Some((mean, margin)) = mean.filter(|_| y < area.height) else { continue };
        line(cx, columns(row(area, y), 2, name.saturating_sub(2)), title, theme.accent);
        let interval = format!("{:.1}..{:.1}", (mean - margin) * 100.0, (mean + margin) * 100.0);
        cells(cx, y, [&format!("{:.1}", mean * 100.0), &interval, "", ""], theme.accent);
    }
}

/// Lines that [`progress`] takes.
pub fn progress_height(run: &RunView, area: Rect) -> u16 {
    match &run.state {
        RunState::Failed { error, hint } => {
            let width = usize::from(area.width.max(1));
            (wrap(error, width).len() + wrap(hint, width).len()).min(4) as u16
        }
        _ => 1 + u16::from(area.height > 12),
    }
}

/// Phase, gauge and time left of a run that goes on; how it ended otherwise.
pub fn progress(model: &Model, run: &RunView, area: Rect, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    if area.height == 0 {
        return;
    }
    match &run.state {
        RunState::Failed { error, hint } => {
            let width = usize::from(area.width);
            let lines = wrap(error, width).into_iter().map(|text| (text, theme.error));
            let hints = wrap(hint, width).into_iter().map(|text| (text, theme.warn));
            for (y, (text, style)) in lines.chain(hints).take(usize::from(area.height)).enumerate() {
                line(cx, row(area, y as u16), &text, style);
            }
            return;
        }
        RunState::Queued { position } => {
            let text = if *position == 0 {
                "next in the queue".to_owned()
            } else {
                format!("{position} before it in the queue")
            };
            line(cx, row(area, 0), &text, theme.dim);
        }
        RunState::Running | RunState::Cancelling => phase(run, row(area, 0), cx),
        RunState::Done => {
            line(cx, row(area, 0), &summary(run), theme.ok);
        }
        RunState::Cancelled => {
            line(cx, row(area, 0), "stopped before its end; the numbers are of what had been seen", theme.warn);
        }
    }
    if area.height > 1 {
        line(cx, row(area, 1), &facts(model, run), theme.dim);
    }
}

fn phase(run: &RunView, area: Rect, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    let Some(phase) = run.phases.last() else {
        line(cx, area, "starting", theme.text);
        return;
    };
    let name = if run.state == RunState::Cancelling { "stopping" } else { phase.name.as_str() };
    let used = line(cx, columns(area, 0, 10), name, theme.text).max(9) + 1;
    let tail_width = 30.min(area.width / 2);
    let track = columns(area, used, area.width.saturating_sub(used + tail_width));
    gauge::draw(cx, track, phase.share(), theme.accent);
    let left = phase.total.and_then(|total| phase.eta.left(total));
    let left = left.map_or_else(String::new, |left| format!("{} left", seconds(left)));
    let share = phase
        .share()
        .map_or_else(|| format!("{} {}", phase.done, phase.unit), |share| format!("{:.0} %", share * 100.0));
    line(cx, from(area, used + track.width + 1), &format!("{share:>5}  {left}"), theme.text);
}

fn summary(run: &RunView) -> String {
    let Some(report) = &run.report else { return "done".to_owned() };
    let part = if report.complete { "" } else { " (a part of the split)" };
    let part = if report.per_task.is_some() { format!("{part}, task known") } else { part.to_owned() };
    let part = report.generalization.as_ref().map_or(part.clone(), |both| {
        format!("{part}, {:.2} on seen and {:.2} on unseen tasks", both.seen * 100.0, both.unseen * 100.0)
    });
    if report.cached {
        return format!("done: {:.2} on average{part}, from cache", report.average * 100.0);
    }
    let (fused, evaluated) = (seconds(report.fuse_seconds), seconds(report.evaluate_seconds));
    let fused = fused + &report.fuse_memory.map_or_else(String::new, |most| format!(" and {}", bytes(most)));
    format!("done: {:.2} on average{part}; fused in {fused}, evaluated in {evaluated}", report.average * 100.0)
}

/// Speed, device, time, phases so far.
fn facts(model: &Model, run: &RunView) -> String {
    let mut parts = Vec::new();
    if let Some(speed) = run.images_per_second() {
        parts.push(format!("{speed:>5.0} images/s"));
    }
    if !run.device.is_empty() {
        parts.push(run.device.clone());
    }
    if let Some(elapsed) = run.elapsed(model.now) {
        parts.push(seconds(elapsed.as_secs_f64()));
    }
    let phases: Vec<&str> = run.phases.iter().map(|phase| phase.name.as_str()).collect();
    if !phases.is_empty() {
        parts.push(phases.join(" > "));
    }
    parts.join(" · ")
}

/// The newest log lines.
pub fn log(run: &RunView, area: Rect, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    line(cx, row(area, 0), if run.log.is_empty() { "no log lines" } else { "log" }, theme.dim);
    let room = usize::from(area.height.saturating_sub(1));
    let skip = run.log.len().saturating_sub(room);
    for (y, entry) in run.log.iter().skip(skip).enumerate() {
        let since = entry.at.saturating_sub(run.started.unwrap_or(run.submitted)).as_secs_f64();
        let style = match entry.level.to_ascii_lowercase().as_str() {
            "error" => theme.error,
            "warn" | "warning" => theme.warn,
            _ => theme.text,
        };
        line(cx, row(area, y as u16 + 1), &format!("{since:7.2}  {:<5} {}", entry.level, entry.text), style);
    }
}
