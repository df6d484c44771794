//! The chosen cell in numbers.

use super::Look;
use crate::engine::inspect::{BlockMeasures, ExpertMeasures};
use crate::text::grouped;
use crate::tui::model::Model;
use crate::tui::view_cx::{Charset, Cx};
use crate::tui::widgets::text;
use ratatui::layout::Rect;

/// Lines that the details need below a map.
pub const LINES: u16 = 6;

/// Draws what is known of the cell: one sentence a line where there is room, else all in one.
pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    if area.is_empty() {
        return;
    }
    let facts = facts(model, cx.charset);
    let width = usize::from(area.width);
    if area.height == 1 {
        text::line(cx, area, &facts.join(", "), cx.theme.text);
        return;
    }
    let mut y = 0;
    for (at, fact) in facts.iter().enumerate() {
        for line in text::wrap(fact, width) {
            text::line(cx, text::row(area, y), &line, if at == 0 { cx.theme.accent } else { cx.theme.text });
            y += 1;
        }
    }
}

fn facts(model: &Model, charset: Charset) -> Vec<String> {
    let state = &model.inspect;
    let diff = &state.diff;
    let (row, column) = state.at;
    if state.look == Look::Cosine {
        let block = state.block.map_or(Some(&diff.whole), |at| diff.blocks.get(at));
        return angle(block, diff.experts.get(row), diff.experts.get(column), (row, column), charset);
    }
    let block = if row < diff.names.len() { diff.blocks.get(row) } else { Some(&diff.whole) };
    let name = diff.names.get(row).map_or("all blocks", String::as_str);
    let Some(block) = block.filter(|block| !block.experts.is_empty()) else {
        return vec![name.to_owned(), "not measured yet".to_owned()];
    };
    let size = format!("{} tensors, {} parameters", block.tensors, grouped(block.parameters as usize));
    if state.look == Look::Conflict {
        return vec![
            name.to_owned(),
            size,
            format!("{} of the weights that several experts changed are pulled both ways", percent(block.conflict)),
            format!("{} of the pairs of experts disagree about a weight", percent(block.pair_conflict)),
            format!("{} of all movement is lost in the sum of the task vectors", percent(block.cancelled)),
        ];
    }
    match (diff.experts.get(column), block.experts.get(column)) {
        (Some(expert), Some(measures)) => cell(name, expert, size, block, measures, charset),
        _ => vec![name.to_owned(), size],
    }
}

fn cell(
    name: &str,
    expert: &str,
    size: String,
    block: &BlockMeasures,
    measures: &ExpertMeasures,
    charset: Charset,
) -> Vec<String> {
    let ascii = charset == Charset::Ascii;
    let (step, base) = if ascii { ("task vector", "the base's") } else { ("‖τ‖", "‖θ₀‖") };
    let mut facts = vec![
        format!("{expert}, {name}"),
        format!("{step} {:.3}, {} of {base} {:.2}", measures.norm, percent(measures.relative), block.base_norm),
        format!("cosine to the base {:.4}", measures.cosine_to_base),
        format!("{} of the weights changed", percent(measures.changed)),
    ];
    if let Some(rank) = measures.rank {
        let about = if rank.estimated { "about " } else { "" };
        facts.push(match rank.share() {
            Some(share) => format!("effective rank {about}{:.0} of {:.0} ({})", rank.rank, rank.full, percent(share)),
            None => "no matrices, so no rank".to_owned(),
        });
    }
    facts.push(size);
    facts
}

fn angle(
    block: Option<&BlockMeasures>,
    a: Option<&String>,
    b: Option<&String>,
    (row, column): (usize, usize),
    charset: Charset,
) -> Vec<String> {
    let (Some(a), Some(b)) = (a, b) else { return vec!["not measured yet".to_owned()] };
    let Some(&cosine) = block.and_then(|block| block.cosine.get(row)?.get(column)) else {
        return vec![format!("{a} and {b}"), "not measured yet".to_owned()];
    };
    let degree = if charset == Charset::Ascii { " degrees" } else { "°" };
    let words = match cosine {
        _ if row == column => "the same task vector",
        c if c > 0.5 => "much in common: merging them keeps both",
        c if c > 0.1 => "something in common",
        c if c >= -0.1 => "nearly independent",
        _ => "against each other: their sum loses",
    };
    vec![
        format!("{a} and {b}"),
        format!("cosine {cosine:.4}, {:.1}{degree}", cosine.acos().to_degrees()),
        words.to_owned(),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
