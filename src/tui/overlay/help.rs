//! The keys of the visible screen, over it.

use super::{After, boxed};
use crate::tui::command::{self, Command, Scope};
use crate::tui::hit::{Hit, Target};
use crate::tui::key::Chord;
use crate::tui::model::Model;
use crate::tui::view_cx::{Charset, Cx, text_width};
use crossterm::event::KeyCode;
use ratatui::layout::Rect;

const LIST: &str = "help";
const WIDTH: u16 = 104;

/// A line of help: a heading, or a command.
pub enum Line {
    Heading(String),
    Entry(&'static Command),
    Blank,
}

/// The keys of the visible screen, then the global ones.
fn lines(model: &Model) -> Vec<Line> {
    let mut lines = vec![Line::Heading(model.screen.title().to_owned())];
    lines.extend(command::all().filter(|command| command.scope == Scope::On(model.screen)).map(Line::Entry));
    if lines.len() == 1 {
        lines.clear();
    } else {
        lines.push(Line::Blank);
    }
    lines.push(Line::Heading("Everywhere".to_owned()));
    lines.extend(command::all().filter(|command| command.scope == Scope::Everywhere).map(Line::Entry));
    lines
}

pub(super) fn key(scroll: &mut usize, chord: Chord, model: &Model) -> After {
    let last = lines(model).len().saturating_sub(1);
    let step = match chord.code {
        KeyCode::Up | KeyCode::Char('k') => -1,
        KeyCode::Down | KeyCode::Char('j') => 1,
        KeyCode::PageUp => -10,
        KeyCode::PageDown | KeyCode::Char(' ') => 10,
        KeyCode::Home | KeyCode::Char('g') => isize::MIN,
        KeyCode::End | KeyCode::Char('G') => isize::MAX,
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?') | KeyCode::F(1) => return After::Close,
        _ => 0,
    };
    *scroll = scroll.saturating_add_signed(step).min(last);
    After::Stay
}

pub(super) fn mouse(scroll: &mut usize, hit: Hit) -> After {
    match hit.wheel() {
        Some(step) => *scroll = scroll.saturating_add_signed(3 * step),
        None if hit.pressed() && hit.target != Target::Pane(LIST) => return After::Close,
        None => {}
    }
    After::Stay
}

pub(super) fn view(model: &Model, scroll: usize, area: Rect, cx: &mut Cx<'_>) {
    let lines = lines(model);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let inner = boxed(cx, area, (WIDTH, height), "Keys");
    cx.hits.add(inner, Target::Pane(LIST));
    draw(model, &lines, scroll, inner, cx);
}

/// Draws lines from `scroll` on, never past the last page; notes commands as clickable.
pub fn draw(model: &Model, lines: &[Line], scroll: usize, area: Rect, cx: &mut Cx<'_>) {
    let height = usize::from(area.height);
    let scroll = scroll.min(lines.len().saturating_sub(height));
    let ascii = cx.charset == Charset::Ascii;
    let keys = |command: &Command| model.keymap.written(command, ascii);
    let entries = lines.iter().filter_map(|line| if let Line::Entry(command) = line { Some(*command) } else { None });
    let column = entries.map(|command| text_width(&keys(command))).max().unwrap_or(0).clamp(6, 16);
    let column = u16::try_from(column).unwrap_or(16).min(area.width / 3);
    for (line, y) in lines.iter().skip(scroll).take(height).zip(area.y..) {
        match line {
            Line::Blank => {}
            Line::Heading(title) => {
                cx.print(area.x + 1, y, area.width.saturating_sub(2), title, cx.theme.accent);
            }
            Line::Entry(command) => {
                let disabled = (command.enabled)(model).err();
                let style = if disabled.is_some() { cx.theme.dim } else { cx.theme.text };
                cx.print(area.x + 1, y, column, &keys(command), cx.theme.key);
                let x = area.x + 1 + column + 2;
                let room = area.right().saturating_sub(x + 1);
                let end = cx.print(x, y, room, command.help, style);
                if let Some(reason) = disabled {
                    cx.print(end + 1, y, area.right().saturating_sub(end + 2), &format!("({reason})"), cx.theme.dim);
                }
            }
        }
    }
    if lines.len() > height && height > 1 {
        let more =
            if scroll + height < lines.len() { cx.symbol("▼ more", "v more") } else { cx.symbol("▲ top", "^ top") };
        cx.print_right(area.x, area.bottom() - 1, area.width.saturating_sub(1), more, cx.theme.dim);
    }
}
