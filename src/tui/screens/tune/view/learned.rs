//! What a method learns while it does: the loss as it falls, and the table of coefficients as it forms.

use crate::fusion::Groups;
use crate::tui::model::Model;
use crate::tui::runs::{Learned, RunView};
use crate::tui::view_cx::{Charset, Cx};
use crate::tui::widgets::heatmap::Heatmap;
use crate::tui::widgets::routing;
use crate::tui::widgets::text::{from, line, row};
use ratatui::layout::Rect;

/// Rows beside those of the table: words, curve, a line of air.
const AROUND: u16 = 4;

/// Whether steps are still being taken: then nothing is known yet of the result.
pub fn goes_on(run: &RunView) -> bool {
    !run.state.is_over() && run.phases.last().is_some_and(|phase| phase.name == "adapt")
}

/// Rows that everything needs.
pub fn height(run: &RunView, learned: &Learned) -> u16 {
    let routers = run.routing.as_ref().filter(|_| learned.coefficients.is_empty());
    AROUND + routers.map_or(learned.coefficients.len() as u16 + 2, routing::height)
}

pub fn view(model: &Model, run: &RunView, learned: &Learned, area: Rect, cx: &mut Cx<'_>) {
    let theme = cx.theme;
    let (first, last) = (learned.losses.first(), learned.losses.last());
    let loss = first
        .zip(last)
        .map_or_else(String::new, |(first, last)| format!(" · loss {first:.3} {} {last:.3}", cx.symbol("→", "->")));
    let text = format!("step {} of {}{loss}", learned.step, learned.steps);
    let used = line(cx, row(area, 0), &text, theme.accent);
    let hint = if goes_on(run) {
        ". stops and keeps"
    } else if run.state.is_over() && !learned.masked && !learned.coefficients.is_empty() {
        "K keeps as sliders"
    } else {
        ""
    };
    // Beside the words, or else in the last row, which is air.
    let fits = used + 2 + hint.len() as u16 <= area.width;
    let place = if fits { from(row(area, 0), used + 2) } else { row(area, area.height.saturating_sub(1)) };
    line(cx, place, hint, theme.dim);
    sparkline(&learned.losses, row(area, 1), cx);
    let below = Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area };
    if learned.coefficients.is_empty() {
        return run.routing.iter().for_each(|asked| routing::view(asked, below, cx));
    }
    let all = || learned.coefficients.iter().flatten().copied().filter(|x| x.is_finite());
    let (low, high) = all().fold((0.0f64, 1.0f64), |(low, high), x| (low.min(x), high.max(x)));
    let blocks: Vec<String> = learned.blocks.iter().map(|name| Groups::short(name).to_owned()).collect();
    let map = Heatmap {
        name: "tune.learned",
        rows: &run.job.recipe.experts,
        columns: &blocks,
        values: &learned.coefficients,
        range: (low, high),
        selected: None,
    };
    let used = map.draw(below, cx);
    if !learned.exact {
        let what = if learned.masked {
            "what the mask leaves, means over a block"
        } else {
            "means over the tensors of a block"
        };
        let note = format!("{what}; {} experts", model.tune.setting.experts.len());
        line(cx, row(below, used), &note, theme.dim);
    }
}

/// The whole history in one row, as high as the cells allow: each cell the mean of its share of steps.
fn sparkline(losses: &[f64], area: Rect, cx: &mut Cx<'_>) {
    const LEVELS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    const ASCII: [&str; 8] = ["_", "_", ".", ".", "-", "-", "^", "^"];
    let glyphs = if cx.charset == Charset::Ascii { ASCII } else { LEVELS };
    let text: String = levels(losses, usize::from(area.width)).into_iter().map(|level| glyphs[level]).collect();
    line(cx, area, &text, cx.theme.accent);
}

/// Heights from 0 to 7, at most `width` of them.
fn levels(losses: &[f64], width: usize) -> Vec<usize> {
    let cells = losses.len().min(width);
    let mean = |cell: usize| {
        let part = &losses[cell * losses.len() / cells..(cell + 1) * losses.len() / cells];
        part.iter().sum::<f64>() / part.len() as f64
    };
    let means: Vec<f64> = (0..cells).map(mean).collect();
    let (low, high) = means.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(*x), h.max(*x)));
    let level = |x: &f64| if high > low { ((x - low) / (high - low) * 7.0).round() as usize } else { 0 };
    means.iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::levels;

    #[test]
    fn a_long_history_fits_a_narrow_row() {
        assert!(levels(&[], 10).is_empty());
        assert_eq!(levels(&[2.0], 10), [0]);
        assert_eq!(levels(&[8.0, 1.0, 1.0], 10), [7, 0, 0]);
        let falling: Vec<f64> = (0..100).map(|step| 100.0 - f64::from(step)).collect();
        assert_eq!(levels(&falling, 8), [7, 6, 5, 4, 3, 2, 1, 0]);
    }
}
