//! One key with its modifiers, as a terminal reports it and as people write it: `ctrl-p`, `shift-left`, `enter`, `?`.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::fmt;

/// A key press, normalised: shift is not kept with characters (it is in the character already), and control goes with
/// the small letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chord {
    pub code: KeyCode,
    pub modifiers: KeyModifiers,
}

/// Names of keys that are not characters.
const NAMES: &[(&str, KeyCode)] = &[
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("backtab", KeyCode::BackTab),
    ("space", KeyCode::Char(' ')),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pageup", KeyCode::PageUp),
    ("pagedown", KeyCode::PageDown),
];

impl Chord {
    /// Reads the written form.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = text;
        loop {
            let (modifier, tail) = match rest.split_once('-') {
                Some(("ctrl", tail)) if !tail.is_empty() => (KeyModifiers::CONTROL, tail),
                Some(("alt", tail)) if !tail.is_empty() => (KeyModifiers::ALT, tail),
                Some(("shift", tail)) if !tail.is_empty() => (KeyModifiers::SHIFT, tail),
                _ => break,
            };
            modifiers |= modifier;
            rest = tail;
        }
        let code = code(rest).ok_or_else(|| {
            let names = NAMES.iter().map(|(name, _)| *name);
            let closest = crate::params::closest(rest, names);
            let suggestion = closest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
            format!("`{text}` is not a key{suggestion}")
        })?;
        Ok(Self { code, modifiers }.normalised())
    }

    fn normalised(mut self) -> Self {
        self.modifiers &= KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT;
        match self.code {
            KeyCode::Char(c) => {
                let letter = if self.modifiers.contains(KeyModifiers::CONTROL) {
                    c.to_ascii_lowercase()
                } else if self.modifiers.contains(KeyModifiers::SHIFT) {
                    c.to_ascii_uppercase()
                } else {
                    c
                };
                self.code = KeyCode::Char(letter);
                self.modifiers -= KeyModifiers::SHIFT;
            }
            KeyCode::Tab if self.modifiers.contains(KeyModifiers::SHIFT) => {
                self.code = KeyCode::BackTab;
                self.modifiers -= KeyModifiers::SHIFT;
            }
            KeyCode::BackTab => self.modifiers -= KeyModifiers::SHIFT,
            _ => {}
        }
        self
    }

    /// The form for footer and help: arrows as arrows where the terminal has them.
    #[must_use]
    pub fn pretty(self, ascii: bool) -> String {
        let text = self.to_string();
        if ascii {
            return text;
        }
        let (modifiers, name) = text.rsplit_once('-').filter(|(_, name)| !name.is_empty()).unwrap_or(("", &text));
        let name = match name {
            "left" => "←",
            "right" => "→",
            "up" => "↑",
            "down" => "↓",
            other => other,
        };
        if modifiers.is_empty() { name.to_owned() } else { format!("{modifiers}-{name}") }
    }
}

fn code(name: &str) -> Option<KeyCode> {
    if let Some((_, code)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*code);
    }
    let mut chars = name.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if !c.is_control() => Some(KeyCode::Char(c)),
        (Some('f'), Some(_)) => name[1..].parse().ok().filter(|n| (1..=12).contains(n)).map(KeyCode::F),
        _ => None,
    }
}

impl From<KeyEvent> for Chord {
    fn from(event: KeyEvent) -> Self {
        Self { code: event.code, modifiers: event.modifiers }.normalised()
    }
}

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, name) in
            [(KeyModifiers::CONTROL, "ctrl-"), (KeyModifiers::ALT, "alt-"), (KeyModifiers::SHIFT, "shift-")]
        {
            if self.modifiers.contains(modifier) {
                f.write_str(name)?;
            }
        }
        if let Some((name, _)) = NAMES.iter().find(|(_, code)| *code == self.code) {
            return f.write_str(name);
        }
        match self.code {
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::F(n) => write!(f, "f{n}"),
            other => write!(f, "{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for text in
            ["ctrl-p", "shift-left", "enter", "?", "0", "G", "-", "ctrl--", "space", "f12", "backtab", "ctrl-alt-x"]
        {
            assert_eq!(Chord::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Chord::parse("shift-g").unwrap(), Chord::parse("G").unwrap());
        assert_eq!(Chord::parse("ctrl-P").unwrap(), Chord::parse("ctrl-p").unwrap());
        assert_eq!(Chord::parse("shift-tab").unwrap(), Chord::parse("backtab").unwrap());
        assert_eq!(Chord::parse("entr").unwrap_err(), "`entr` is not a key, did you mean `enter`?");
        assert_eq!(Chord::parse("f13").unwrap_err(), "`f13` is not a key");
        assert!(Chord::parse("").is_err() && Chord::parse("ctrl-").is_err());
    }

    #[test]
    fn what_a_terminal_reports_is_normalised() {
        let reported = |code, modifiers| Chord::from(KeyEvent::new(code, modifiers));
        assert_eq!(reported(KeyCode::Char('G'), KeyModifiers::SHIFT), Chord::parse("G").unwrap());
        assert_eq!(reported(KeyCode::BackTab, KeyModifiers::SHIFT), Chord::parse("backtab").unwrap());
        assert_eq!(reported(KeyCode::Char('?'), KeyModifiers::SHIFT), Chord::parse("?").unwrap());
    }
}
