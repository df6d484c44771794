//! A safety net behind the themes: whatever was drawn, nothing leaves that the terminal cannot show.

use super::caps::Depth;
use crate::tui::view_cx::Charset;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

/// Replaces colours beyond `depth` and characters beyond `charset` in all cells.
pub fn degrade(buffer: &mut Buffer, depth: Depth, charset: Charset) {
    if depth == Depth::TrueColor && charset == Charset::Braille {
        return;
    }
    for cell in &mut buffer.content {
        if depth < Depth::TrueColor {
            // Without colours a coloured ground is all that tells a selected row from the others.
            if depth == Depth::Mono && cell.bg != Color::Reset && !is_dark(cell.bg) {
                cell.modifier |= Modifier::REVERSED;
            }
            cell.fg = color(cell.fg, depth);
            cell.bg = color(cell.bg, depth);
            cell.underline_color = color(cell.underline_color, depth);
        }
        if charset < Charset::Braille {
            let symbol = cell.symbol();
            if !symbol.is_ascii() {
                let plain = symbol.chars().next().map(|c| replacement(c, charset));
                if let Some(Some(plain)) = plain {
                    cell.set_char(plain);
                }
            }
        }
    }
}

fn color(color: Color, depth: Depth) -> Color {
    match (color, depth) {
        (_, Depth::Mono) => Color::Reset,
        (Color::Rgb(r, g, b), Depth::Ansi256) => Color::Indexed(indexed(r, g, b)),
        (Color::Rgb(r, g, b), Depth::Ansi16) => nearest_ansi(r, g, b),
        (Color::Indexed(index), Depth::Ansi16) => {
            let (r, g, b) = rgb_of(index);
            nearest_ansi(r, g, b)
        }
        (other, _) => other,
    }
}

/// Whether a ground is dark enough to be an ordinary background and not a mark.
fn is_dark(color: Color) -> bool {
    match color {
        Color::Rgb(r, g, b) => u32::from(r) + u32::from(g) + u32::from(b) < 160,
        Color::Black | Color::Reset => true,
        _ => false,
    }
}

/// The nearest of the 6×6×6 cube and the 24 grays.
fn indexed(r: u8, g: u8, b: u8) -> u8 {
    let candidates = (16..=255).map(|index| (distance((r, g, b), rgb_of(index)), index));
    candidates.min().map_or(0, |(_, index)| index)
}

/// The colour that an index means on nearly all terminals.
fn rgb_of(index: u8) -> (u8, u8, u8) {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match index {
        0..=15 => ANSI[usize::from(index)].0,
        16..=231 => {
            let index = usize::from(index - 16);
            (STEPS[index / 36], STEPS[index / 6 % 6], STEPS[index % 6])
        }
        232..=255 => {
            let gray = 8 + 10 * (index - 232);
            (gray, gray, gray)
        }
    }
}

const ANSI: [((u8, u8, u8), Color); 16] = [
    ((0, 0, 0), Color::Black),
    ((170, 0, 0), Color::Red),
    ((0, 170, 0), Color::Green),
    ((170, 85, 0), Color::Yellow),
    ((0, 0, 170), Color::Blue),
    ((170, 0, 170), Color::Magenta),
    ((0, 170, 170), Color::Cyan),
    ((170, 170, 170), Color::Gray),
    ((85, 85, 85), Color::DarkGray),
    ((255, 85, 85), Color::LightRed),
    ((85, 255, 85), Color::LightGreen),
    ((255, 255, 85), Color::LightYellow),
    ((85, 85, 255), Color::LightBlue),
    ((255, 85, 255), Color::LightMagenta),
    ((85, 255, 255), Color::LightCyan),
    ((255, 255, 255), Color::White),
];

fn nearest_ansi(r: u8, g: u8, b: u8) -> Color {
    let nearest = ANSI.iter().min_by_key(|(known, _)| distance((r, g, b), *known));
    nearest.map_or(Color::Reset, |(_, color)| *color)
}

/// Squared distance, weighted roughly by how much the eye sees of each channel, without losing the hue.
fn distance(a: (u8, u8, u8), b: (u8, u8, u8)) -> u32 {
    let square = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
    2 * square(a.0, b.0) + 4 * square(a.1, b.1) + 3 * square(a.2, b.2)
}

/// What stands for a character that `charset` lacks; `None` leaves it.
fn replacement(c: char, charset: Charset) -> Option<char> {
    match c {
        '\u{2800}' => Some(' '),
        '\u{2801}'..='\u{28ff}' => Some(if charset == Charset::Ascii { '*' } else { '•' }),
        _ if charset == Charset::Box => None,
        '─' | '━' | '╌' | '┄' => Some('-'),
        '│' | '┃' | '╎' | '┆' | '▏' | '▕' | '▎' | '▍' | '▌' => Some('|'),
        '┌'..='╬' | '╭'..='╰' => Some('+'),
        '█' | '▓' | '▉' | '▊' | '▋' => Some('#'),
        '▒' | '▄' | '▀' | '▅' | '▆' | '▇' => Some('='),
        '░' | '▁' | '▂' | '▃' => Some('.'),
        '●' | '◆' | '■' | '•' | '·' => Some('*'),
        '○' | '◇' | '□' => Some('o'),
        '▲' | '△' | '↑' => Some('^'),
        '▼' | '▽' | '↓' => Some('v'),
        '▶' | '▸' | '→' | '›' => Some('>'),
        '◀' | '◂' | '←' | '‹' => Some('<'),
        '✓' => Some('y'),
        '✗' | '✕' | '×' => Some('x'),
        '…' => Some('.'),
        '–' | '—' | '−' => Some('-'),
        '±' => Some('~'),
        'λ' => Some('l'),
        'θ' => Some('w'),
        'τ' => Some('t'),
        'α' => Some('a'),
        'Σ' => Some('S'),
        c if c.is_ascii() => None,
        _ => Some('?'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::style::Style;

    fn drawn(text: &str, style: Style, depth: Depth, charset: Charset) -> Buffer {
        let mut buffer = Buffer::empty(ratatui::layout::Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, text, style);
        degrade(&mut buffer, depth, charset);
        buffer
    }

    #[test]
    fn colours_become_the_nearest_that_exist() {
        let orange = Style::new().fg(Color::Rgb(230, 159, 0)).bg(Color::Rgb(20, 23, 31));
        let at = |depth| drawn("x", orange, depth, Charset::Braille)[(0, 0)].clone();
        assert_eq!(at(Depth::TrueColor).fg, Color::Rgb(230, 159, 0));
        assert_eq!(at(Depth::Ansi256).fg, Color::Indexed(178));
        assert_eq!((at(Depth::Ansi16).fg, at(Depth::Ansi16).bg), (Color::Yellow, Color::Black));
        assert_eq!((at(Depth::Mono).fg, at(Depth::Mono).modifier), (Color::Reset, Modifier::empty()));
        let selected = drawn("x", Style::new().bg(Color::Rgb(43, 74, 111)), Depth::Mono, Charset::Box);
        assert!(selected[(0, 0)].modifier.contains(Modifier::REVERSED));
    }

    #[test]
    fn no_character_beyond_ascii_is_left() {
        let buffer = drawn("╭─┤█▎λ⠓…日✓", Style::new(), Depth::Mono, Charset::Ascii);
        assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii()), "{buffer:?}");
        assert_eq!(buffer[(0, 0)].symbol(), "+");
        let boxes = drawn("╭⠓", Style::new(), Depth::Mono, Charset::Box);
        assert_eq!((boxes[(0, 0)].symbol(), boxes[(1, 0)].symbol()), ("╭", "•"));
    }
}
