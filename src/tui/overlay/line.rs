//! One line of text being typed.

use crate::tui::key::Chord;
use crate::tui::view_cx::{Cx, text_width};
use crossterm::event::{KeyCode, KeyModifiers};
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

/// A text with a cursor in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    /// In characters.
    pub cursor: usize,
}

impl Line {
    #[must_use]
    pub fn new(text: String) -> Self {
        Self { cursor: text.chars().count(), text }
    }

    /// Applies an editing key; says whether it was one, and whether the text changed.
    pub fn key(&mut self, chord: Chord) -> Option<bool> {
        let before = self.text.clone();
        let length = self.text.chars().count();
        let control = chord.modifiers == KeyModifiers::CONTROL;
        match chord.code {
            KeyCode::Char('u') if control => self.cut(0, self.cursor),
            KeyCode::Char('k') if control => self.cut(self.cursor, length),
            KeyCode::Char('w') if control => self.cut(self.word_start(), self.cursor),
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = length,
            KeyCode::Char(c) if chord.modifiers.is_empty() => self.insert(&c.to_string()),
            KeyCode::Backspace => self.cut(self.cursor.saturating_sub(1), self.cursor),
            KeyCode::Delete => self.cut(self.cursor, (self.cursor + 1).min(length)),
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(length),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = length,
            _ => return None,
        }
        Some(self.text != before)
    }

    /// Inserts at the cursor.
    pub fn insert(&mut self, text: &str) {
        let at = self.byte(self.cursor);
        self.text.insert_str(at, text);
        self.cursor += text.chars().count();
    }

    /// Draws the text, scrolled so that the cursor is visible, and places the cursor.
    pub fn view(&self, area: Rect, style: Style, cx: &mut Cx<'_>) {
        if area.is_empty() {
            return;
        }
        let room = usize::from(area.width).saturating_sub(1);
        let chars: Vec<char> = self.text.chars().collect();
        let width = |from: usize| text_width(&chars[from..self.cursor].iter().collect::<String>());
        let start = (0..=self.cursor).find(|&from| width(from) <= room).unwrap_or(self.cursor);
        let visible: String = chars[start..].iter().collect();
        cx.print(area.x, area.y, area.width, &visible, style);
        let x = area.x + u16::try_from(width(start)).unwrap_or(0);
        cx.cursor = Some(Position { x, y: area.y });
    }

    fn cut(&mut self, from: usize, to: usize) {
        let range = self.byte(from)..self.byte(to);
        self.text.replace_range(range, "");
        self.cursor = from;
    }

    fn word_start(&self) -> usize {
        let before: Vec<char> = self.text.chars().take(self.cursor).collect();
        let end = before.iter().rposition(|c| !c.is_whitespace()).map_or(0, |at| at + 1);
        before[..end].iter().rposition(|c| c.is_whitespace()).map_or(0, |at| at + 1)
    }

    fn byte(&self, character: usize) -> usize {
        self.text.char_indices().nth(character).map_or(self.text.len(), |(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &mut Line, keys: &[&str]) -> String {
        for key in keys {
            line.key(Chord::parse(key).unwrap());
        }
        let (before, after) = line.text.split_at(line.byte(line.cursor));
        format!("{before}|{after}")
    }

    #[test]
    fn editing_keys_do_what_they_do_in_a_shell() {
        let mut line = Line::new("0.3 λ x".into());
        assert_eq!(typed(&mut line, &["left", "left", "backspace"]), "0.3 | x");
        assert_eq!(typed(&mut line, &["ctrl-w"]), "| x");
        assert_eq!(typed(&mut line, &["1", ".", "5", "delete", "end"]), "1.5x|");
        assert_eq!(typed(&mut line, &["home", "right", "ctrl-k", "ctrl-e"]), "1|");
        assert_eq!(typed(&mut line, &["ctrl-u", "backspace", "delete", "left", "right"]), "|");
        assert_eq!(line.key(Chord::parse("enter").unwrap()), None);
        assert_eq!(line.key(Chord::parse("left").unwrap()), Some(false));
        assert_eq!(line.key(Chord::parse("a").unwrap()), Some(true));
    }
}
