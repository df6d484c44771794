//! What a person can do on the Compare screen.

use super::remove;
use crate::tui::command::Command;
use crate::tui::effect::{Effect, Export};
use crate::tui::model::{Model, Screen};
use crate::tui::screens::history;

const HERE: Screen = Screen::Compare;

const fn some(model: &Model) -> Result<(), &'static str> {
    if model.compare.runs.is_empty() {
        Err("no run is marked; space marks them on Run (3) and History (5)")
    } else {
        Ok(())
    }
}

const fn two(model: &Model) -> Result<(), &'static str> {
    match model.compare.runs.len() {
        0 => some(model),
        1 => Err("one run is marked; a second one is needed"),
        _ => Ok(()),
    }
}

pub const COMMANDS: &[Command] = &[
    Command::on(HERE, "compare.up", &["up", "k"], "Up", "Move up in the marked runs", |m, _| step(m, -1)),
    Command::on(HERE, "compare.down", &["down", "j"], "Down", "Move down in the marked runs", |m, _| step(m, 1)),
    Command {
        aliases: &["reference", "baseline", "swap"],
        priority: 60,
        enabled: some,
        ..Command::on(
            HERE,
            "compare.reference",
            &["s"],
            "Reference",
            "Make the selected run the one that others are measured against",
            |m, _| {
                let compare = &mut m.compare;
                if compare.selected < compare.runs.len() {
                    let run = compare.runs.remove(compare.selected);
                    compare.runs.insert(0, run);
                    compare.selected = 0;
                }
            },
        )
    },
    Command {
        aliases: &["unmark"],
        priority: 50,
        enabled: some,
        ..Command::on(
            HERE,
            "compare.remove",
            &["x", "delete"],
            "Take away",
            "Take the selected run out of the comparison",
            |m, _| {
                remove(m, m.compare.selected);
            },
        )
    },
    Command {
        enabled: some,
        ..Command::on(HERE, "compare.clear", &["X"], "Clear", "Take all runs out of the comparison", |m, _| {
            m.compare.runs.clear();
            m.compare.selected = 0;
        })
    },
    Command {
        aliases: &["mark", "newest"],
        priority: 55,
        ..Command::on(
            HERE,
            "compare.add",
            &["a"],
            "Add newest",
            "Add the newest stored run that is not marked yet",
            |m, _| {
                let records = &m.history.records;
                let next = records.iter().map(|record| &record.run).find(|run| !super::is_marked(m, run)).cloned();
                match next.map(|run| super::toggle(m, &run)) {
                    Some(Ok(_)) => {}
                    Some(Err(reason)) => m.say(reason, true),
                    None => m.say("There is no other stored run: press 2, move a slider, press Enter", true),
                }
            },
        )
    },
    Command {
        aliases: &["recipe", "load", "reload"],
        enabled: some,
        ..Command::on(HERE, "compare.reload", &["r"], "Recipe", "Take the selected run's recipe up in Tune", |m, fx| {
            if let Some(run) = m.compare.runs.get(m.compare.selected).cloned() {
                history::reload(m, &run, fx);
            }
        })
    },
    Command {
        aliases: &["chart", "bars", "table"],
        priority: 40,
        enabled: two,
        ..Command::on(
            HERE,
            "compare.chart",
            &["v"],
            "Chart",
            "Switch between table and chart where there is no room for both",
            |m, _| {
                m.compare.chart = !m.compare.chart;
            },
        )
    },
    Command {
        aliases: &["save", "svg", "png", "csv", "markdown"],
        priority: 45,
        enabled: some,
        ..Command::on(
            HERE,
            "compare.export",
            &["e"],
            "Export",
            "Write chart (SVG, PNG) and tables (CSV, Markdown)",
            |m, fx| {
                fx.push(Effect::Export(Export::Runs(m.compare.runs.clone())));
            },
        )
    },
];

/// Moves in the list of marked runs.
pub fn step(model: &mut Model, by: isize) {
    let last = model.compare.runs.len().saturating_sub(1);
    model.compare.selected = model.compare.selected.saturating_add_signed(by).min(last);
}
