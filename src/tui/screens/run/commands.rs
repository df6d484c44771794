//! The screen's part of the command table.

use super::{cancel, shown, step};
use crate::tasks::Split;
use crate::tui::command::{ALWAYS, Command, Scope};
use crate::tui::effect::{Effect, Export};
use crate::tui::model::{Model, Screen};
use crate::tui::runs;
use crate::tui::screens::{self, compare, tune};

const HERE: Scope = Scope::On(Screen::Run);

/// What a person can do on Run.
pub const COMMANDS: &[Command] = &[
    Command {
        id: "run.up",
        scope: HERE,
        keys: &["up", "k"],
        label: "newer",
        help: "Show the run above",
        aliases: &[],
        priority: 0,
        enabled: any,
        run: |model, _| step(model, -1),
    },
    Command {
        id: "run.down",
        scope: HERE,
        keys: &["down", "j"],
        label: "older",
        help: "Show the run below",
        aliases: &[],
        priority: 0,
        enabled: any,
        run: |model, _| step(model, 1),
    },
    Command {
        id: "run.cancel",
        scope: HERE,
        keys: &["c", "delete"],
        label: "cancel",
        help: "Stop this run, or take it out of the queue",
        aliases: &["stop", "abort", "kill"],
        priority: 90,
        enabled: going_on,
        run: cancel,
    },
    Command {
        id: "run.enough",
        scope: HERE,
        keys: &["."],
        label: "stop & keep",
        help: "Stop learning, and go on with what was learned so far",
        aliases: &["enough", "adapt", "early"],
        priority: 85,
        enabled: is_learning,
        run: |model, fx| fx.extend(shown(model).map(|(_, run)| Effect::Enough(run.id))),
    },
    Command {
        id: "run.open",
        scope: HERE,
        keys: &["enter", "z"],
        label: "zoom",
        help: "Give the chart, the table or the log the whole screen, or share it again",
        aliases: &["enlarge", "full screen"],
        priority: 70,
        enabled: any,
        run: |model, _| model.run.zoomed = !model.run.zoomed,
    },
    Command {
        id: "run.tune",
        scope: HERE,
        keys: &["o"],
        label: "open in Tune",
        help: "Take this run's recipe back to the sliders",
        aliases: &["load", "recipe", "edit"],
        priority: 60,
        enabled: any,
        run: to_tune,
    },
    Command {
        id: "run.again",
        scope: HERE,
        keys: &["r"],
        label: "again",
        help: "Start the same run once more",
        aliases: &["repeat", "rerun"],
        priority: 40,
        enabled: any,
        run: again,
    },
    Command {
        id: "run.export",
        scope: HERE,
        keys: &["e"],
        label: "export",
        help: "Write chart and table of this run to disk",
        aliases: &["svg", "png", "csv", "save"],
        priority: 50,
        enabled: finished,
        run: export,
    },
    Command {
        id: "run.mark",
        scope: HERE,
        keys: &["space"],
        label: "mark",
        help: "Mark this run for Compare, or take the mark away",
        aliases: &["compare", "select"],
        priority: 60,
        enabled: finished,
        run: mark,
    },
    Command {
        id: "run.copy",
        scope: HERE,
        keys: &["y"],
        label: "copy recipe",
        help: "Copy this run's recipe as a preset TOML",
        aliases: &["clipboard", "toml", "yank"],
        priority: 30,
        enabled: any,
        run: copy,
    },
    Command {
        id: "run.start",
        scope: HERE,
        keys: &["n"],
        label: "new",
        help: "Go to Tune to start a run",
        aliases: &[],
        priority: 20,
        enabled: ALWAYS,
        run: |model, fx| screens::open(model, Screen::Tune, fx),
    },
];

fn any(model: &Model) -> Result<(), &'static str> {
    shown(model).map(drop).ok_or("no run yet: enter on Tune starts one")
}

fn going_on(model: &Model) -> Result<(), &'static str> {
    any(model)?;
    let over = shown(model).is_some_and(|(_, run)| run.state.is_over());
    if over { Err("this run is over") } else { Ok(()) }
}

fn is_learning(model: &Model) -> Result<(), &'static str> {
    going_on(model)?;
    let adapts = |run: &runs::RunView| run.phases.last().is_some_and(|phase| phase.name == "adapt");
    if shown(model).is_some_and(|(_, run)| adapts(run)) { Ok(()) } else { Err("nothing is being learned") }
}

fn finished(model: &Model) -> Result<(), &'static str> {
    any(model)?;
    let done = shown(model).is_some_and(|(_, run)| run.report.is_some());
    if done { Ok(()) } else { Err("this run is not finished") }
}

fn to_tune(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some((_, run)) = shown(model) else { return };
    let (recipe, on_test) = (run.job.recipe.clone(), run.job.split == Split::Test && run.seen().0 > 0);
    match tune::load(model, &recipe, (run.tuned_on_test, on_test), fx) {
        Ok(()) => screens::open(model, Screen::Tune, fx),
        Err(reason) => model.say(reason, true),
    }
}

fn again(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some((_, run)) = shown(model) else { return };
    let (job, tuned_on_test) = (run.job.clone(), run.tuned_on_test);
    let id = runs::submit(model, job, tuned_on_test, fx);
    model.run.follow(id);
}

fn export(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some((_, run)) = shown(model) else { return };
    let started = run.started.unwrap_or(run.submitted);
    match runs::record(run, &model.catalog, model.unix_time(started)) {
        Some(Ok(record)) => fx.push(Effect::Export(Export::Runs(vec![record]))),
        Some(Err(error)) => model.say(error, true),
        None => {}
    }
}

fn mark(model: &mut Model, _: &mut Vec<Effect>) {
    let Some((_, run)) = shown(model) else { return };
    let started = run.started.unwrap_or(run.submitted);
    match runs::record(run, &model.catalog, model.unix_time(started)) {
        Some(Ok(record)) => compare::mark(model, &record),
        Some(Err(error)) => model.say(error, true),
        None => {}
    }
}

fn copy(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some((_, run)) = shown(model) else { return };
    match runs::recipe_toml(&run.job) {
        Ok(toml) => fx.push(Effect::Copy(toml)),
        Err(error) => model.say(error, true),
    }
}
