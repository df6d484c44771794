//! Help: what fusebench is, how to begin, every command with its keys.

use crate::tui::command::{self, Command, Scope};
use crate::tui::effect::Effect;
use crate::tui::hit::{Hit, Target};
use crate::tui::layout::Room;
use crate::tui::model::{Model, Screen};
use crate::tui::overlay::help::{Line, draw};
use crate::tui::view_cx::{Cx, text_width};
use crate::tui::widgets::pane::pane;
use ratatui::layout::Rect;

const LIST: &str = "help.screen";

const INTRODUCTION: [&str; 11] = [
    "fusebench combines fine-tuned neural networks into one, and shows what that does to each task.",
    "",
    "1  Tune (2): choose a method with m, move its sliders with the arrow keys.",
    "2  The bars answer at once: an estimate with its 95 % interval, then the exact accuracy.",
    "3  Beside each bar stand the base model, the task's own expert, and a run that you pinned.",
    "4  Start a full test run with r, and watch it on Run (3); Ctrl-C stops it.",
    "5  Compare (4) tells which differences between runs are more than chance; History (5) keeps them all.",
    "6  Copy the recipe with y: `fusebench run` repeats it without a terminal.",
    "",
    "Browse (1) shows the tasks' images and the checkpoints, Inspect (6) how the experts' changes relate and what is wrong.",
    "? shows the keys, : finds any command.",
];

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    pub scroll: usize,
}

const fn scrolling(
    id: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
    run: fn(&mut Model, &mut Vec<Effect>),
) -> Command {
    Command::on(Screen::Help, id, keys, "scroll", help, run)
}

pub const COMMANDS: &[Command] = &[
    Command { priority: 5, ..scrolling("help.down", &["down", "j"], "Scroll down", |m, _| scroll(m, 1)) },
    scrolling("help.up", &["up", "k"], "Scroll up", |m, _| scroll(m, -1)),
    scrolling("help.page_down", &["pagedown", "space"], "Scroll down a page", |m, _| scroll(m, 15)),
    scrolling("help.page_up", &["pageup"], "Scroll up a page", |m, _| scroll(m, -15)),
    scrolling("help.top", &["home", "g"], "Go to the top", |m, _| m.help.scroll = 0),
];

pub fn mouse(model: &mut Model, hit: Hit) {
    if let Some(step) = hit.wheel() {
        scroll(model, 3 * step);
    }
}

fn scroll(model: &mut Model, step: isize) {
    // The end is where the last line is visible; how far that is depends on the room, but not by more than this.
    let last = text(model, 80).len() + commands().len();
    model.help.scroll = model.help.scroll.saturating_add_signed(step).min(last);
}

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let compact = Room::of(model.size) <= Room::Compact;
    let inner = if compact { area } else { pane(cx, area, "Help", true) };
    cx.hits.add(inner, Target::Pane(LIST));
    let above = text(model, usize::from(inner.width.saturating_sub(2)));
    let shown = above.iter().skip(model.help.scroll).take(usize::from(inner.height));
    let mut y = inner.y;
    for line in shown {
        cx.print(inner.x + 1, y, inner.width.saturating_sub(2), line, cx.theme.text);
        y += 1;
    }
    let rest = Rect { y, height: inner.bottom().saturating_sub(y), ..inner };
    draw(model, &commands(), model.help.scroll.saturating_sub(above.len()), rest, cx);
}

/// Introduction and facts, wrapped to `width` cells.
fn text(model: &Model, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = INTRODUCTION.iter().flat_map(|line| wrapped(line, width)).collect();
    lines.push(String::new());
    lines.extend(model.facts.iter().flat_map(|(label, value)| wrapped(&format!("{label:<12} {value}"), width)));
    if let Some(heads) = &model.catalog.heads {
        lines.extend(wrapped(&format!("{:<12} {heads}", "heads"), width));
    }
    lines.push(String::new());
    lines
}

/// All commands: the global ones, then by screen.
fn commands() -> Vec<Line> {
    let mut lines = Vec::new();
    for scope in std::iter::once(Scope::Everywhere).chain(Screen::ALL.map(Scope::On)) {
        let title = if let Scope::On(screen) = scope { screen.title() } else { "Everywhere" };
        lines.push(Line::Heading(title.to_owned()));
        lines.extend(command::all().filter(|command| command.scope == scope).map(Line::Entry));
        lines.push(Line::Blank);
    }
    lines
}

/// `text` broken between words into lines of at most `width` cells; an empty text is one empty line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() || text_width(line) + 1 + text_width(word) <= width {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        } else {
            lines.push(format!("   {word}"));
        }
    }
    lines
}
