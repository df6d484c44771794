//! Drawing into memory, for the tests of widgets and screens.

use super::hit::HitMap;
use super::theme::Theme;
use super::view_cx::{Charset, Cx};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

/// What was drawn.
pub struct Screenshot {
    pub buffer: Buffer,
    pub hits: HitMap,
}

impl Screenshot {
    /// One line without trailing blanks.
    #[must_use]
    pub fn line(&self, y: u16) -> String {
        let area = self.buffer.area;
        let mut line = String::new();
        let mut x = area.x;
        while x < area.right() {
            let symbol = self.buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += (super::view_cx::text_width(symbol) as u16).max(1);
        }
        line.trim_end().to_owned()
    }

    /// All lines.
    #[must_use]
    pub fn text(&self) -> String {
        (self.buffer.area.y..self.buffer.area.bottom()).map(|y| self.line(y) + "\n").collect()
    }

    /// The first place where `needle` stands, as cell coordinates; only for text of narrow characters.
    #[must_use]
    pub fn find(&self, needle: &str) -> Option<(u16, u16)> {
        (0..self.buffer.area.height).find_map(|y| {
            let line = self.line(y);
            line.find(needle).map(|at| (line[..at].chars().count() as u16, y))
        })
    }
}

/// Draws with a colourful theme and all characters.
pub fn draw(width: u16, height: u16, view: impl FnOnce(Rect, &mut Cx<'_>)) -> Screenshot {
    draw_with(width, height, Charset::Braille, &theme(), view)
}

/// Draws as a terminal of the given kind would show it.
pub fn draw_with(
    width: u16,
    height: u16,
    charset: Charset,
    theme: &Theme,
    view: impl FnOnce(Rect, &mut Cx<'_>),
) -> Screenshot {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    let mut hits = HitMap::default();
    view(area, &mut Cx { buf: &mut buffer, theme, charset, hits: &mut hits, cursor: None });
    Screenshot { buffer, hits }
}

/// Every role in a colour of its own.
#[must_use]
pub fn theme() -> Theme {
    let fg = |n| Style::new().fg(Color::Indexed(n));
    Theme {
        name: "test".to_owned(),
        text: fg(15),
        dim: fg(8),
        accent: fg(14),
        border: fg(7),
        focus: fg(11),
        selected: Style::new().add_modifier(Modifier::REVERSED),
        bar: fg(15),
        key: fg(14),
        ok: fg(10),
        warn: fg(3),
        error: fg(9),
        base: fg(100),
        expert: fg(101),
        pinned: fg(102),
        series: std::array::from_fn(|at| fg(110 + at as u8)),
        heat: std::array::from_fn(|at| Style::new().fg(Color::Rgb(at as u8 * 40, at as u8 * 40, 0))),
    }
}

/// No colours at all, as under NO_COLOR.
#[must_use]
pub fn mono() -> Theme {
    let plain = Style::new();
    Theme {
        name: "mono".to_owned(),
        text: plain,
        dim: plain,
        accent: plain.add_modifier(Modifier::BOLD),
        border: plain,
        focus: plain,
        selected: plain.add_modifier(Modifier::REVERSED),
        bar: plain,
        key: plain,
        ok: plain,
        warn: plain,
        error: plain,
        base: plain,
        expert: plain,
        pinned: plain,
        series: [plain; 8],
        heat: [plain; 7],
    }
}
