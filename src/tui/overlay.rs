//! What lies above the screen and takes the keys: help, palette and other menus, a text field, a question.

pub mod entry;
pub mod help;
pub mod line;
pub mod menu;
pub mod palette;
pub mod question;

pub use entry::Entry;
pub use menu::Menu;
pub use question::Question;

use super::effect::Effect;
use super::hit::Hit;
use super::key::Chord;
use super::layout::centred;
use super::model::Model;
use super::view_cx::Cx;
use super::widgets::pane::pane;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

/// The topmost layer.
#[derive(Debug)]
pub enum Overlay {
    /// Keys of the visible screen, scrolled by so many lines.
    Help { scroll: usize },
    /// A list to choose from, with a filter: the palette, the themes.
    Menu(Menu),
    /// One line of text: an exact value, a filter, a file name.
    Entry(Entry),
    /// Yes or no.
    Question(Question),
}

/// Whether an overlay stays after a key.
pub(super) enum After {
    Stay,
    Close,
}

/// Hands a key to the overlay.
pub fn key(model: &mut Model, chord: Chord, fx: &mut Vec<Effect>) {
    handle(model, fx, |overlay, model, fx| match overlay {
        Overlay::Help { scroll } => help::key(scroll, chord, model),
        Overlay::Menu(menu) => menu.key(chord, model, fx),
        Overlay::Entry(entry) => entry.key(chord, model, fx),
        Overlay::Question(question) => question.key(chord, model, fx),
    });
}

/// Hands pasted text to the overlay; without one it is dropped: pasted text is never taken for commands.
pub fn paste(model: &mut Model, text: &str, fx: &mut Vec<Effect>) {
    let clean: String =
        text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect();
    handle(model, fx, |overlay, model, fx| {
        match overlay {
            Overlay::Menu(menu) => menu.paste(&clean, model),
            Overlay::Entry(entry) => entry.paste(&clean, model, fx),
            Overlay::Help { .. } | Overlay::Question(_) => {}
        }
        After::Stay
    });
}

/// Hands a click or the wheel to the overlay.
pub fn mouse(model: &mut Model, hit: Hit, fx: &mut Vec<Effect>) {
    handle(model, fx, |overlay, model, fx| match overlay {
        Overlay::Help { scroll } => help::mouse(scroll, hit),
        Overlay::Menu(menu) => menu.mouse(hit, model, fx),
        Overlay::Entry(_) => After::Stay,
        Overlay::Question(question) => question.mouse(hit, model, fx),
    });
}

/// A click on nothing closes what can be closed without a loss.
pub fn clicked_outside(model: &mut Model, fx: &mut Vec<Effect>) {
    handle(model, fx, |overlay, model, fx| match overlay {
        Overlay::Menu(menu) => menu.dismiss(model, fx),
        Overlay::Entry(entry) => entry.dismiss(model, fx),
        Overlay::Help { .. } | Overlay::Question(_) => After::Close,
    });
}

/// Takes the overlay out while it works on the model, and puts it back if it stays and nothing else was opened.
fn handle(
    model: &mut Model,
    fx: &mut Vec<Effect>,
    act: impl FnOnce(&mut Overlay, &mut Model, &mut Vec<Effect>) -> After,
) {
    let Some(mut overlay) = model.overlay.take() else { return };
    if let After::Stay = act(&mut overlay, model, fx)
        && model.overlay.is_none()
    {
        model.overlay = Some(overlay);
    }
}

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    match &model.overlay {
        None => {}
        Some(Overlay::Help { scroll }) => help::view(model, *scroll, area, cx),
        Some(Overlay::Menu(menu)) => menu.view(area, cx),
        Some(Overlay::Entry(entry)) => entry.view(area, cx),
        Some(Overlay::Question(question)) => question.view(area, cx),
    }
}

/// The keys of an overlay and what they do, for the footer.
#[must_use]
pub fn keys(overlay: &Overlay) -> &'static [(&'static str, &'static str)] {
    match overlay {
        Overlay::Help { .. } => &[("esc", "close"), ("j k", "scroll")],
        Overlay::Menu(_) => &[("enter", "choose"), ("esc", "close"), ("up down", "move")],
        Overlay::Entry(_) => &[("enter", "ok"), ("esc", "cancel"), ("ctrl-u", "clear")],
        Overlay::Question(_) => &[("y", "yes"), ("n", "no")],
    }
}

/// An empty framed box of at most `width`×`height` in the middle; gives the area inside. Below `height` it shrinks.
pub(super) fn boxed(cx: &mut Cx<'_>, area: Rect, (width, height): (u16, u16), title: &str) -> Rect {
    let body = Rect { height: area.height.saturating_sub(2), y: area.y + 1.min(area.height), ..area };
    let place = centred(body, width, height);
    Clear.render(place.intersection(cx.buf.area), cx.buf);
    cx.style(place, cx.theme.text);
    pane(cx, place, title, true)
}
