//! The bars: every task's accuracy so far, with its interval, beside base, own expert and pinned result.

use super::verdict;
use crate::engine::{FITTED, TRANSDUCTIVE, is_fitted};
use crate::tasks::Split;
use crate::text::bytes;
use crate::tui::catalog::Recorded;
use crate::tui::model::Model;
use crate::tui::runs::{
    RunState, RunView,
    label::{TUNED_ON_TEST, UNSEEN, on},
};
use crate::tui::screens::tune::board::{Delta, Slot, Verdict, average_delta, delta, recovered};
use crate::tui::screens::tune::{form, jobs};
use crate::tui::view_cx::{Charset, Cx, text_width};
use crate::tui::widgets::bars::{Bar, marks, scale};
use crate::tui::widgets::spinner;
use crate::tui::widgets::text::{columns, from, line, right, row, seconds, spans};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Columns of `81.3 ±1.2`.
const NUMBER: u16 = 10;
/// Columns of ` ▲+12.3`, and of `vs λ=0.3`.
const DELTA: u16 = 9;

/// What the pane is called: the split, whether it has been used for tuning, and whether tasks have models of their own.
pub fn title(model: &Model) -> String {
    let (data, setting) = (model.tune.data(), &model.tune.setting);
    if model.tune.before_change().is_some() {
        return format!("{} · before the change", on(data));
    }
    let marks = [
        setting.tuned_on_test.then_some(TUNED_ON_TEST),
        setting.method.is_transductive(&setting.params).then_some(TRANSDUCTIVE),
        is_fitted(setting.method, &setting.params, data.split).then_some(FITTED),
        setting.method.is_per_task().then_some("one model per task"),
    ];
    let marks: String = marks.into_iter().flatten().map(|mark| format!(" · {mark}")).collect();
    format!("{}{marks}", on(data))
}

/// Where the parts of a row are.
struct Columns {
    name: Rect,
    bar: Rect,
    number: Rect,
    delta: Rect,
}

impl Columns {
    fn of(model: &Model, area: Rect) -> Self {
        let longest = model.tune.board.slots.iter().map(|slot| text_width(&slot.task)).max().unwrap_or(0);
        // Unseen tasks have a mark behind their names.
        let mark = if apart(model) { 2 } else { 0 };
        let name = ((longest as u16).clamp(7, 12) + mark).min(area.width / 4);
        let delta = if area.width >= 40 { DELTA } else { 0 };
        let number = if area.width >= 30 { NUMBER } else { 5 };
        let bar = area.width.saturating_sub(name + 1 + number + delta);
        Self {
            name: columns(area, 0, name),
            bar: columns(area, name + 1, bar),
            number: columns(area, name + 1 + bar, number),
            delta: columns(area, name + 1 + bar + number, delta),
        }
    }

    fn at(&self, y: u16) -> Self {
        let moved = |area: Rect| Rect { y, height: 1, ..area };
        Self { name: moved(self.name), bar: moved(self.bar), number: moved(self.number), delta: moved(self.delta) }
    }
}

/// Whether experts of some tasks are in the recipe, and those of others are not.
fn apart(model: &Model) -> bool {
    let seen = |slot: &Slot| model.tune.setting.has_seen(&slot.task);
    model.tune.board.slots.iter().any(seen) && !model.tune.board.slots.iter().all(seen)
}

/// What is not in sight beside the bars.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hidden {
    /// The form: then the slider under the cursor is shown here.
    pub form: bool,
    /// What was learned: then it is said how to see it.
    pub learned: bool,
}

/// Draws all of it.
pub fn view(model: &Model, area: Rect, hidden: Hidden, cx: &mut Cx<'_>) {
    let tasks = model.tune.board.slots.len() as u16;
    // What is shown, by importance: bars, status, the slider where the form is not in sight, the averages of seen and
    // unseen tasks, words, scale, legend, air.
    let mut room = area.height.saturating_sub(tasks + 2);
    let mut take = |rows: u16| {
        let taken = rows.min(room);
        room -= taken;
        taken
    };
    let slider = if hidden.form { take(1) } else { 0 };
    let two_averages = if apart(model) { take(1) } else { 0 };
    let words = take(2);
    let head = take(1);
    let gap = take(1);
    let legend = take(1);
    let words = words + take(1);
    let air = take(2);
    let each = 1 + (room / (tasks + 1).max(1)).min(2);

    let parts = Columns::of(model, area);
    let mut y = area.y;
    if slider > 0 {
        small_slider(model, row(area, 0), cx);
        y += 1;
    }
    if head > 0 && y < area.bottom() {
        header(model, &parts.at(y), cx);
        y += 1;
    }
    if y < area.bottom() {
        average(model, &parts.at(y), cx);
        y += 1;
    }
    if two_averages > 0 && y < area.bottom() {
        seen_and_unseen(model, Rect { y, height: 1, ..area }, cx);
        y += 1;
    }
    if gap > 0 {
        gap_line(model, Rect { y, height: 1, ..from(area, parts.bar.x - area.x) }, cx);
        y += 1;
    }
    y += air.min(1);
    for slot in &model.tune.board.slots {
        if y >= area.bottom() {
            break;
        }
        task(model, slot, &parts.at(y), cx);
        if each > 1 && y + 1 < area.bottom() {
            details(model, slot, Rect { y: y + 1, height: 1, ..from(area, parts.bar.x - area.x) }, cx);
        }
        y += each;
    }
    y += air.saturating_sub(1);
    let rest = Rect { y, height: area.bottom().saturating_sub(y), ..area };
    verdict::view(model, Rect { height: words.min(rest.height.saturating_sub(1 + legend)), ..rest }, cx);
    if legend > 0 && rest.height >= 2 {
        legend_line(model, row(rest, rest.height - 2), cx);
    }
    if rest.height > 0 {
        status(model, row(rest, rest.height - 1), hidden.learned, cx);
    }
}

/// The slider under the cursor, where only the results are in sight: it can be moved all the same.
fn small_slider(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let (setting, theme) = (&model.tune.setting, cx.theme);
    let Some((kind, spec)) = model.tune.focused_spec() else {
        spans(cx, area, &[("method ", theme.dim), (setting.method.name, theme.accent)]);
        return;
    };
    let used = line(cx, area, spec.label(), theme.accent) + 1;
    let value = setting.params.get(spec.name);
    let text = match form::slider(setting, kind, spec, model.tune.block) {
        Some(slider) => {
            let track = columns(area, used, area.width.saturating_sub(used + 7));
            slider.draw(cx, track, true);
            cx.hits.add(track, crate::tui::hit::Target::Slider { index: model.tune.focus });
            crate::params::Value::Float((slider.value * 1000.0).round() / 1000.0).to_string()
        }
        None => value.map(ToString::to_string).unwrap_or_default(),
    };
    right(cx, area, &text, theme.accent);
}

fn header(model: &Model, at: &Columns, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    scale(cx, at.bar);
    right(cx, at.number, "accuracy", theme.dim);
    if let Some(pinned) = &model.tune.pinned {
        let text = crate::tui::view_cx::fit(&format!("vs {}", pinned.label), usize::from(at.delta.width), "");
        right(cx, at.delta, &text, theme.dim);
    }
}

fn accuracy_text(accuracy: f64, margin: f64, width: u16) -> String {
    if width < NUMBER {
        format!("{:.1}", accuracy * 100.0)
    } else {
        format!("{:.1} ±{:>3.1}", accuracy * 100.0, margin * 100.0)
    }
}

/// The difference with an arrow and a colour where it is real, plain where it may be chance.
fn draw_delta(delta: Option<Delta>, old: bool, area: Rect, cx: &mut Cx<'_>) {
    let Some(delta) = delta.filter(|_| area.width > 0) else { return };
    let ascii = cx.charset == Charset::Ascii;
    let (arrow, style) = match delta.verdict {
        Verdict::Better => (if ascii { "^" } else { "▲" }, cx.theme.ok),
        Verdict::Worse => (if ascii { "v" } else { "▼" }, cx.theme.error),
        Verdict::Unclear => (" ", cx.theme.dim),
    };
    let sign = if delta.by < -0.0005 { cx.symbol("−", "-") } else { "+" };
    let text = format!("{arrow}{sign}{:.1}", delta.by.abs() * 100.0);
    right(cx, area, &text, if old { cx.theme.dim } else { style });
}

fn task(model: &Model, slot: &Slot, at: &Columns, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    let recorded = recorded(model, &slot.task);
    let then = pinned_slot(model, &slot.task);
    let style = if slot.fresh { theme.text } else { theme.dim };
    let used = line(cx, at.name, &slot.task, if slot.score.is_some() { style } else { theme.dim });
    if apart(model) && !model.tune.setting.has_seen(&slot.task) {
        let mark = cx.symbol(UNSEEN.0, UNSEEN.1);
        line(cx, from(at.name, (used + 1).min(at.name.width.saturating_sub(1))), mark, theme.warn);
    }
    let bar = Bar {
        value: slot.score.map(|score| (score.accuracy, score.low, score.high)),
        base: recorded.base,
        expert: recorded.expert,
        pinned: then.and_then(|then| then.score).map(|score| score.accuracy),
    };
    bar.draw(cx, at.bar, if slot.fresh { theme.accent } else { theme.dim });
    if let Some(score) = slot.score {
        right(cx, at.number, &accuracy_text(score.accuracy, score.margin(), at.number.width), style);
    }
    draw_delta(then.and_then(|then| delta(slot, then)), !slot.fresh, at.delta, cx);
}

/// The pinned result's bar of a task; nothing where it is the very result on screen, or of another split.
fn pinned_slot<'a>(model: &'a Model, task: &str) -> Option<&'a Slot> {
    let tune = &model.tune;
    let pinned = tune.pinned.as_ref()?;
    let comparable = pinned.board.data == tune.board.data && pinned.setting != tune.setting;
    pinned.board.slot(task).filter(|_| comparable)
}

/// Recorded accuracies of base and expert; nothing for corrupted images, on which nobody has evaluated them.
fn recorded(model: &Model, task: &str) -> Recorded {
    let data = model.tune.board.data;
    if data.corruption.is_some() { Recorded::default() } else { model.catalog.recorded(task, data.split) }
}

/// Recorded accuracies averaged over all tasks: base and experts.
fn recorded_average(model: &Model) -> Option<(f64, f64)> {
    let all: Option<Vec<(f64, f64)>> = model
        .catalog
        .tasks
        .iter()
        .map(|task| recorded(model, &task.id))
        .map(|recorded| recorded.base.zip(recorded.expert))
        .collect();
    let all = all.filter(|all| !all.is_empty())?;
    let n = all.len() as f64;
    Some((all.iter().map(|pair| pair.0).sum::<f64>() / n, all.iter().map(|pair| pair.1).sum::<f64>() / n))
}

fn average(model: &Model, at: &Columns, cx: &mut Cx<'_>) {
    let (tune, theme) = (&model.tune, cx.theme);
    let fresh = tune.board.is_fresh();
    let style = if fresh { theme.accent } else { theme.dim };
    line(cx, at.name, "average", style);
    let (mean, recorded) = (tune.board.average(), recorded_average(model));
    let comparable =
        tune.pinned.as_ref().filter(|pinned| pinned.board.data == tune.board.data && pinned.setting != tune.setting);
    let bar = Bar {
        value: mean.map(|(mean, margin)| (mean, mean - margin, mean + margin)),
        base: recorded.map(|pair| pair.0),
        expert: recorded.map(|pair| pair.1),
        pinned: comparable.and_then(|pinned| pinned.board.average()).map(|pair| pair.0),
    };
    bar.draw(cx, at.bar, style);
    if let Some((mean, margin)) = mean {
        right(cx, at.number, &accuracy_text(mean, margin, at.number.width), style);
    }
    draw_delta(comparable.and_then(|pinned| average_delta(&tune.board, &pinned.board)), !fresh, at.delta, cx);
}

/// The averages over tasks whose expert was merged and over the others.
fn seen_and_unseen(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let (tune, theme) = (&model.tune, cx.theme);
    let style = if tune.board.is_fresh() { theme.text } else { theme.dim };
    let mean = |seen: bool| {
        let mean = tune.board.average_over(|task| tune.setting.has_seen(task) == seen);
        mean.map_or_else(|| "-".to_owned(), |(mean, margin)| accuracy_text(mean, margin, NUMBER))
    };
    let (seen, unseen) = (mean(true), mean(false));
    let mark = cx.symbol(UNSEEN.0, UNSEEN.1);
    let pieces = [
        ("seen ", theme.dim),
        (&seen, style),
        ("   ", style),
        (mark, theme.warn),
        (" unseen ", theme.dim),
        (&unseen, style),
    ];
    spans(cx, area, &pieces);
}

fn gap_line(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    let style = if model.tune.board.is_fresh() { theme.text } else { theme.dim };
    let share = model.tune.board.average().zip(recorded_average(model));
    let Some(share) = share.and_then(|((mean, _), (base, expert))| recovered(mean, base, expert)) else { return };
    let arrow = cx.symbol("→", "->");
    let text = format!("{:>3.0} %", share * 100.0);
    let of = if area.width >= 46 {
        format!(" of the gap base {arrow} experts recovered")
    } else {
        format!(" of base {arrow} experts")
    };
    spans(cx, area, &[(&text, style), (&of, theme.dim)]);
}

/// The numbers behind the marks, where there is a second line a task.
fn details(model: &Model, slot: &Slot, area: Rect, cx: &mut Cx<'_>) {
    let recorded = recorded(model, &slot.task);
    let dim = cx.theme.dim;
    let percent = |x: Option<f64>| x.map_or_else(|| "  - ".to_owned(), |x| format!("{:4.1}", x * 100.0));
    let (base, expert) = (percent(recorded.base), percent(recorded.expert));
    // Nothing here changes while samples come in: a live frame stays small.
    spans(cx, area, &[("base ", dim), (&base, cx.theme.base), ("  own expert ", dim), (&expert, cx.theme.expert)]);
}

fn legend_line(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    let [base, expert, pinned] = marks(cx.charset);
    let mut pieces = Vec::new();
    // Of corrupted images nobody's scores are recorded.
    if model.tune.corruption.is_none() {
        pieces.extend([
            (base, theme.base),
            (" base  ", theme.dim),
            (expert, theme.expert),
            (" own expert  ", theme.dim),
        ]);
    }
    if apart(model) {
        pieces.push((cx.symbol(UNSEEN.0, UNSEEN.1), theme.warn));
        pieces.push((" unseen  ", theme.dim));
    }
    let text = model.tune.pinned.as_ref().map(|pin| format!(" {}", pin.label));
    if let Some(text) = &text {
        pieces.push((pinned, theme.pinned));
        pieces.push((text, theme.dim));
    }
    spans(cx, area, &pieces);
}

/// One line about the preview: how far, how fast, where; or what is wrong. `more`: there is something that can be shown.
fn status(model: &Model, area: Rect, more: bool, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    if let Err(reason) = jobs::check(model, &model.tune.setting) {
        line(cx, area, &reason, theme.error);
        return;
    }
    if model.tune.waits {
        line(cx, area, "press enter to start: this change takes a while", theme.warn);
        return;
    }
    let Some(run) = model.tune.current.and_then(|id| model.runs.get(id)) else { return };
    let mut area = area;
    if more {
        let hint = "i: what was learned";
        right(cx, area, hint, theme.accent);
        area.width = area.width.saturating_sub(hint.len() as u16 + 1);
    }
    let warn = model.tune.split == Split::Test && model.tune.setting.tuned_on_test;
    let mut used = match &run.state {
        RunState::Failed { error, hint } => {
            let text = if hint.is_empty() { error.clone() } else { format!("{error}: {hint}") };
            line(cx, area, &text, theme.error);
            return;
        }
        RunState::Cancelled => line(cx, area, "stopped ", theme.warn),
        RunState::Done => {
            let mark = cx.symbol("✓ ", "ok ");
            line(cx, area, mark, theme.ok)
        }
        RunState::Queued { .. } | RunState::Running | RunState::Cancelling => {
            let glyph = spinner::glyph(model.now, cx.charset);
            line(cx, area, glyph, theme.accent) + 1
        }
    };
    let style: Style = if run.state == RunState::Done { theme.dim } else { theme.text };
    used += line(cx, from(area, used), &progress(run, model), style);
    if warn {
        line(cx, from(area, used + 1), TUNED_ON_TEST, theme.warn);
    }
}

fn progress(run: &RunView, model: &Model) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(fused) = fuse_seconds(run) {
        let memory = run.report.as_ref().and_then(|report| report.fuse_memory);
        let memory = memory.map_or_else(String::new, |most| format!(" in {}", bytes(most)));
        parts.push(format!("fused {}{memory}", seconds(fused)));
    }
    let (seen, total) = run.seen();
    match &run.report {
        Some(report) if report.cached => parts.push(format!("{total} images, from cache")),
        Some(report) => parts.push(format!("{total} images in {}", seconds(report.evaluate_seconds))),
        None if total > 0 => {
            // Tasks of which nothing was seen yet count as well.
            let all: usize =
                run.job.tasks.iter().filter_map(|id| model.catalog.task(id)).map(|task| task.len(run.job.split)).sum();
            parts.push(format!("{seen:>5}/{} images", (all as u64).max(total)));
        }
        None => parts.push(run.phases.last().map_or_else(|| run.state.word().to_owned(), |phase| phase.name.clone())),
    }
    if let Some(speed) = run.images_per_second() {
        parts.push(format!("{speed:>4.0}/s"));
    }
    if let Some(models) = run.report.as_ref().and_then(|report| report.per_task.as_ref()) {
        parts.push(format!("{:.0} % of the experts' bytes", 100.0 * models.storage.share()));
    }
    if !run.device.is_empty() {
        parts.push(run.device.clone());
    }
    parts.join(" · ")
}

/// How long fusing took, and whatever the method did for it: as reported, or else the time until it was evaluated.
fn fuse_seconds(run: &RunView) -> Option<f64> {
    if let Some(report) = &run.report {
        return (!report.cached).then_some(report.fuse_seconds);
    }
    let began = |name: &str| run.phases.iter().find(|phase| phase.name == name).map(|phase| phase.began);
    Some(began("evaluate")?.saturating_sub(began("fuse")?).as_secs_f64())
}
