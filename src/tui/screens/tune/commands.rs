//! The screen's part of the command table.

use super::actions::{self, COARSE};
use super::form::{self, Row};
use super::{Menu, Shows, State, jobs, preview, run};
use crate::tui::command::{ALWAYS, Command, Scope};
use crate::tui::effect::Effect;
use crate::tui::model::{Model, Screen};
use crate::tui::runs::RunView;

const HERE: Scope = Scope::On(Screen::Tune);

const fn command(
    id: &'static str,
    keys: &'static [&'static str],
    (label, priority): (&'static str, u8),
    help: &'static str,
    enabled: fn(&Model) -> Result<(), &'static str>,
    run: fn(&mut Model, &mut Vec<Effect>),
) -> Command {
    Command { id, scope: HERE, keys, label, help, aliases: &[], priority, enabled, run }
}

const fn aliases(mut command: Command, aliases: &'static [&'static str]) -> Command {
    command.aliases = aliases;
    command
}

/// What a person can do on Tune.
pub const COMMANDS: &[Command] = &[
    command("tune.less", &["left", "h"], ("less", 89), "Move the slider one step down", can_nudge, |m, fx| {
        actions::nudge(m, -1, fx);
    }),
    command("tune.more", &["right", "l"], ("more", 90), "Move the slider one step up", can_nudge, |m, fx| {
        actions::nudge(m, 1, fx);
    }),
    command(
        "tune.coarse_less",
        &["shift-left", "H", "pagedown"],
        ("much less", 0),
        "Move the slider five steps down",
        can_nudge,
        |m, fx| actions::nudge(m, -COARSE, fx),
    ),
    command(
        "tune.coarse_more",
        &["shift-right", "L", "pageup"],
        ("much more", 0),
        "Move the slider five steps up",
        can_nudge,
        |m, fx| actions::nudge(m, COARSE, fx),
    ),
    command("tune.min", &["home", "g"], ("min", 0), "Move the slider to its lower end", on_number, |m, fx| {
        actions::to_end(m, false, fx);
    }),
    command("tune.max", &["end", "G"], ("max", 0), "Move the slider to its upper end", on_number, |m, fx| {
        actions::to_end(m, true, fx);
    }),
    command("tune.up", &["up", "k"], ("up", 0), "Go to the row above", ALWAYS, |m, _| actions::step(m, -1)),
    command("tune.down", &["down", "j"], ("down", 0), "Go to the row below", ALWAYS, |m, _| actions::step(m, 1)),
    command("tune.block_left", &["[", "alt-left"], ("block", 0), "Go to the block on the left", on_table, |m, _| {
        actions::step_block(m, -1);
    }),
    command("tune.block_right", &["]", "alt-right"], ("block", 0), "Go to the block on the right", on_table, |m, _| {
        actions::step_block(m, 1);
    }),
    aliases(
        command(
            "tune.choose",
            &["enter", "space"],
            ("choose", 88),
            "Open the list under the cursor, or take what it points at",
            on_list,
            actions::choose,
        ),
        &["method", "expert"],
    ),
    command("tune.apply", &["enter"], ("start", 95), "Start the costly change that waits", waits, preview),
    aliases(
        command(
            "tune.run",
            &["enter", "r"],
            ("full test run", 80),
            "Evaluate this recipe on the whole test split and keep it in the history",
            can_run,
            run,
        ),
        &["evaluate", "start", "save"],
    ),
    aliases(
        command("tune.method", &["m"], ("method", 70), "Choose a fusion method", ALWAYS, |m, _| {
            actions::toggle_menu(m);
        }),
        &["picker", "algorithm"],
    ),
    aliases(
        command(
            "tune.find",
            &["/"],
            ("find a method", 69),
            "Find a fusion method by its name, family, formula or paper",
            ALWAYS,
            |m, _| actions::find_method(m),
        ),
        &["search", "filter", "picker", "algorithm"],
    ),
    aliases(
        command(
            "tune.experts",
            &["w"],
            ("experts", 18),
            "Choose which experts are merged; the tasks of the others are unseen",
            ALWAYS,
            |m, _| actions::toggle_experts(m),
        ),
        &["unseen", "generalization", "expert", "pool"],
    ),
    aliases(
        command(
            "tune.pin",
            &["p"],
            ("pin", 75),
            "Compare later results with this one, or no longer",
            has_result,
            |m, _| actions::pin(m),
        ),
        &["compare", "reference"],
    ),
    aliases(
        command(
            "tune.sweep",
            &["s"],
            ("sweep", 72),
            "Draw accuracy over the whole range of this slider",
            on_number_or_chart,
            actions::toggle_sweep,
        ),
        &["curve", "search", "scan"],
    ),
    aliases(
        command(
            "tune.enough",
            &["."],
            ("stop & keep", 93),
            "Stop learning, and keep what was learned so far",
            is_learning,
            |m, fx| fx.extend(m.tune.current.map(Effect::Enough)),
        ),
        &["enough", "adapt", "early"],
    ),
    aliases(
        command(
            "tune.sliders",
            &["K"],
            ("keep as sliders", 76),
            "Go on by hand: what was learned becomes sliders of task-wise or layer-wise arithmetic",
            has_learned,
            actions::keep_as_sliders,
        ),
        &["adamerging", "coefficients", "table"],
    ),
    aliases(
        command(
            "tune.learned",
            &["i"],
            ("what was learned", 74),
            "Show what was learned, or whom routers ask, instead of the bars, where there is no room for both",
            has_more,
            actions::toggle_learned,
        ),
        &["coefficients", "table", "routing", "heat map"],
    ),
    command(
        "tune.apply_best",
        &["a"],
        ("apply best", 85),
        "Set the slider to the best value of the sweep",
        has_best,
        actions::apply_best,
    ),
    aliases(
        command(
            "tune.split",
            &["v"],
            ("test/val", 60),
            "Switch between validation and test split",
            ALWAYS,
            actions::toggle_split,
        ),
        &["validation", "test"],
    ),
    aliases(
        command(
            "tune.corrupt",
            &["c"],
            ("corrupt", 20),
            "Evaluate on corrupted images: the next kind, and images as they are after the last",
            ALWAYS,
            actions::next_corruption,
        ),
        &["robustness", "noise", "blur", "jpeg", "contrast"],
    ),
    command(
        "tune.severity",
        &["C"],
        ("severity", 19),
        "Corrupt images more strongly, up to 5, then 1 again",
        is_corrupting,
        actions::next_severity,
    ),
    command("tune.undo", &["u"], ("undo", 65), "Take back the last change", can_undo, actions::undo),
    command("tune.redo", &["ctrl-r"], ("redo", 0), "Do again what was taken back", can_redo, actions::redo),
    command("tune.exact", &["="], ("exact", 50), "Type an exact value", on_param, |m, _| actions::exact(m)),
    command(
        "tune.reset",
        &["x", "backspace"],
        ("reset", 45),
        "Put this parameter back to its default",
        on_param,
        actions::reset,
    ),
    command(
        "tune.reset_all",
        &["X"],
        ("reset all", 0),
        "Put all parameters back to their defaults",
        ALWAYS,
        actions::reset_all,
    ),
    command(
        "tune.link",
        &["o"],
        ("link", 40),
        "Move all experts together, or an expert's blocks, or a block of all experts",
        on_linkable,
        |m, _| actions::link(m),
    ),
    aliases(
        command(
            "tune.advanced",
            &["A"],
            ("all params", 0),
            "Show or hide advanced parameters",
            has_advanced,
            |m, _| {
                m.tune.advanced = !m.tune.advanced;
                m.tune.clamp(m.catalog.groups.len());
            },
        ),
        &["parameters", "expert settings"],
    ),
    aliases(
        command("tune.copy", &["y"], ("copy recipe", 30), "Copy the recipe as a preset TOML", ALWAYS, |m, fx| {
            fx.push(Effect::Copy(super::recipe_toml(m)));
        }),
        &["clipboard", "toml", "yank"],
    ),
    aliases(
        command("tune.export", &["e"], ("export recipe", 25), "Write the recipe as a preset file", ALWAYS, |m, fx| {
            actions::export(m, false, fx);
        }),
        &["save", "preset"],
    ),
    aliases(
        command(
            "tune.export_weights",
            &["E"],
            ("export weights", 20),
            "Write the fused weights as safetensors",
            ALWAYS,
            |m, fx| actions::export(m, true, fx),
        ),
        &["save", "checkpoint", "safetensors"],
    ),
    command(
        "tune.close",
        &["esc"],
        ("back", 87),
        "Close the list, the curve, or what was learned",
        something_open,
        |m, _| {
            actions::close(m);
        },
    ),
];

type Enabled = Result<(), &'static str>;

fn when(yes: bool, reason: &'static str) -> Enabled {
    if yes { Ok(()) } else { Err(reason) }
}

fn no_menu(tune: &State) -> Enabled {
    when(tune.menu.is_none(), "a list is open: enter takes, esc closes")
}

fn can_nudge(model: &Model) -> Enabled {
    no_menu(&model.tune)
}

fn on_param(model: &Model) -> Enabled {
    no_menu(&model.tune)?;
    when(model.tune.focused_spec().is_some(), "the cursor is on no parameter")
}

fn on_number(model: &Model) -> Enabled {
    no_menu(&model.tune)?;
    when(model.tune.focused_spec().is_some_and(|(_, spec)| spec.range().is_some()), "the cursor is on no slider")
}

fn on_number_or_chart(model: &Model) -> Enabled {
    if model.tune.shows == Shows::Curve { Ok(()) } else { on_number(model) }
}

fn on_table(model: &Model) -> Enabled {
    no_menu(&model.tune)?;
    when(
        model.tune.focused_spec().is_some_and(|(_, spec)| form::is_per_block(spec)),
        "only tables by block have columns",
    )
}

fn on_linkable(model: &Model) -> Enabled {
    no_menu(&model.tune)?;
    when(
        model.tune.focused_spec().is_some_and(|(_, spec)| form::is_per_expert(spec)),
        "only parameters with a number an expert can be linked",
    )
}

fn on_list(model: &Model) -> Enabled {
    let on = model.tune.menu.is_some() || matches!(model.tune.row(), Row::Method | Row::Experts);
    when(on, "the cursor is on no list")
}

fn waits(model: &Model) -> Enabled {
    when(model.tune.waits && on_list(model).is_err(), "nothing waits to be started")
}

fn can_run(model: &Model) -> Enabled {
    no_menu(&model.tune)?;
    when(!model.tune.waits, "start the change that waits first")?;
    when(jobs::check(model, &model.tune.setting).is_ok(), "the method cannot be used with these experts")
}

fn is_corrupting(model: &Model) -> Enabled {
    when(model.tune.corruption.is_some(), "images are as they are: choose a kind of corruption first")
}

fn is_learning(model: &Model) -> Enabled {
    let learning = |run: &RunView| run.phases.last().is_some_and(|phase| phase.name == "adapt") && !run.state.is_over();
    let run = model.tune.current.and_then(|id| model.runs.get(id));
    when(run.is_some_and(learning), "nothing is being learned")
}

fn has_learned(model: &Model) -> Enabled {
    let run = model.tune.current.and_then(|id| model.runs.get(id));
    let learned = run.and_then(|run| run.learned.as_ref()).ok_or("nothing was learned")?;
    when(!learned.masked, "a mask was learned too, and sliders would lose it")?;
    when(!learned.coefficients.is_empty(), "routers were learned, and they are no sliders")
}

fn has_more(model: &Model) -> Enabled {
    when(super::view::has_more(model), "nothing was learned, and there are no routers")
}

fn has_result(model: &Model) -> Enabled {
    when(model.tune.board.average().is_some(), "there is no result for every task yet")
}

fn has_best(model: &Model) -> Enabled {
    let best = model.tune.sweep.as_ref().is_some_and(|sweep| sweep.best().is_some());
    when(model.tune.shows == Shows::Curve && best, "there is no sweep to take the best value from")
}

fn can_undo(model: &Model) -> Enabled {
    when(model.tune.edits.depth().0 > 0, "nothing to take back")
}

fn can_redo(model: &Model) -> Enabled {
    when(model.tune.edits.depth().1 > 0, "nothing was taken back")
}

fn has_advanced(model: &Model) -> Enabled {
    when(model.tune.setting.method.specs.iter().any(|spec| spec.advanced), "the method has no advanced parameters")
}

fn something_open(model: &Model) -> Enabled {
    let open = matches!(model.tune.menu, Some(Menu::Methods { .. } | Menu::Experts { .. }));
    let open = open || model.tune.shows != Shows::Bars;
    when(open, "nothing is open")
}
