//! A one-line text field: an exact value, a filter, a file name.

use super::{After, boxed, line::Line};
use crate::tui::effect::Effect;
use crate::tui::key::Chord;
use crate::tui::model::Model;
use crate::tui::view_cx::{Cx, text_width};
use crossterm::event::KeyCode;
use ratatui::layout::Rect;

/// What happens with the text; an error is shown and leaves the field open.
pub type Done = fn(&mut Model, &str, &mut Vec<Effect>) -> Result<(), String>;

/// A one-line text field over the screen. Open it with `model.overlay = Some(Overlay::Entry(Entry::new(…)))`.
#[derive(Debug)]
pub struct Entry {
    pub title: String,
    /// What is expected, in one line: `0 to 2, or a list with one per expert`.
    pub hint: String,
    pub line: Line,
    pub error: Option<String>,
    /// Called on Enter.
    pub done: Done,
    /// Called after every change too, as a filter wants it; Escape then calls it with the text it began with.
    pub live: bool,
    pub before: String,
    /// Whether what is typed first takes the place of all that is there.
    pub replaces: bool,
}

impl Entry {
    #[must_use]
    pub fn new(title: impl Into<String>, hint: impl Into<String>, text: impl Into<String>, done: Done) -> Self {
        let text = text.into();
        let (title, hint) = (title.into(), hint.into());
        Self {
            title,
            hint,
            before: text.clone(),
            line: Line::new(text),
            error: None,
            done,
            live: false,
            replaces: false,
        }
    }

    /// Calls `done` after every change.
    #[must_use]
    pub fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// Typing begins anew, unless the cursor is moved or something deleted first.
    #[must_use]
    pub fn replacing(mut self) -> Self {
        self.replaces = true;
        self
    }

    pub(super) fn key(&mut self, chord: Chord, model: &mut Model, fx: &mut Vec<Effect>) -> After {
        match chord.code {
            KeyCode::Esc => self.dismiss(model, fx),
            KeyCode::Enter => match (self.done)(model, &self.line.text, fx) {
                Ok(()) => After::Close,
                Err(error) => {
                    self.error = Some(error);
                    After::Stay
                }
            },
            _ => {
                let typed = matches!(chord.code, KeyCode::Char(_)) && chord.modifiers.is_empty();
                if std::mem::take(&mut self.replaces) && typed {
                    self.line = Line::default();
                }
                if self.line.key(chord) == Some(true) {
                    self.changed(model, fx);
                }
                After::Stay
            }
        }
    }

    pub(super) fn paste(&mut self, text: &str, model: &mut Model, fx: &mut Vec<Effect>) {
        if std::mem::take(&mut self.replaces) {
            self.line = Line::default();
        }
        self.line.insert(text);
        self.changed(model, fx);
    }

    pub(super) fn dismiss(&mut self, model: &mut Model, fx: &mut Vec<Effect>) -> After {
        if self.live {
            // What was valid before is valid now.
            let _ = (self.done)(model, &self.before, fx);
        }
        After::Close
    }

    fn changed(&mut self, model: &mut Model, fx: &mut Vec<Effect>) {
        self.error = if self.live { (self.done)(model, &self.line.text, fx).err() } else { None };
    }

    pub(super) fn view(&self, area: Rect, cx: &mut Cx<'_>) {
        let wanted = text_width(&self.hint).max(text_width(&self.line.text) + 4).max(44) + 4;
        let inner = boxed(cx, area, (u16::try_from(wanted).unwrap_or(u16::MAX), 4), &self.title);
        let row = |y: u16| {
            Rect { x: inner.x + 1, y: inner.y + y, width: inner.width.saturating_sub(2), height: 1 }.intersection(inner)
        };
        let field = row(0);
        let end = cx.print(field.x, field.y, field.width, cx.symbol("› ", "> "), cx.theme.accent);
        self.line.view(
            Rect { x: end, width: field.right().saturating_sub(end), ..field },
            if self.replaces { cx.theme.selected } else { cx.theme.text },
            cx,
        );
        let below = row(1);
        if !below.is_empty() {
            let (text, style) = match &self.error {
                Some(error) => (error, cx.theme.error),
                None => (&self.hint, cx.theme.dim),
            };
            cx.print(below.x, below.y, below.width, text, style);
        }
    }
}
