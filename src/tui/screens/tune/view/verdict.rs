//! The comparison in words: which tasks are better and which are worse than with the pinned setting.

use crate::tui::model::Model;
use crate::tui::screens::tune::board::{Delta, Verdict, delta};
use crate::tui::screens::tune::remember::label;
use crate::tui::view_cx::Cx;
use crate::tui::widgets::text::{line, row, spans, wrap};
use ratatui::layout::Rect;

/// Differences below this share of 1 are not worth a word when they may be chance.
const WORTH_A_WORD: f64 = 0.005;

/// Tasks with a real difference and those whose difference may be chance, largest first.
struct Differences<'a> {
    better: Vec<(&'a str, Delta)>,
    worse: Vec<(&'a str, Delta)>,
    perhaps: Vec<(&'a str, Delta)>,
}

/// The last thing that the method behind the numbers on screen warned of.
fn warning(model: &Model) -> Option<&str> {
    let run = model.tune.current.and_then(|id| model.runs.get(id))?;
    run.log.iter().rfind(|line| line.level == "warn").map(|line| line.text.as_str())
}

fn differences(model: &Model) -> Option<Differences<'_>> {
    let (board, pinned) = (&model.tune.board, model.tune.pinned.as_ref()?);
    if pinned.board.data != board.data {
        return None;
    }
    let mut found = Differences { better: Vec::new(), worse: Vec::new(), perhaps: Vec::new() };
    for slot in board.slots.iter().filter(|slot| slot.fresh) {
        let Some(delta) = pinned.board.slot(&slot.task).and_then(|then| delta(slot, then)) else { continue };
        match delta.verdict {
            Verdict::Better => found.better.push((&slot.task, delta)),
            Verdict::Worse => found.worse.push((&slot.task, delta)),
            Verdict::Unclear if delta.by.abs() >= WORTH_A_WORD => found.perhaps.push((&slot.task, delta)),
            Verdict::Unclear => {}
        }
    }
    found.better.sort_by(|a, b| b.1.by.total_cmp(&a.1.by));
    found.worse.sort_by(|a, b| a.1.by.total_cmp(&b.1.by));
    found.perhaps.sort_by(|a, b| b.1.by.abs().total_cmp(&a.1.by.abs()));
    Some(found)
}

/// Draws up to three lines: what has to be known of the result, if anything, then how it compares.
pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    if let Some(shown) = model.tune.before_change() {
        let (name, label) = (shown.method.name, label(shown));
        let text = if label == name { format!("These are of {name}") } else { format!("These are of {name}, {label}") };
        for (y, text) in wrap(&text, usize::from(area.width)).iter().take(usize::from(area.height)).enumerate() {
            line(cx, row(area, y as u16), text, theme.dim);
        }
        return;
    }
    let warning = warning(model).map_or_else(Vec::new, |text| wrap(text, usize::from(area.width)));
    for (y, text) in warning.iter().take(usize::from(area.height)).enumerate() {
        line(cx, row(area, y as u16), text, theme.warn);
    }
    let used = (warning.len() as u16).min(area.height);
    let area = Rect { y: area.y + used, height: area.height - used, ..area };
    let Some(pinned) = &model.tune.pinned else { return };
    if pinned.setting == model.tune.setting {
        let then = if pinned.automatic { "the result you started from" } else { "the pinned result" };
        let arrows = cx.symbol("← →", "left/right");
        let text = format!("This is {then}: move the slider with {arrows} and compare.");
        for (y, text) in wrap(&text, usize::from(area.width)).iter().enumerate() {
            line(cx, row(area, y as u16), text, theme.dim);
        }
        return;
    }
    let Some(mut found) = differences(model) else {
        line(cx, row(area, 0), &format!("{} is being evaluated on this split", pinned.label), theme.dim);
        return;
    };
    let (now, then) = (label(&model.tune.setting), &pinned.label);
    let title =
        if now == *then { format!("{} vs {then}", model.tune.setting.method.name) } else { format!("{now} vs {then}") };
    // What may be chance is named only at the end: it would change with every batch.
    let all = model.tune.board.is_fresh() && model.tune.board.slots.iter().all(|slot| !slot.outcomes.is_empty());
    if !all {
        found.perhaps.clear();
    }
    let list = |tasks: &[(&str, Delta)]| {
        let names = tasks.iter().map(|(task, delta)| format!("{task} {:+.1}", delta.by * 100.0));
        names.collect::<Vec<_>>().join(", ").replace('-', "−")
    };
    if found.better.is_empty() && found.worse.is_empty() {
        let text = if all { "no difference beyond chance" } else { "no clear difference yet" };
        let lines = wrap(&format!("{title}: {text}"), usize::from(area.width));
        for (y, text) in lines.iter().take(usize::from(area.height)).enumerate() {
            line(cx, row(area, y as u16), text, theme.dim);
        }
        perhaps(&list(&found.perhaps), row(area, lines.len() as u16), cx);
        return;
    }
    let [up, down] = if cx.charset == crate::tui::view_cx::Charset::Ascii { ["+", "-"] } else { ["▲", "▼"] };
    let mut y = 0;
    if area.height > 2 {
        line(cx, row(area, 0), &title, theme.text);
        y = 1;
    }
    if !found.better.is_empty() {
        spans(cx, row(area, y), &[(up, theme.ok), (" better for ", theme.ok), (&list(&found.better), theme.text)]);
        y += 1;
    }
    if !found.worse.is_empty() {
        spans(
            cx,
            row(area, y),
            &[(down, theme.error), (" worse for ", theme.error), (&list(&found.worse), theme.text)],
        );
        y += 1;
    }
    perhaps(&list(&found.perhaps), row(area, y), cx);
}

/// Differences that more samples may confirm or undo.
fn perhaps(tasks: &str, area: Rect, cx: &mut Cx<'_>) {
    if !tasks.is_empty() {
        line(cx, area, &format!("perhaps {tasks}"), cx.theme.dim);
    }
}
