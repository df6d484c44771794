//! The commands that apply on every screen.

use super::command::{ALWAYS, Command, CommandId, Scope};
use super::effect::Effect;
use super::model::{Model, Screen};
use super::overlay::{Menu, Overlay, Question, palette};
use super::{persist, screens};

/// Commands that work whatever overlay is open, by id.
pub const ABOVE_ALL: [CommandId; 3] = ["interrupt", "suspend", "redraw"];

const fn global(
    id: CommandId,
    keys: &'static [&'static str],
    label: &'static str,
    help: &'static str,
    run: fn(&mut Model, &mut Vec<Effect>),
) -> Command {
    Command { id, scope: Scope::Everywhere, keys, label, help, aliases: &[], priority: 0, enabled: ALWAYS, run }
}

pub const COMMANDS: &[Command] = &[
    global("screen.browse", &["1"], "Browse", "Go to Browse: tasks and checkpoints", |m, fx| {
        screens::open(m, Screen::Browse, fx);
    }),
    global("screen.tune", &["2"], "Tune", "Go to Tune: method and sliders", |m, fx| screens::open(m, Screen::Tune, fx)),
    global("screen.run", &["3"], "Run", "Go to Run: accuracy as it streams in", |m, fx| {
        screens::open(m, Screen::Run, fx);
    }),
    global("screen.compare", &["4"], "Compare", "Go to Compare: runs side by side", |m, fx| {
        screens::open(m, Screen::Compare, fx);
    }),
    global("screen.history", &["5"], "History", "Go to History: every finished run", |m, fx| {
        screens::open(m, Screen::History, fx);
    }),
    global("screen.inspect", &["6"], "Inspect", "Go to Inspect: how the experts' changes relate", |m, fx| {
        screens::open(m, Screen::Inspect, fx);
    }),
    global("screen.help", &["7"], "Help", "Go to Help: how to begin, all commands", |m, fx| {
        screens::open(m, Screen::Help, fx);
    }),
    global("pane.next", &["tab"], "next pane", "Move the focus to the next pane", |m, _| screens::pane(m, 1)),
    global("pane.previous", &["backtab"], "previous pane", "Move the focus to the previous pane", |m, _| {
        screens::pane(m, -1);
    }),
    Command {
        aliases: &["keys", "shortcuts"],
        priority: 1,
        ..global("help", &["?", "f1"], "help", "Show the keys of this screen", |m, _| {
            m.overlay = Some(Overlay::Help { scroll: 0 });
        })
    },
    Command {
        aliases: &["search", "find", "actions"],
        priority: 1,
        ..global("palette", &[":", "ctrl-p"], "commands", "Find and run any command by name", |m, _| {
            m.overlay = Some(Overlay::Menu(palette::open(m)));
        })
    },
    Command {
        aliases: &["colours", "colors", "dark", "light", "contrast"],
        ..global("theme", &["t"], "theme", "Switch to the next theme", |m, fx| next_theme(m, 1, fx))
    },
    Command {
        aliases: &["colours", "colors", "dark", "light", "contrast"],
        ..global("theme.choose", &["T"], "themes", "Choose a theme from a list", |m, _| choose_theme(m))
    },
    Command {
        aliases: &["select text"],
        ..global(
            "mouse",
            &["M"],
            "mouse",
            "Use the mouse here, or leave it to the terminal for selecting text",
            |m, fx| {
                m.mouse = !m.mouse;
                m.say(
                    if m.mouse {
                        "mouse on"
                    } else {
                        "mouse left to the terminal: select text freely, M takes it back"
                    },
                    false,
                );
                fx.push(Effect::CaptureMouse(m.mouse));
            },
        )
    },
    global("redraw", &["ctrl-l"], "redraw", "Draw everything again", |_, fx| fx.push(Effect::Redraw)),
    Command {
        aliases: &["background", "shell"],
        ..global("suspend", &["ctrl-z"], "suspend", "Give the terminal back to the shell; fg comes back", |_, fx| {
            fx.push(Effect::Suspend);
        })
    },
    Command {
        aliases: &["stop", "cancel"],
        ..global("interrupt", &["ctrl-c"], "interrupt", "Cancel what is running; with nothing running, quit", interrupt)
    },
    Command {
        aliases: &["exit", "close"],
        priority: 1,
        ..global("quit", &["q"], "quit", "Leave fusebench", |m, fx| if is_at_work(m) { ask(m) } else { quit(m, fx) })
    },
];

/// Whether a run that somebody asked for would be lost; previews are not worth a question.
fn is_at_work(model: &Model) -> bool {
    model.runs.asked_for().any(|run| !run.state.is_over())
}

/// First cancels what is running, then asks, then quits.
fn interrupt(model: &mut Model, fx: &mut Vec<Effect>) {
    if matches!(&model.overlay, Some(Overlay::Question(question)) if question.is_quit) {
        return quit(model, fx);
    }
    if let Some(run) = model.runs.to_cancel() {
        model.runs.cancelling(run);
        model.say("cancelling; press again to quit", false);
        fx.push(Effect::Cancel(run));
        return;
    }
    ask(model);
}

fn ask(model: &mut Model) {
    let text = if is_at_work(model) {
        "A job is still running; it will be stopped."
    } else {
        "Recipe and layout are remembered."
    };
    model.overlay = Some(Overlay::Question(Question { is_quit: true, ..Question::new("Quit fusebench?", text, quit) }));
}

fn quit(model: &mut Model, fx: &mut Vec<Effect>) {
    fx.push(persist::save(model));
    fx.push(Effect::Quit);
}

fn next_theme(model: &mut Model, step: usize, fx: &mut Vec<Effect>) {
    if model.themes.is_empty() {
        return;
    }
    set_theme(model, (model.theme + step) % model.themes.len(), fx);
}

fn set_theme(model: &mut Model, theme: usize, fx: &mut Vec<Effect>) {
    model.theme = theme;
    let name = model.themes.get(theme).cloned().unwrap_or_default();
    model.say(format!("theme {name}"), false);
    fx.push(persist::save(model));
}

fn choose_theme(model: &mut Model) {
    let mut menu = Menu::new("Theme", set_theme);
    for name in &model.themes {
        menu.add(name.clone(), "");
    }
    menu.preview = Some(|model, chosen| model.theme = chosen);
    menu.select(model.theme);
    model.overlay = Some(Overlay::Menu(menu));
}
