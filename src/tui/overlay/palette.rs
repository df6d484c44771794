//! The command palette: every command, found by any word of its name or explanation.

use super::menu::Menu;
use crate::tui::command::{self, Command, Scope};
use crate::tui::model::Model;
use crate::tui::update;

/// The commands in the order of the palette: those of the visible screen, the global ones, the other screens'.
fn commands(model: &Model) -> Vec<&'static Command> {
    let here = |command: &&Command| command.scope == Scope::On(model.screen);
    let elsewhere = |command: &&Command| !here(command) && command.scope != Scope::Everywhere;
    let everywhere = |command: &&Command| command.scope == Scope::Everywhere;
    command::all()
        .filter(here)
        .chain(command::all().filter(everywhere))
        .chain(command::all().filter(elsewhere))
        .collect()
}

/// A menu of all commands.
#[must_use]
pub fn open(model: &Model) -> Menu {
    let mut menu = Menu::new("Commands", |model, chosen, fx| {
        // The order is the same as when the menu was made: it depends on the visible screen alone.
        if let Some(command) = commands(model).get(chosen) {
            update::run(model, command, fx);
        }
    });
    for command in commands(model) {
        let other = match command.scope {
            Scope::On(screen) if screen != model.screen => format!("{}: ", screen.title()),
            _ => String::new(),
        };
        let row = menu.add(format!("{other}{}", command.label), command.help);
        row.keys = model.keymap.written(command, true);
        row.aliases = format!("{} {}", command.id, command.aliases.join(" "));
        // What is disabled on another screen may be enabled once it is open.
        row.disabled = (command.enabled)(model).err().filter(|_| other.is_empty()).map(str::to_owned);
    }
    menu
}
