//! Cells to bytes: only what changed, with the fewest escape sequences, one write a frame.
//!
//! ratatui's own backend resets all attributes after every draw and repeats both colours when one changes; over a slow
//! link that is a third of all bytes. Here the pen is remembered across frames.

use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// The attributes that the terminal's next character will have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pen {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

const PLAIN: Pen = Pen { fg: Color::Reset, bg: Color::Reset, modifier: Modifier::empty() };

/// Modifiers with the codes that switch them on and off. Bold and dim share the code for off.
const MODIFIERS: [(Modifier, u8, u8); 6] = [
    (Modifier::BOLD, 1, 22),
    (Modifier::DIM, 2, 22),
    (Modifier::ITALIC, 3, 23),
    (Modifier::UNDERLINED, 4, 24),
    (Modifier::REVERSED, 7, 27),
    (Modifier::CROSSED_OUT, 9, 29),
];

/// Writes frames to a terminal.
#[derive(Debug)]
pub struct Ansi<W> {
    out: W,
    frame: String,
    pen: Pen,
    /// Where the terminal's cursor is, if that is certain.
    at: Option<Position>,
    shown: bool,
}

impl<W: Write> Ansi<W> {
    pub fn new(out: W) -> Self {
        Self { out, frame: String::new(), pen: PLAIN, at: None, shown: false }
    }

    /// Forgets what the terminal was last told; for when somebody else has written to it.
    pub fn forget(&mut self) {
        self.pen = PLAIN;
        self.at = None;
        self.shown = false;
    }

    /// Draws cells, clearing everything before if asked to, and shows the cursor at a place or hides it.
    ///
    /// # Errors
    /// Whatever the terminal's file reports.
    pub fn frame(
        &mut self,
        size: Size,
        cells: &[(u16, u16, &Cell)],
        clear: bool,
        cursor: Option<Position>,
    ) -> io::Result<()> {
        self.frame.clear();
        // Synchronised output: terminals that know it show the frame at once, the others ignore it. It cannot be
        // detected from afar, as sshd passes on nothing but TERM.
        self.frame.push_str("\x1b[?2026h");
        if clear {
            self.frame.push_str("\x1b[0m\x1b[?25l\x1b[2J");
            self.forget();
        }
        for (x, y, cell) in cells {
            self.cell(size, *x, *y, cell);
        }
        match cursor {
            Some(at) => {
                self.go(at);
                if !self.shown {
                    self.frame.push_str("\x1b[?25h");
                }
            }
            None if self.shown => self.frame.push_str("\x1b[?25l"),
            None => {}
        }
        self.shown = cursor.is_some();
        self.frame.push_str("\x1b[?2026l");
        self.out.write_all(self.frame.as_bytes())?;
        self.out.flush()
    }

    /// Sends a sequence that draws nothing and moves nothing.
    ///
    /// # Errors
    /// Whatever the terminal's file reports.
    pub fn send(&mut self, sequence: &str) -> io::Result<()> {
        self.out.write_all(sequence.as_bytes())?;
        self.out.flush()
    }

    fn cell(&mut self, size: Size, x: u16, y: u16, cell: &Cell) {
        self.go(Position { x, y });
        self.attributes(Pen { fg: cell.fg, bg: cell.bg, modifier: cell.modifier });
        self.frame.push_str(cell.symbol());
        // After wide characters (whose width terminals do not agree about) and in the last column the place is not
        // certain.
        let certain = cell.symbol().width() == 1 && x + 1 < size.width;
        self.at = certain.then_some(Position { x: x + 1, y });
    }

    fn go(&mut self, to: Position) {
        match self.at {
            Some(at) if at == to => return,
            Some(at) if at.y == to.y && to.x == at.x + 1 => self.frame.push_str("\x1b[C"),
            Some(at) if at.y == to.y && to.x > at.x => self.write(format_args!("\x1b[{}C", to.x - at.x)),
            _ => self.write(format_args!("\x1b[{};{}H", to.y + 1, to.x + 1)),
        }
        self.at = Some(to);
    }

    fn attributes(&mut self, to: Pen) {
        if self.pen == to {
            return;
        }
        if to == PLAIN {
            self.frame.push_str("\x1b[m");
            self.pen = to;
            return;
        }
        self.frame.push_str("\x1b[");
        let start = self.frame.len();
        let gone = self.pen.modifier - to.modifier;
        let mut have = self.pen.modifier;
        for (modifier, _, off) in MODIFIERS {
            if gone.contains(modifier) && have.contains(modifier) {
                self.write(format_args!("{off};"));
                have -= modifier;
                if off == 22 {
                    have -= Modifier::BOLD | Modifier::DIM;
                }
            }
        }
        for (modifier, on, _) in MODIFIERS {
            if to.modifier.contains(modifier) && !have.contains(modifier) {
                self.write(format_args!("{on};"));
            }
        }
        if self.pen.fg != to.fg {
            self.color(to.fg, 30);
        }
        if self.pen.bg != to.bg {
            self.color(to.bg, 40);
        }
        if self.frame.len() > start {
            self.frame.pop();
            self.frame.push('m');
        } else {
            // Only modifiers that have no code differ.
            self.frame.truncate(start - 2);
        }
        self.pen = to;
    }

    /// One colour's parameters, each with a semicolon behind; `base` is 30 for the text, 40 for the ground.
    fn color(&mut self, color: Color, base: u8) {
        let plain = |offset: u8| base + offset;
        let bright = |offset: u8| base + 60 + offset;
        let code = match color {
            Color::Reset => plain(9),
            Color::Black => plain(0),
            Color::Red => plain(1),
            Color::Green => plain(2),
            Color::Yellow => plain(3),
            Color::Blue => plain(4),
            Color::Magenta => plain(5),
            Color::Cyan => plain(6),
            Color::Gray => plain(7),
            Color::DarkGray => bright(0),
            Color::LightRed => bright(1),
            Color::LightGreen => bright(2),
            Color::LightYellow => bright(3),
            Color::LightBlue => bright(4),
            Color::LightMagenta => bright(5),
            Color::LightCyan => bright(6),
            Color::White => bright(7),
            Color::Indexed(index) => return self.write(format_args!("{};5;{index};", base + 8)),
            Color::Rgb(r, g, b) => return self.write(format_args!("{};2;{r};{g};{b};", base + 8)),
        };
        self.write(format_args!("{code};"));
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.frame.write_fmt(arguments);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::term::changes::changes;
    use proptest::prelude::*;
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    const SIZE: Size = Size { width: 20, height: 4 };

    fn area() -> Rect {
        Rect::new(0, 0, SIZE.width, SIZE.height)
    }

    fn styles() -> impl Strategy<Value = Style> {
        let colors = prop_oneof![
            Just(Color::Reset),
            Just(Color::Red),
            Just(Color::LightBlue),
            Just(Color::Indexed(130)),
            (any::<u8>(), any::<u8>()).prop_map(|(r, g)| Color::Rgb(r, g, 7)),
        ];
        (colors.clone(), colors, 0_u16..64).prop_map(|(fg, bg, bits)| {
            let modifiers = MODIFIERS.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
            // vt100 knows neither strike-through nor bold together with dim.
            let modifiers = modifiers
                .map(|(_, (modifier, ..))| *modifier)
                .filter(|m| *m != Modifier::CROSSED_OUT && *m != Modifier::DIM);
            Style::new().fg(fg).bg(bg).add_modifier(modifiers.collect())
        })
    }

    fn frames() -> impl Strategy<Value = Vec<Vec<(u16, u16, String, Style)>>> {
        let word = prop_oneof!["[a-z ]{1,6}", Just("日本".to_owned()), Just("╭─█⠓".to_owned())];
        prop::collection::vec(prop::collection::vec((0..20_u16, 0..4_u16, word, styles()), 0..6), 1..5)
    }

    fn vt_color(color: Color) -> vt100::Color {
        match color {
            Color::Red => vt100::Color::Idx(1),
            Color::LightBlue => vt100::Color::Idx(12),
            Color::Indexed(index) => vt100::Color::Idx(index),
            Color::Rgb(r, g, b) => vt100::Color::Rgb(r, g, b),
            _ => vt100::Color::Default,
        }
    }

    proptest! {
        #[test]
        fn a_terminal_shows_exactly_what_was_drawn(frames in frames()) {
            let mut terminal = vt100::Parser::new(SIZE.height, SIZE.width, 0);
            let mut ansi = Ansi::new(Vec::new());
            let mut front = Buffer::empty(area());
            for (at, words) in frames.iter().enumerate() {
                let mut back = Buffer::empty(area());
                for (x, y, text, style) in words {
                    back.set_stringn(*x, *y, text, usize::from(SIZE.width - x), *style);
                }
                ansi.out.clear();
                ansi.frame(SIZE, &changes(&front, &back), at == 0, None).unwrap();
                terminal.process(&ansi.out);
                front = back;
            }
            for y in 0..SIZE.height {
                for x in 0..SIZE.width {
                    let shown = terminal.screen().cell(y, x).unwrap();
                    if shown.is_wide_continuation() {
                        continue;
                    }
                    let drawn = &front[(x, y)];
                    let text = if shown.contents().is_empty() { " " } else { shown.contents() };
                    prop_assert_eq!(text, drawn.symbol(), "at {},{}", x, y);
                    prop_assert_eq!(shown.bgcolor(), vt_color(drawn.bg));
                    prop_assert_eq!(shown.inverse(), drawn.modifier.contains(Modifier::REVERSED));
                    prop_assert_eq!(shown.bold(), drawn.modifier.contains(Modifier::BOLD));
                    prop_assert_eq!(shown.underline(), drawn.modifier.contains(Modifier::UNDERLINED));
                    if drawn.symbol() != " " {
                        prop_assert_eq!(shown.fgcolor(), vt_color(drawn.fg));
                    }
                }
            }
        }
    }

    #[test]
    fn the_cursor_is_shown_where_asked_and_hidden_again() {
        let mut ansi = Ansi::new(Vec::new());
        ansi.frame(SIZE, &[], false, Some(Position { x: 3, y: 1 })).unwrap();
        assert_eq!(String::from_utf8_lossy(&ansi.out), "\x1b[?2026h\x1b[2;4H\x1b[?25h\x1b[?2026l");
        ansi.out.clear();
        ansi.frame(SIZE, &[], false, None).unwrap();
        assert_eq!(String::from_utf8_lossy(&ansi.out), "\x1b[?2026h\x1b[?25l\x1b[?2026l");
    }
}
