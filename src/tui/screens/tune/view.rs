//! How Tune looks: form on the left, bars on the right; one of them at a time where there is no room for both.

mod about;
mod curve;
mod form;
mod learned;
mod menu;
mod results;
mod verdict;

pub use menu::order as menu_order;

use super::{Menu, Pane, Shows};
use crate::tui::hit::Target;
use crate::tui::model::Model;
use crate::tui::runs::{Learned, Routing, RunView};
use crate::tui::view_cx::Cx;
use crate::tui::widgets::pane::pane;
use crate::tui::widgets::routing;
use ratatui::layout::Rect;
use results::Hidden;

/// Below this width or height there is one pane at a time.
const TWO_PANES: (u16, u16) = (72, 16);
/// From this height on the list of methods stands above the form all the time.
const LIST_ALWAYS: u16 = 34;
/// Rows that the form has then.
const FORM: u16 = 17;

pub fn view(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let area = area.intersection(cx.buf.area);
    if area.is_empty() {
        return;
    }
    if area.width < TWO_PANES.0 || area.height < TWO_PANES.1 {
        match (model.tune.pane, model.tune.menu) {
            (_, Some(menu)) => menu::view(model, menu, area, cx),
            (Pane::Form, None) => form::view(model, area, cx),
            (Pane::Results, None) => right(model, area, true, cx),
        }
        return;
    }
    let left = (area.width * 2 / 5).clamp(34, 52);
    let (form, bars) = (Rect { width: left, ..area }, Rect { x: area.x + left, width: area.width - left, ..area });
    left_column(model, form, cx);
    let focused = model.tune.menu.is_none() && model.tune.pane == Pane::Results;
    cx.hits.add(bars, Target::Pane("tune.results"));
    let inner = pane(cx, bars, &results::title(model), focused);
    right(model, inner, false, cx);
}

/// Bars, curve, or both; `alone` when the form is out of sight.
fn right(model: &Model, area: Rect, alone: bool, cx: &mut Cx<'_>) {
    let hidden = Hidden { form: alone, learned: false };
    let Some(sweep) = model.tune.sweep.as_ref().filter(|_| model.tune.shows == Shows::Curve) else {
        return with_learned(model, area, hidden, cx);
    };
    // Curve and bars together need twenty rows; with less the curve has it all.
    if area.height >= 30 {
        let upper = area.height - 15;
        results::view(model, Rect { height: upper, ..area }, hidden, cx);
        curve::view(model, sweep, Rect { y: area.y + upper, height: area.height - upper, ..area }, cx);
    } else {
        curve::view(model, sweep, area, cx);
    }
}

/// The bars, and below them what is or was learned, or whom a mixture's routers ask. Where there is no room for both, it is
/// the bars, unless steps are still being taken or it was asked for.
fn with_learned(model: &Model, area: Rect, hidden: Hidden, cx: &mut Cx<'_>) {
    let Some(more) = More::of(model) else { return results::view(model, area, hidden, cx) };
    let bars = model.tune.board.slots.len() as u16 + 8;
    let room = area.height.saturating_sub(bars);
    if room >= more.least() {
        let needed = room.min(more.height());
        let upper = area.height - needed;
        results::view(model, Rect { height: upper, ..area }, hidden, cx);
        more.view(model, Rect { y: area.y + upper, height: needed, ..area }, cx);
    } else if more.goes_on() || model.tune.shows == Shows::Learned {
        more.view(model, area, cx);
    } else {
        results::view(model, area, Hidden { learned: true, ..hidden }, cx);
    }
}

/// What there is to see beside bars.
enum More<'a> {
    Learned(&'a RunView, &'a Learned),
    Routing(&'a Routing),
}

impl<'a> More<'a> {
    fn of(model: &'a Model) -> Option<Self> {
        let run = model.tune.current.and_then(|id| model.runs.get(id))?;
        match (&run.learned, &run.routing) {
            (Some(learned), routing) if learned::goes_on(run) || routing.is_none() => Some(Self::Learned(run, learned)),
            (_, routing) => routing.as_ref().map(Self::Routing),
        }
    }

    fn goes_on(&self) -> bool {
        matches!(self, Self::Learned(run, _) if learned::goes_on(run))
    }

    fn height(&self) -> u16 {
        match self {
            Self::Learned(run, learned) => learned::height(run, learned),
            Self::Routing(asked) => routing::height(asked),
        }
    }

    /// With fewer rows it is not worth seeing.
    fn least(&self) -> u16 {
        match self {
            Self::Learned(..) => self.height(),
            Self::Routing(_) => 6,
        }
    }

    fn view(&self, model: &Model, area: Rect, cx: &mut Cx<'_>) {
        match self {
            Self::Learned(run, learned) => learned::view(model, run, learned, area, cx),
            Self::Routing(asked) => routing::view(asked, area, cx),
        }
    }
}

/// Whether the preview on screen has learned something, or asks routers.
pub fn has_more(model: &Model) -> bool {
    More::of(model).is_some()
}

fn left_column(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let menu_open = model.tune.menu;
    let mut below = area;
    if area.height >= LIST_ALWAYS {
        // The list scrolls; the form does not.
        let methods = (menu::height(model) + 2).min(area.height - FORM);
        let list = Rect { height: methods, ..area };
        below = Rect { y: area.y + methods, height: area.height - methods, ..area };
        let cursor = if let Some(Menu::Methods { cursor }) = menu_open { Some(cursor) } else { None };
        let title = format!("methods {}", model.catalog.methods.len());
        let inner = pane(cx, list, &title, cursor.is_some());
        menu::methods(model, cursor, inner, cx);
        if cursor.is_some() {
            let inner = pane(cx, below, "about", false);
            about::method(model, menu::highlighted(model), inner, cx);
            return;
        }
    }
    let title = match menu_open {
        Some(Menu::Methods { .. }) => "choose a method",
        Some(Menu::Experts { .. }) => "choose experts",
        None => "recipe",
    };
    let focused = menu_open.is_some() || model.tune.pane == Pane::Form;
    let inner = pane(cx, below, title, focused);
    match menu_open {
        Some(menu) => menu::view(model, menu, inner, cx),
        None => form::view(model, inner, cx),
    }
}
