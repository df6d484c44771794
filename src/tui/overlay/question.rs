//! A yes/no question before something that cannot be undone.

use super::{After, boxed};
use crate::tui::effect::Effect;
use crate::tui::hit::{Hit, Target};
use crate::tui::key::Chord;
use crate::tui::model::Model;
use crate::tui::view_cx::{Cx, text_width};
use crossterm::event::{KeyCode, MouseButton, MouseEventKind};
use ratatui::layout::Rect;

const LIST: &str = "question";

/// A question over the screen.
#[derive(Debug)]
pub struct Question {
    pub title: String,
    pub text: String,
    /// Called on yes; no and Escape only close it.
    pub yes: fn(&mut Model, &mut Vec<Effect>),
    /// It asks whether to quit: another Ctrl-C is a yes.
    pub is_quit: bool,
}

impl Question {
    #[must_use]
    pub fn new(title: impl Into<String>, text: impl Into<String>, yes: fn(&mut Model, &mut Vec<Effect>)) -> Self {
        Self { title: title.into(), text: text.into(), yes, is_quit: false }
    }

    pub(super) fn key(&self, chord: Chord, model: &mut Model, fx: &mut Vec<Effect>) -> After {
        match chord.code {
            KeyCode::Char('y' | 'Y') | KeyCode::Enter => self.agree(model, fx),
            KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc => After::Close,
            _ => After::Stay,
        }
    }

    pub(super) fn mouse(&self, hit: Hit, model: &mut Model, fx: &mut Vec<Effect>) -> After {
        match (hit.target, hit.kind) {
            (Target::Row { list: LIST, index: 0 }, MouseEventKind::Down(MouseButton::Left)) => self.agree(model, fx),
            (Target::Row { list: LIST, .. }, MouseEventKind::Down(MouseButton::Left)) => After::Close,
            _ => After::Stay,
        }
    }

    fn agree(&self, model: &mut Model, fx: &mut Vec<Effect>) -> After {
        (self.yes)(model, fx);
        After::Close
    }

    pub(super) fn view(&self, area: Rect, cx: &mut Cx<'_>) {
        let width = u16::try_from(text_width(&self.text).max(text_width(&self.title) + 6) + 4).unwrap_or(u16::MAX);
        let inner = boxed(cx, area, (width, 5), &self.title);
        cx.print(inner.x + 1, inner.y, inner.width.saturating_sub(2), &self.text, cx.theme.text);
        let y = inner.y + 2;
        if y >= inner.bottom() {
            return;
        }
        let mut x = inner.x + 1;
        for (index, (key, label)) in [("y", "yes"), ("n", "no")].into_iter().enumerate() {
            let start = x;
            x = cx.print(x, y, inner.right().saturating_sub(x), key, cx.theme.key) + 1;
            x = cx.print(x, y, inner.right().saturating_sub(x), label, cx.theme.text);
            cx.hits.add(Rect { x: start, y, width: x - start, height: 1 }, Target::Row { list: LIST, index });
            x += 3;
        }
    }
}
