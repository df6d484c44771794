//! Tune: pick a method, move its sliders, watch the tasks respond.
//!
//! `setting` is what is dialled in and every way back, `form` the rows that move it, `actions` and `commands` what keys
//! do, `jobs` and `sweep` what is asked of the engine, `board` what the bars show, `view` how it all looks.

mod actions;
pub mod board;
mod commands;
mod form;
mod jobs;
mod remember;
mod setting;
mod sweep;
mod view;

#[cfg(test)]
mod tests;

pub use commands::COMMANDS;
pub use jobs::{preview, run};
pub use remember::{load, recipe_toml, restore, saved};
pub use view::view;

use crate::engine::{Event, RunId};
use crate::fusion::Method;
use crate::params::Spec;
use crate::tasks::{Corruption, Data, Split};
use crate::tui::catalog::Catalog;
use crate::tui::effect::Effect;
use crate::tui::hit::Hit;
use crate::tui::model::Model;
use actions::is_costly;
use board::Board;
use form::{Link, Row};
use setting::{Edits, Setting};
use std::collections::BTreeSet;
use sweep::Sweep;

/// Where the cursor is in the form when a method is new: past method and experts, on its first slider.
const FIRST_SLIDER: usize = 2;

/// What the screen remembers.
#[derive(Debug)]
pub struct State {
    setting: Setting,
    /// What had been dialled in for other methods.
    kept: Vec<Setting>,
    /// The experts that were combined by the last method that takes any number of them, where they are others than usual.
    chosen: Option<Vec<String>>,
    edits: Edits,
    split: Split,
    /// What is done to the images that are evaluated.
    corruption: Option<Corruption>,
    /// Row of the form.
    focus: usize,
    /// Column of a table of blocks.
    block: usize,
    link: Link,
    /// Advanced parameters are shown.
    advanced: bool,
    menu: Option<Menu>,
    pane: Pane,
    /// A costly parameter was changed and waits for Enter.
    waits: bool,
    /// The newest preview.
    current: Option<RunId>,
    board: Board,
    pinned: Option<Pinned>,
    /// What the newest preview evaluates.
    asked: Option<Setting>,
    /// What the newest numbers on the board are of.
    shown: Option<Setting>,
    /// Ids of methods that test results were seen of.
    seen_on_test: BTreeSet<&'static str>,
    /// The pinned setting is being evaluated on another split.
    repin: Option<RunId>,
    sweep: Option<Sweep>,
    shows: Shows,
}

/// A list that lies over the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Menu {
    Methods { cursor: usize },
    Experts { cursor: usize },
}

/// Which half is shown when there is room for one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Pane {
    Form,
    #[default]
    Results,
}

/// What is shown beside the bars, or instead of them where there is no room for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Shows {
    /// Nothing but what has room, and what is being learned.
    #[default]
    Bars,
    /// The curve of the sweep.
    Curve,
    /// What was learned, or whom routers ask.
    Learned,
}

/// A result that others are compared with.
#[derive(Debug, Clone)]
struct Pinned {
    setting: Setting,
    label: String,
    board: Board,
    /// Nobody asked for it: the first result of the session.
    automatic: bool,
}

impl Pinned {
    fn new(setting: Setting, board: Board, automatic: bool) -> Self {
        let label = remember::label(&setting);
        Self { setting, label, board, automatic }
    }

    /// Whether every task was evaluated to the end on `data`.
    fn is_known_on(&self, data: Data) -> bool {
        self.board.data == data && self.board.slots.iter().all(|slot| !slot.outcomes.is_empty())
    }
}

impl State {
    /// What previews are evaluated on.
    #[must_use]
    pub fn data(&self) -> Data {
        Data { split: self.split, corruption: self.corruption }
    }

    #[must_use]
    pub fn new(catalog: &Catalog) -> Self {
        let experts = catalog.usual_experts();
        let fits = |method: &&'static Method| method.check(catalog.has_base, experts.len()).is_ok();
        let usual = catalog.methods.iter().copied().find(|method| method.id == "task_arithmetic").filter(fits);
        let first = || catalog.methods.iter().copied().find(fits);
        let method = usual.or_else(first).unwrap_or(&crate::fusion::registry::methods::task_arithmetic::METHOD);
        let split = Split::Validation;
        let mut state = Self {
            setting: Setting::defaults(method, experts),
            kept: Vec::new(),
            chosen: None,
            edits: Edits::default(),
            split,
            corruption: None,
            focus: FIRST_SLIDER,
            block: 0,
            link: Link::default(),
            advanced: false,
            menu: None,
            pane: Pane::default(),
            waits: false,
            current: None,
            board: jobs::empty_board(catalog, Data { split, corruption: None }),
            pinned: None,
            asked: None,
            shown: None,
            seen_on_test: BTreeSet::new(),
            repin: None,
            sweep: None,
            shows: Shows::default(),
        };
        state.clamp(catalog.groups.len());
        state
    }

    /// What the numbers on screen are of, where that is not what is dialled in: the change waits, or it is one that takes a
    /// while and has no numbers yet. (Others have theirs at once.)
    fn before_change(&self) -> Option<&Setting> {
        let shown = self.shown.as_ref()?;
        let scored = self.board.slots.iter().any(|slot| slot.score.is_some());
        let slow = shown.method.id != self.setting.method.id || is_costly(shown, &self.setting);
        (scored && (self.waits || slow)).then_some(shown)
    }

    fn rows(&self) -> Vec<Row> {
        form::rows(&self.setting, self.advanced)
    }

    fn row(&self) -> Row {
        self.rows().get(self.focus).copied().unwrap_or(Row::Method)
    }

    /// The parameter under the cursor.
    fn focused_spec(&self) -> Option<(Row, &'static Spec)> {
        let row = self.row();
        match row {
            Row::Param(at) | Row::Expert { spec: at, .. } => Some((row, self.setting.method.specs.get(at)?)),
            Row::Method | Row::Experts => None,
        }
    }

    /// Keeps the cursor on something that is there.
    fn clamp(&mut self, blocks: usize) {
        self.focus = self.focus.min(self.rows().len().saturating_sub(1));
        self.block = self.block.min(blocks.saturating_sub(1));
    }
}

/// The first time the screen is seen, what it shows is on its way already.
pub fn opened(model: &mut Model, fx: &mut Vec<Effect>) {
    if model.tune.current.is_none() {
        preview(model, fx);
    }
}

pub fn pane(model: &mut Model, _step: isize) {
    model.tune.pane = match model.tune.pane {
        Pane::Form => Pane::Results,
        Pane::Results => Pane::Form,
    };
}

pub fn mouse(model: &mut Model, hit: Hit, fx: &mut Vec<Effect>) {
    actions::mouse(model, hit, fx);
}

pub fn heard(model: &mut Model, event: &Event, fx: &mut Vec<Effect>) {
    jobs::heard(model, event, fx);
}

/// Names of the experts that the recipe combines, in pool order.
#[must_use]
pub fn experts(model: &Model) -> &[String] {
    &model.tune.setting.experts
}

/// Combines these experts from now on; names that the pool does not have are left out.
pub fn set_experts(model: &mut Model, experts: Vec<String>, fx: &mut Vec<Effect>) {
    actions::set_experts(model, &experts, fx);
}
