//! What keys and clicks do to the setting. Every change goes through [`change_to`]: undo, honesty about the split, and
//! the next preview hang on it.

use super::form::{self, Link, Part, Row};
use super::setting::{Key, Setting};
use super::{FIRST_SLIDER, Menu, Pane, Pinned, Shows, jobs, sweep};
use crate::engine::JobKind;
use crate::fusion::{Examples, Method};
use crate::params::{Cost, Kind, Spec, Value};
use crate::tasks::corruption::{self, MOST, USUAL};
use crate::tasks::{Corruption, Data, Split};
use crate::tui::effect::{Effect, Export};
use crate::tui::hit::{Hit, Target};
use crate::tui::model::Model;
use crate::tui::overlay::{self, Entry, Overlay};
use crate::tui::widgets::slider::Slider;

/// Slider steps of a coarse move.
pub const COARSE: i64 = 5;

/// Puts `next` on the screen and shows what it does; costly changes wait for Enter.
pub fn change_to(model: &mut Model, mut next: Setting, key: Key, fx: &mut Vec<Effect>) {
    let tune = &mut model.tune;
    if next == tune.setting {
        return;
    }
    let same_method = next.method.id == tune.setting.method.id;
    // Whoever has seen a test result of the method has it in mind with every further move, on whatever split.
    let tuned =
        same_method && tune.seen_on_test.contains(next.method.id) && !is_default(&next, model.catalog.usual_experts());
    let news = tuned && !next.tuned_on_test;
    next.tuned_on_test |= tuned;
    let costly = same_method && is_costly(&tune.setting, &next);
    if !same_method {
        keep(&mut tune.kept, tune.setting.clone());
        tune.focus = FIRST_SLIDER;
    }
    tune.edits.push(tune.setting.clone(), next.clone(), key, model.now);
    tune.setting = next;
    settle(model, costly, fx);
    if news {
        model.say("its test results were seen: this counts as tuned on test (u goes back)", false);
    }
}

fn keep(kept: &mut Vec<Setting>, setting: Setting) {
    kept.retain(|other| other.method.id != setting.method.id);
    kept.push(setting);
}

/// Nothing is chosen in it: it cannot have been tuned on anything.
fn is_default(setting: &Setting, experts: &[String]) -> bool {
    let defaults = Setting::defaults(setting.method, experts);
    defaults.params == setting.params && defaults.experts == setting.experts
}

/// Whether the change is one of those that wait for Enter, of one method.
pub fn is_costly(before: &Setting, after: &Setting) -> bool {
    let differs = |spec: &&Spec| before.params.get(spec.name) != after.params.get(spec.name);
    after.method.specs.iter().filter(differs).any(|spec| spec.cost == Cost::Costly)
}

fn settle(model: &mut Model, costly: bool, fx: &mut Vec<Effect>) {
    model.tune.clamp(model.catalog.groups.len());
    if costly || model.tune.waits {
        model.tune.waits = true;
        // What is shown is what was there before.
        model.tune.board.expect(model.tune.board.data);
    } else {
        jobs::preview(model, fx);
    }
}

pub fn undo(model: &mut Model, fx: &mut Vec<Effect>) {
    let setting = model.tune.edits.undo();
    go_to(model, setting, fx);
}

pub fn redo(model: &mut Model, fx: &mut Vec<Effect>) {
    let setting = model.tune.edits.redo();
    go_to(model, setting, fx);
}

fn go_to(model: &mut Model, setting: Option<Setting>, fx: &mut Vec<Effect>) {
    let Some(setting) = setting else { return };
    let costly = setting.method.id == model.tune.setting.method.id && is_costly(&model.tune.setting, &setting);
    model.tune.setting = setting;
    settle(model, costly, fx);
}

/// Moves the cursor: in the open list, or from row to row.
pub fn step(model: &mut Model, by: isize) {
    let order = super::view::menu_order(model);
    let experts = model.catalog.experts.len();
    let rows = model.tune.rows().len();
    let moved = |at: usize, n: usize| at.saturating_add_signed(by).min(n.saturating_sub(1));
    match &mut model.tune.menu {
        Some(Menu::Methods { cursor }) => {
            let at = order.iter().position(|method| method == cursor).unwrap_or(0);
            *cursor = order.get(moved(at, order.len())).copied().unwrap_or(0);
        }
        Some(Menu::Experts { cursor }) => *cursor = moved(*cursor, experts),
        None => model.tune.focus = moved(model.tune.focus, rows),
    }
}

/// Moves what is under the cursor by slider steps; on the method row, to the next method.
pub fn nudge(model: &mut Model, steps: i64, fx: &mut Vec<Effect>) {
    if model.tune.menu.is_some() {
        return;
    }
    match model.tune.row() {
        Row::Method => cycle_method(model, steps.signum(), fx),
        Row::Experts => model.tune.menu = Some(Menu::Experts { cursor: 0 }),
        Row::Param(_) | Row::Expert { .. } => {
            let Some((row, spec)) = model.tune.focused_spec() else { return };
            if form::is_per_expert(spec) {
                set_part(model, row, spec, |x| spec.nudge_number(x, steps), fx);
            } else {
                let old = value(&model.tune.setting, spec);
                let steps = if spec.range().is_some() { steps } else { steps.signum() };
                set_value(model, spec, spec.nudge(&old, steps), fx);
            }
        }
    }
}

/// Sets the number under the cursor, on the slider's grid and within its range.
pub fn set_number(model: &mut Model, number: f64, fx: &mut Vec<Effect>) {
    let Some((row, spec)) = model.tune.focused_spec() else { return };
    let number = spec.nudge_number(number, 0);
    if form::is_per_expert(spec) {
        set_part(model, row, spec, |_| number, fx);
    } else if matches!(spec.kind, Kind::Int { .. }) {
        set_value(model, spec, Value::Int(number.round() as i64), fx);
    } else if spec.range().is_some() {
        set_value(model, spec, Value::Float(number), fx);
    }
}

/// To the lower (false) or upper (true) end of the range.
pub fn to_end(model: &mut Model, upper: bool, fx: &mut Vec<Effect>) {
    let Some((low, high)) = model.tune.focused_spec().and_then(|(_, spec)| spec.range()) else { return };
    set_number(model, if upper { high } else { low }, fx);
}

fn value(setting: &Setting, spec: &Spec) -> Value {
    setting.params.get(spec.name).cloned().unwrap_or_else(|| Value::default_of(spec))
}

fn set_part(model: &mut Model, row: Row, spec: &'static Spec, f: impl Fn(f64) -> f64, fx: &mut Vec<Effect>) {
    let tune = &model.tune;
    let shape = (tune.setting.experts.len(), model.catalog.groups.len());
    let part = Part::of(row, spec, tune.block, tune.link);
    let moved = form::change(&value(&tune.setting, spec), spec, part, shape, f);
    set_value(model, spec, moved, fx);
}

fn set_value(model: &mut Model, spec: &'static Spec, value: Value, fx: &mut Vec<Effect>) {
    let mut next = model.tune.setting.clone();
    let key = Key::Param { name: spec.name, row: model.tune.focus, column: model.tune.block };
    match next.params.set(next.method.specs, spec.name, value) {
        Ok(()) => change_to(model, next, key, fx),
        Err(error) => model.say(error.to_string(), true),
    }
}

/// Moves along the blocks of a table.
pub fn step_block(model: &mut Model, by: isize) {
    let blocks = model.catalog.groups.len();
    model.tune.block = model.tune.block.saturating_add_signed(by).min(blocks.saturating_sub(1));
}

/// The next way of moving numbers together.
pub fn link(model: &mut Model) {
    let per_block = model.tune.focused_spec().is_some_and(|(_, spec)| form::is_per_block(spec));
    model.tune.link = match (model.tune.link, per_block) {
        (Link::None, _) => Link::All,
        (Link::All, true) => Link::Row,
        (Link::Row, true) => Link::Column,
        _ => Link::None,
    };
    model.say(model.tune.link.word(), false);
}

/// The parameter under the cursor back to its default.
pub fn reset(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some((_, spec)) = model.tune.focused_spec() else { return };
    let mut next = model.tune.setting.clone();
    if next.params.set(next.method.specs, spec.name, Value::default_of(spec)).is_ok() {
        change_to(model, next, Key::Single, fx);
    }
}

/// All parameters back to their defaults, with all experts that the method takes.
pub fn reset_all(model: &mut Model, fx: &mut Vec<Effect>) {
    let defaults = Setting::defaults(model.tune.setting.method, model.catalog.usual_experts());
    change_to(model, defaults, Key::Single, fx);
}

/// Opens a field for an exact value.
pub fn exact(model: &mut Model) {
    let Some((row, spec)) = model.tune.focused_spec() else { return };
    let whole = value(&model.tune.setting, spec);
    let (text, of) = match row {
        Row::Expert { expert, .. } => (
            form::number(&whole, expert, model.tune.block).map(|x| Value::Float(x).to_string()).unwrap_or_default(),
            model.tune.setting.experts.get(expert).map(|name| format!(" of {name}")).unwrap_or_default(),
        ),
        _ => (whole.to_string(), String::new()),
    };
    let hint = format!("{}: {}", spec.help.trim_end_matches('.'), expected(spec, row));
    model.overlay = Some(Overlay::Entry(Entry::new(format!("{}{of}", spec.name), hint, text, entered).replacing()));
}

fn expected(spec: &Spec, row: Row) -> String {
    let list = match (spec.kind, row) {
        (Kind::PerModel { .. }, Row::Param(_)) => ", or one an expert: 0.1, 0.2, …",
        (Kind::PerGroup { .. }, Row::Param(_)) => ", or one an expert, or [[…], …] by expert and block",
        _ => "",
    };
    match (spec.kind, spec.range()) {
        (_, Some((low, high))) if spec.is_wider_than_slider() => {
            format!("{}; the slider has {} to {}{list}", spec.bounds, Value::Float(low), Value::Float(high))
        }
        (_, Some((low, high))) => format!("{} to {}{list}", Value::Float(low), Value::Float(high)),
        (Kind::Choice { options, .. }, _) => options.join(", "),
        (Kind::Bool { .. }, _) => "yes or no".to_owned(),
        (Kind::Text { .. }, _) => "text".to_owned(),
        _ => "a whole number".to_owned(),
    }
}

fn entered(model: &mut Model, text: &str, fx: &mut Vec<Effect>) -> Result<(), String> {
    let Some((row, spec)) = model.tune.focused_spec() else { return Ok(()) };
    let typed = Value::parse(spec, text).map_err(|error| error.to_string())?;
    let mut next = model.tune.setting.clone();
    let shape = (next.experts.len(), model.catalog.groups.len());
    let typed = match (row, &typed) {
        (Row::Expert { .. }, Value::Float(x)) => {
            let part = Part::of(row, spec, model.tune.block, model.tune.link);
            form::change(&value(&next, spec), spec, part, shape, |_| *x)
        }
        (Row::Expert { .. }, _) => return Err("one number, please".to_owned()),
        _ => typed,
    };
    form::check_shape(spec, &typed, shape)?;
    next.params.set(next.method.specs, spec.name, typed).map_err(|error| error.to_string())?;
    change_to(model, next, Key::Single, fx);
    Ok(())
}

/// Where the method in use stands among all.
fn in_use(model: &Model) -> Option<usize> {
    model.catalog.methods.iter().position(|method| method.id == model.tune.setting.method.id)
}

/// Opens the list of methods, or closes it.
pub fn toggle_menu(model: &mut Model) {
    let at = in_use(model);
    model.tune.menu = match model.tune.menu {
        Some(Menu::Methods { .. }) => None,
        _ => Some(Menu::Methods { cursor: at.unwrap_or(0) }),
    };
    model.tune.pane = Pane::Form;
}

/// Opens the methods as a list that is narrowed by typing: there are too many to walk through.
pub fn find_method(model: &mut Model) {
    let mut found = overlay::Menu::new("Methods", |model, chosen, fx| {
        let Some(method) = model.catalog.methods.get(chosen).copied() else { return };
        model.tune.menu = None;
        model.tune.pane = Pane::Form;
        use_method(model, method, fx);
    });
    for method in model.catalog.methods {
        let row = found.add(method.name, method.formula);
        method.family.title().clone_into(&mut row.keys);
        row.aliases = format!("{} {} {}", method.id, row.keys, method.reference);
        row.disabled = fits(model, method).err();
    }
    found.select(in_use(model).unwrap_or(0));
    model.overlay = Some(Overlay::Menu(found));
}

/// Opens the list of experts, or closes it.
pub fn toggle_experts(model: &mut Model) {
    model.tune.menu = match model.tune.menu {
        Some(Menu::Experts { .. }) => None,
        _ => Some(Menu::Experts { cursor: 0 }),
    };
}

/// Enter on a list or on the rows that open one.
pub fn choose(model: &mut Model, fx: &mut Vec<Effect>) {
    match model.tune.menu {
        Some(Menu::Methods { cursor }) => {
            let Some(method) = model.catalog.methods.get(cursor).copied() else { return };
            match fits(model, method) {
                Ok(()) => {
                    model.tune.menu = None;
                    use_method(model, method, fx);
                }
                Err(reason) => model.say(reason, true),
            }
        }
        Some(Menu::Experts { cursor }) => toggle_expert(model, cursor, fx),
        None if model.tune.row() == Row::Experts => model.tune.menu = Some(Menu::Experts { cursor: 0 }),
        None => toggle_menu(model),
    }
}

/// Whether the method can be used with the pool: with all experts, or with as many of them as it takes.
///
/// # Errors
/// The reason why not.
pub fn fits(model: &Model, method: &Method) -> Result<(), String> {
    let experts = model.catalog.experts.len().min(method.needs.max_models.unwrap_or(usize::MAX));
    method.check(model.catalog.has_base, experts).map_err(|error| error.to_string())
}

fn cycle_method(model: &mut Model, by: i64, fx: &mut Vec<Effect>) {
    let methods = model.catalog.methods;
    let Some(at) = in_use(model) else { return };
    let n = methods.len() as i64;
    let others = (1..n).map(|i| methods[(at as i64 + by * i).rem_euclid(n) as usize]);
    if let Some(method) = others.into_iter().find(|method| fits(model, method).is_ok()) {
        use_method(model, method, fx);
        model.tune.focus = 0;
    }
}

/// Switches to a method, with what had been dialled in for it before.
pub fn use_method(model: &mut Model, method: &'static Method, fx: &mut Vec<Effect>) {
    let kept = model.tune.kept.iter().find(|setting| setting.method.id == method.id).cloned();
    let usual = model.catalog.usual_experts();
    // Who was chosen by hand stays chosen, also past a method that only takes two, so that methods are compared on the same.
    let current = &model.tune.setting;
    if current.method.needs.max_models.is_none() {
        model.tune.chosen = (current.experts != usual).then(|| current.experts.clone());
    }
    let chosen = model.tune.chosen.clone().filter(|experts| takes(method, experts.len()));
    let next = kept.unwrap_or_else(|| Setting::defaults(method, chosen.as_deref().unwrap_or(usual)));
    let next = match &chosen {
        Some(experts) => with_experts(&next, experts.clone(), model.catalog.groups.len()),
        None => next,
    };
    let fewer = next.experts.len() < usual.len();
    if fewer && chosen.is_none() {
        model.say(
            format!("{} on {}: choose others in the row `experts`", method.name, next.experts.join(" and ")),
            false,
        );
    }
    change_to(model, next, Key::Single, fx);
}

fn takes(method: &Method, experts: usize) -> bool {
    experts >= method.needs.min_models && method.needs.max_models.is_none_or(|most| experts <= most)
}

/// The setting with other experts; per-expert values follow the experts.
fn with_experts(before: &Setting, experts: Vec<String>, blocks: usize) -> Setting {
    let mut next = Setting { experts, ..before.clone() };
    for spec in next.method.specs {
        let moved = form::rechoose(&value(before, spec), spec, &before.experts, &next.experts, blocks);
        // The numbers come from the old value and the default, so they fit.
        let _ = next.params.set(next.method.specs, spec.name, moved);
    }
    next
}

/// Takes an expert in or leaves it out.
pub fn toggle_expert(model: &mut Model, at: usize, fx: &mut Vec<Effect>) {
    let Some(name) = model.catalog.experts.get(at) else { return };
    let before = &model.tune.setting.experts;
    let chosen = |other: &&String| before.contains(*other) != (*other == name);
    let experts: Vec<String> = model.catalog.experts.iter().filter(chosen).cloned().collect();
    set_experts(model, &experts, fx);
}

/// Combines other experts; per-expert values follow the experts.
pub fn set_experts(model: &mut Model, experts: &[String], fx: &mut Vec<Effect>) {
    let before = model.tune.setting.clone();
    // In pool order, whatever the order they were chosen in.
    let experts: Vec<String> = model.catalog.experts.iter().filter(|name| experts.contains(*name)).cloned().collect();
    let next = with_experts(&before, experts, model.catalog.groups.len());
    change_to(model, next, Key::Single, fx);
    if let Err(reason) = jobs::check(model, &model.tune.setting) {
        model.say(reason, true);
    }
}

/// Closes what lies over the form or the bars.
pub fn close(model: &mut Model) {
    let tune = &mut model.tune;
    if tune.menu.take().is_none() {
        tune.shows = Shows::Bars;
    }
}

/// Validation or test.
pub fn toggle_split(model: &mut Model, fx: &mut Vec<Effect>) {
    model.tune.split = if model.tune.split == Split::Test { Split::Validation } else { Split::Test };
    model.say(
        match model.tune.split {
            Split::Test => "test split: for reporting; what you tune here is marked as tuned on test",
            _ => "validation split: for tuning",
        },
        false,
    );
    jobs::preview(model, fx);
}

/// Pins what is shown for comparison, or lets go of it when it is what is pinned.
pub fn pin(model: &mut Model) {
    let tune = &mut model.tune;
    match &tune.pinned {
        Some(pinned) if pinned.setting == tune.setting && !pinned.automatic => {
            tune.pinned = None;
            model.say("unpinned", false);
        }
        _ => {
            let pinned = Pinned::new(tune.setting.clone(), tune.board.clone(), false);
            let text = format!("pinned {}: later results are compared with it", pinned.label);
            tune.pinned = Some(pinned);
            model.say(text, false);
        }
    }
}

/// Shows the sweep of the number under the cursor, starting it if there is none yet; hides it when it is shown.
pub fn toggle_sweep(model: &mut Model, fx: &mut Vec<Effect>) {
    if model.tune.shows == Shows::Curve {
        model.tune.shows = Shows::Bars;
        return;
    }
    match sweep::Sweep::of(model) {
        Ok(new) => {
            let same = model.tune.sweep.as_ref().is_some_and(|old| old.same_as(&new));
            if !same {
                model.tune.sweep = Some(new);
            }
            model.tune.shows = Shows::Curve;
            model.tune.pane = Pane::Results;
            let busy = model.tune.current.and_then(|id| model.runs.get(id)).is_some_and(|run| !run.state.is_over());
            if !busy {
                sweep::next(model, fx);
            }
        }
        Err(reason) => model.say(reason, true),
    }
}

/// Shows what was learned instead of the bars, or the bars again.
pub fn toggle_learned(model: &mut Model, _: &mut Vec<Effect>) {
    let tune = &mut model.tune;
    tune.shows = if tune.shows == Shows::Learned { Shows::Bars } else { Shows::Learned };
    tune.pane = Pane::Results;
}

/// The next kind of corruption, from images as they are through all kinds and back.
pub fn next_corruption(model: &mut Model, fx: &mut Vec<Effect>) {
    let now = model.tune.corruption;
    let next = match now {
        None => corruption::Kind::ALL.first().copied(),
        Some(now) => corruption::Kind::ALL.into_iter().skip_while(|kind| *kind != now.kind()).nth(1),
    };
    let severity = now.map_or(USUAL, Corruption::severity);
    look_at(model, next.and_then(|kind| Corruption::new(kind, severity)), fx);
}

/// The next severity, from the highest to the lowest.
pub fn next_severity(model: &mut Model, fx: &mut Vec<Effect>) {
    let next = |now: Corruption| Corruption::new(now.kind(), now.severity() % MOST + 1);
    look_at(model, model.tune.corruption.and_then(next), fx);
}

fn look_at(model: &mut Model, corruption: Option<Corruption>, fx: &mut Vec<Effect>) {
    model.tune.corruption = corruption;
    match corruption {
        None => model.say("images as they are", false),
        Some(corruption) => {
            model.say(
                format!("{}: scores of base and experts, of clean images, are left out", corruption.title()),
                false,
            );
        }
    }
    jobs::preview(model, fx);
}

/// Puts the best value of the sweep on the screen.
pub fn apply_best(model: &mut Model, fx: &mut Vec<Effect>) {
    let blocks = model.catalog.groups.len();
    let Some(sweep) = &model.tune.sweep else { return };
    let Some((value, _)) = sweep.best() else { return };
    let mut next = sweep.setting_at(value, blocks);
    next.tuned_on_test |= sweep.data.split == Split::Test;
    change_to(model, next, Key::Single, fx);
}

/// Puts what the preview on screen has learned into sliders, as an edit that can be undone.
pub fn keep_as_sliders(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some(run) = model.tune.current.and_then(|id| model.runs.get(id)) else { return };
    let Some(learned) = run.learned.as_ref().filter(|learned| !learned.masked) else { return };
    let id = if learned.blocks.len() == 1 { "task_wise" } else { "layer_wise" };
    let Some(method) = model.catalog.methods.iter().copied().find(|method| method.id == id) else { return };
    let Some(spec) = method.specs.iter().find(|spec| spec.name == "scaling") else { return };
    let number = |x: &f64| (x * 1e4).round() / 1e4;
    let table: Vec<Vec<f64>> = learned.coefficients.iter().map(|row| row.iter().map(number).collect()).collect();
    let value = if id == "task_wise" { Value::List(table.concat()) } else { Value::Table(table) };
    let mut next = Setting::defaults(method, &run.job.recipe.experts);
    // Numbers that came from test inputs stay what they are.
    next.tuned_on_test = run.tuned_on_test || run.job.recipe.is_transductive();
    let words = if learned.exact {
        "what was learned, as sliders: u goes back"
    } else {
        "the mean of each block, as sliders: not quite the same model; u goes back"
    };
    match next.params.set(method.specs, spec.name, value) {
        Ok(()) => {
            change_to(model, next, Key::Single, fx);
            model.say(words, false);
        }
        Err(error) => model.say(error.to_string(), true),
    }
}

/// Writes the recipe, or the fused weights, to disk.
pub fn export(model: &mut Model, weights: bool, fx: &mut Vec<Effect>) {
    if let Err(reason) = jobs::check(model, &model.tune.setting) {
        model.say(reason, true);
        return;
    }
    let method = model.tune.setting.method;
    if weights && !method.gives_weights() {
        model.say(format!("no weights of {}: it is no single model; `e` exports the recipe", method.name), true);
        return;
    }
    if weights && method.needs.data != Examples::None {
        model.say("writing weights: what is no longer at hand of what was learned is learned again", false);
    }
    let job = jobs::job(model, &model.tune.setting, JobKind::Run, Data::default(), None);
    fx.push(Effect::Export(if weights { Export::Checkpoint(job) } else { Export::Recipe(job) }));
}

pub fn mouse(model: &mut Model, hit: Hit, fx: &mut Vec<Effect>) {
    match hit.target {
        Target::Slider { index } | Target::Row { list: "tune.form", index } => {
            if let Some(turn) = hit.wheel() {
                model.tune.focus = index;
                nudge(model, -turn as i64, fx);
            } else if hit.pressed() {
                model.tune.focus = index;
                model.tune.clamp(model.catalog.groups.len());
                if matches!(hit.target, Target::Slider { .. })
                    && let Some(slider) = focused_slider(model)
                {
                    set_number(model, slider.value_at(hit.fraction()), fx);
                } else if is_click(hit) && matches!(model.tune.row(), Row::Method | Row::Experts) {
                    choose(model, fx);
                }
            }
        }
        Target::Cell { list: "tune.form", row, column } if hit.pressed() => {
            model.tune.focus = row;
            model.tune.block = column;
            model.tune.clamp(model.catalog.groups.len());
        }
        Target::Row { list: "tune.methods", index } if is_click(hit) => {
            model.tune.menu = Some(Menu::Methods { cursor: index });
            choose(model, fx);
        }
        Target::Row { list: "tune.experts", index } if is_click(hit) => {
            model.tune.menu = Some(Menu::Experts { cursor: index });
            choose(model, fx);
        }
        _ => {
            if let Some(turn) = hit.wheel() {
                step(model, turn);
            }
        }
    }
}

fn is_click(hit: Hit) -> bool {
    matches!(hit.kind, crossterm::event::MouseEventKind::Down(_))
}

/// The slider under the cursor, if it is one.
#[must_use]
pub fn focused_slider(model: &Model) -> Option<Slider> {
    let (row, spec) = model.tune.focused_spec()?;
    form::slider(&model.tune.setting, row, spec, model.tune.block)
}
