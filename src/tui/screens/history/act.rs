//! What a person can do on the History screen.

use super::{Pane, detail};
use crate::engine::{Preset, Recipe};
use crate::store::{NewRun, RunRecord};
use crate::text::printable;
use crate::tui::command::Command;
use crate::tui::effect::{Effect, Export};
use crate::tui::filter;
use crate::tui::model::{Model, Screen};
use crate::tui::overlay::{Entry, Overlay, Question};
use crate::tui::screens::{self, compare, tune};

const HERE: Screen = Screen::History;

fn some(model: &Model) -> Result<(), &'static str> {
    model.history.current().map(|_| ()).ok_or("no run is selected: press 2, move a slider, press Enter")
}

pub const COMMANDS: &[Command] = &[
    Command::on(HERE, "history.up", &["up", "k"], "Up", "Move up", |m, _| step(m, -1)),
    Command::on(HERE, "history.down", &["down", "j"], "Down", "Move down", |m, _| step(m, 1)),
    Command::on(HERE, "history.page_up", &["pageup"], "Page up", "Move up by ten", |m, _| step(m, -10)),
    Command::on(HERE, "history.page_down", &["pagedown"], "Page down", "Move down by ten", |m, _| step(m, 10)),
    Command::on(HERE, "history.first", &["home", "g"], "First", "Move to the first run", |m, _| {
        step(m, isize::MIN / 2);
    }),
    Command::on(HERE, "history.last", &["end", "G"], "Last", "Move to the last run", |m, _| step(m, isize::MAX / 2)),
    Command {
        aliases: &["load", "reload", "restore", "tune"],
        priority: 70,
        enabled: some,
        ..Command::on(HERE, "history.reload", &["r", "enter"], "Recipe", "Take the run's recipe up in Tune", |m, fx| {
            if let Some(run) = m.history.current().map(|record| record.run.clone()) {
                reload(m, &run, fx);
            }
        })
    },
    Command {
        aliases: &["compare", "select"],
        priority: 65,
        enabled: some,
        ..Command::on(
            HERE,
            "history.mark",
            &["space"],
            "Mark",
            "Mark the run for Compare, or take the mark away",
            |m, _| {
                if let Some(run) = m.history.current().map(|record| record.run.clone()) {
                    compare::mark(m, &run);
                }
            },
        )
    },
    Command {
        aliases: &["keep", "star", "favourite"],
        priority: 40,
        enabled: some,
        ..Command::on(HERE, "history.pin", &["p"], "Pin", "Keep the run at the top, or no longer", |m, fx| {
            if let Some(record) = m.history.current() {
                fx.push(Effect::Pin { id: record.id, pinned: !record.pinned });
            }
        })
    },
    Command {
        aliases: &["remove", "forget"],
        priority: 30,
        enabled: some,
        ..Command::on(HERE, "history.delete", &["d", "delete"], "Delete", "Delete the run from the history", |m, _| {
            ask_delete(m);
        })
    },
    Command {
        aliases: &["save", "svg", "png", "csv", "markdown"],
        priority: 35,
        enabled: some,
        ..Command::on(
            HERE,
            "history.export",
            &["e"],
            "Export",
            "Write the run's chart (SVG, PNG) and table (CSV, Markdown)",
            |m, fx| {
                if let Some(record) = m.history.current() {
                    fx.push(Effect::Export(Export::Runs(vec![record.run.clone()])));
                }
            },
        )
    },
    Command {
        aliases: &["clipboard", "toml", "yank"],
        enabled: some,
        ..Command::on(HERE, "history.copy", &["y"], "Copy", "Copy the run's recipe to the clipboard", |m, fx| {
            if let Some(record) = m.history.current() {
                fx.push(Effect::Copy(record.run.recipe_toml.clone()));
            }
        })
    },
    Command {
        aliases: &["search", "find"],
        priority: 45,
        ..Command::on(
            HERE,
            "history.filter",
            &["/"],
            "Filter",
            "Show only runs that match, letter by letter",
            |m, _| {
                let hint = "letters of label, method, split or device in this order; empty shows all";
                let done = |m: &mut Model, text: &str, _: &mut Vec<Effect>| {
                    text.clone_into(&mut m.history.filter);
                    m.history.focus = Pane::List;
                    Ok(())
                };
                m.overlay =
                    Some(Overlay::Entry(Entry::new("Filter runs", hint, m.history.filter.clone(), done).live()));
            },
        )
    },
];

/// Moves in the list, or scrolls the details.
pub fn step(model: &mut Model, by: isize) {
    match model.history.focus {
        Pane::List => {
            let shown: Vec<i64> = model.history.shown().iter().map(|record| record.id).collect();
            let current = model.history.current().map(|record| record.id);
            model.history.selected = filter::step(&shown, current, by);
            model.history.scroll = 0;
        }
        Pane::Detail => {
            let last = detail::len(model).saturating_sub(1);
            model.history.scroll = model.history.scroll.saturating_add_signed(by).min(last);
        }
    }
}

/// Takes a stored run's recipe up in Tune and goes there; a recipe that cannot be read is explained.
pub fn reload(model: &mut Model, run: &NewRun, fx: &mut Vec<Effect>) {
    let taken =
        Preset::parse(&run.recipe_toml, "stored recipe").map_err(|error| error.to_string()).and_then(|preset| {
            let experts = preset.experts().unwrap_or_else(|| model.catalog.experts.clone());
            let recipe = Recipe { method: preset.method().id.to_owned(), params: preset.params().clone(), experts };
            tune::load(model, &recipe, (run.tuned_on_test, run.split.starts_with("test")), fx)
        });
    match taken {
        Ok(()) => screens::open(model, Screen::Tune, fx),
        Err(reason) => model.say(format!("This recipe cannot be taken up: {}", printable(&reason)), true),
    }
}

fn ask_delete(model: &mut Model) {
    let Some(RunRecord { id, run, .. }) = model.history.current() else { return };
    let text = format!("Delete run {id}, {}, from the history? This cannot be undone.", printable(&run.label));
    // The answer comes later, so the run has to stay the selected one.
    model.history.selected = Some(*id);
    model.overlay = Some(Overlay::Question(Question::new("Delete", text, |model, fx| {
        if let Some(id) = model.history.selected {
            let shown: Vec<i64> = model.history.shown().iter().map(|record| record.id).collect();
            let next = filter::step(&shown, Some(id), 1).filter(|next| *next != id);
            model.history.selected = next.or_else(|| filter::step(&shown, Some(id), -1));
            fx.push(Effect::Forget(id));
        }
    })));
}
