//! A list to choose from, narrowed by typing: the palette, the themes, anything with more than a few entries.

use super::{After, boxed, line::Line};
use crate::tui::effect::Effect;
use crate::tui::hit::{Hit, Target};
use crate::tui::key::Chord;
use crate::tui::model::Model;
use crate::tui::view_cx::{Cx, text_width};
use crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEventKind};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use ratatui::layout::Rect;

const LIST: &str = "menu";
const WIDTH: u16 = 76;

/// One entry.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub label: String,
    pub detail: String,
    /// Shown at the right edge.
    pub keys: String,
    /// Searched, not shown.
    pub aliases: String,
    /// Why it cannot be chosen.
    pub disabled: Option<String>,
}

/// A list with a filter. Rows are known by their position in the order they were added.
#[derive(Debug)]
pub struct Menu {
    pub title: String,
    rows: Vec<Row>,
    query: Line,
    /// Positions of the rows that match, best first.
    matching: Vec<usize>,
    /// Which of the matching is chosen.
    at: usize,
    /// Where it stood when it was opened, for taking a preview back.
    first: usize,
    /// Called with the chosen row.
    done: fn(&mut Model, usize, &mut Vec<Effect>),
    /// Called while moving through the list, as long as nothing is chosen.
    pub preview: Option<fn(&mut Model, usize)>,
}

impl Menu {
    #[must_use]
    pub fn new(title: impl Into<String>, done: fn(&mut Model, usize, &mut Vec<Effect>)) -> Self {
        Self {
            title: title.into(),
            rows: Vec::new(),
            query: Line::default(),
            matching: Vec::new(),
            at: 0,
            first: 0,
            done,
            preview: None,
        }
    }

    /// Appends a row; gives it for further settings.
    pub fn add(&mut self, label: impl Into<String>, detail: impl Into<String>) -> &mut Row {
        self.matching.push(self.rows.len());
        self.rows.push(Row { label: label.into(), detail: detail.into(), ..Row::default() });
        let last = self.rows.len() - 1;
        &mut self.rows[last]
    }

    /// Chooses the row that the menu opens with.
    pub fn select(&mut self, row: usize) {
        self.at = self.matching.iter().position(|&other| other == row).unwrap_or(0);
        self.first = row;
    }

    /// The rows that match what was typed, best first.
    pub fn shown(&self) -> impl Iterator<Item = &Row> {
        self.matching.iter().map(|&at| &self.rows[at])
    }

    pub(super) fn key(&mut self, chord: Chord, model: &mut Model, fx: &mut Vec<Effect>) -> After {
        let control = chord.modifiers.contains(KeyModifiers::CONTROL);
        match chord.code {
            KeyCode::Esc => self.dismiss(model, fx),
            KeyCode::Enter => self.choose(model, fx),
            KeyCode::Up | KeyCode::BackTab => self.step(-1, model),
            KeyCode::Down | KeyCode::Tab => self.step(1, model),
            KeyCode::Char('p') if control => self.step(-1, model),
            KeyCode::Char('n') if control => self.step(1, model),
            KeyCode::PageUp => self.step(-10, model),
            KeyCode::PageDown => self.step(10, model),
            _ => {
                if self.query.key(chord) == Some(true) {
                    self.search(model);
                }
                After::Stay
            }
        }
    }

    pub(super) fn paste(&mut self, text: &str, model: &mut Model) {
        self.query.insert(text);
        self.search(model);
    }

    pub(super) fn mouse(&mut self, hit: Hit, model: &mut Model, fx: &mut Vec<Effect>) -> After {
        if let Some(step) = hit.wheel() {
            return self.step(step, model);
        }
        match (hit.target, hit.kind) {
            (Target::Row { list: LIST, index }, MouseEventKind::Down(MouseButton::Left)) => {
                self.at = index;
                self.choose(model, fx)
            }
            (Target::Row { list: LIST, .. } | Target::Pane(LIST), _) => After::Stay,
            (_, MouseEventKind::Down(_)) => self.dismiss(model, fx),
            _ => After::Stay,
        }
    }

    pub(super) fn dismiss(&mut self, model: &mut Model, _fx: &mut Vec<Effect>) -> After {
        if let Some(preview) = self.preview {
            preview(model, self.first);
        }
        After::Close
    }

    fn choose(&mut self, model: &mut Model, fx: &mut Vec<Effect>) -> After {
        let Some(&row) = self.matching.get(self.at) else { return After::Stay };
        if let Some(reason) = &self.rows[row].disabled {
            model.say(format!("{}: {reason}", self.rows[row].label), true);
            return After::Stay;
        }
        (self.done)(model, row, fx);
        After::Close
    }

    fn step(&mut self, step: isize, model: &mut Model) -> After {
        let last = self.matching.len().saturating_sub(1);
        // One step wraps around, a page stops at the end.
        self.at = match step {
            -1 if self.at == 0 => last,
            1 if self.at == last => 0,
            _ => self.at.saturating_add_signed(step).min(last),
        };
        self.show(model);
        After::Stay
    }

    fn show(&self, model: &mut Model) {
        if let (Some(preview), Some(&row)) = (self.preview, self.matching.get(self.at)) {
            preview(model, row);
        }
    }

    fn search(&mut self, model: &mut Model) {
        let pattern = Pattern::parse(&self.query.text, CaseMatching::Ignore, Normalization::Smart);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut buffer = Vec::new();
        let mut score = |text: &str| pattern.score(Utf32Str::new(text, &mut buffer), &mut matcher);
        let mut found: Vec<(u32, usize)> = Vec::new();
        for (at, row) in self.rows.iter().enumerate() {
            // A match in the name counts for more than one in the explanation.
            let name = score(&row.label).map(|score| score * 3);
            let rest = score(&format!("{} {} {}", row.label, row.detail, row.aliases));
            if let Some(best) = name.max(rest) {
                found.push((best, at));
            }
        }
        found.sort_by_key(|&(score, at)| (std::cmp::Reverse(score), self.rows[at].disabled.is_some(), at));
        self.matching = found.into_iter().map(|(_, at)| at).collect();
        self.at = 0;
        self.show(model);
    }

    pub(super) fn view(&self, area: Rect, cx: &mut Cx<'_>) {
        let rows = u16::try_from(self.rows.len()).unwrap_or(u16::MAX).min(16);
        let inner = boxed(cx, area, (WIDTH, rows.saturating_add(4)), &self.title);
        cx.hits.add(inner, Target::Pane(LIST));
        let field =
            Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), height: 1, y: inner.y }.intersection(inner);
        if field.is_empty() {
            return;
        }
        let count = format!("{}/{}", self.matching.len(), self.rows.len());
        cx.print_right(field.x, field.y, field.width, &count, cx.theme.dim);
        let end = cx.print(field.x, field.y, field.width, cx.symbol("› ", "> "), cx.theme.accent);
        let room = field.right().saturating_sub(end).saturating_sub(u16::try_from(count.len()).unwrap_or(0) + 1);
        self.query.view(Rect { x: end, width: room, ..field }, cx.theme.text, cx);
        let list = Rect { y: inner.y + 2, height: inner.height.saturating_sub(2), ..inner };
        if self.matching.is_empty() && list.height > 0 {
            cx.print(list.x + 1, list.y, list.width.saturating_sub(2), "nothing matches", cx.theme.dim);
        }
        let labels =
            self.rows.iter().map(|row| text_width(&row.label)).max().unwrap_or(0).min(usize::from(list.width) / 2);
        let height = usize::from(list.height);
        let top = (self.at + 1).saturating_sub(height);
        for (line, at) in (top..self.matching.len()).take(height).enumerate() {
            let y = list.y + u16::try_from(line).unwrap_or(0);
            self.row(Rect { y, height: 1, ..list }, at, labels, cx);
        }
    }

    fn row(&self, area: Rect, at: usize, labels: usize, cx: &mut Cx<'_>) {
        let row = &self.rows[self.matching[at]];
        let selected = at == self.at;
        if selected {
            cx.style(area, cx.theme.selected);
            cx.print(area.x, area.y, 1, cx.symbol("▸", ">"), cx.theme.selected);
        }
        let style = |usual| if selected { cx.theme.selected } else { usual };
        let (label, dim, key) = if row.disabled.is_some() {
            (style(cx.theme.dim), style(cx.theme.dim), style(cx.theme.dim))
        } else {
            (style(cx.theme.text), style(cx.theme.dim), style(cx.theme.key))
        };
        let x = area.x + 1;
        let width = area.width.saturating_sub(2);
        let keys = u16::try_from(text_width(&row.keys)).unwrap_or(0).min(width);
        cx.print_right(x, area.y, width, &row.keys, key);
        let left = width.saturating_sub(keys + 1);
        let labels = u16::try_from(labels).unwrap_or(0).min(left);
        cx.print(x, area.y, labels, &row.label, label);
        let detail = row.disabled.as_ref().map_or_else(|| row.detail.clone(), |reason| format!("({reason})"));
        cx.print(x + labels + 2, area.y, left.saturating_sub(labels + 2), &detail, dim);
        cx.hits.add(area, Target::Row { list: LIST, index: at });
    }
}
