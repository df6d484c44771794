//! The command table: keymap, help, palette and footer at once.

use super::effect::Effect;
use super::model::{Model, Screen};
use super::{global, screens};
use std::fmt;

/// Stable name of a command, as in the keymap file: `tune.reset`.
pub type CommandId = &'static str;

/// Where a command applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Everywhere,
    On(Screen),
}

/// One thing a person can do. Every key, palette row, help line and footer hint comes from one of these.
///
/// Two commands of one scope may share a key as long as never both are enabled (say, Enter in two panes).
pub struct Command {
    pub id: CommandId,
    pub scope: Scope,
    /// Default keys, in the spelling of the keymap file: `ctrl-p`, `shift-left`, `enter`, `?`, `0`.
    pub keys: &'static [&'static str],
    /// One or two words for the footer.
    pub label: &'static str,
    /// One line for help and palette; also searched.
    pub help: &'static str,
    /// Other words that people may search for in the palette.
    pub aliases: &'static [&'static str],
    /// Higher comes first in the footer; 0 is never shown there.
    pub priority: u8,
    /// Why it cannot be used now, if so.
    pub enabled: fn(&Model) -> Result<(), &'static str>,
    pub run: fn(&mut Model, &mut Vec<Effect>),
}

impl Command {
    /// A command of one screen that can always be used and is not in the footer.
    pub const fn on(
        screen: Screen,
        id: CommandId,
        keys: &'static [&'static str],
        label: &'static str,
        help: &'static str,
        run: fn(&mut Model, &mut Vec<Effect>),
    ) -> Self {
        Self { id, scope: Scope::On(screen), keys, label, help, aliases: &[], priority: 0, enabled: ALWAYS, run }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Command").field(&self.id).finish()
    }
}

/// For commands that can always be used.
pub const ALWAYS: fn(&Model) -> Result<(), &'static str> = |_| Ok(());

/// Every command: the global ones, then each screen's in screen order.
pub fn all() -> impl Iterator<Item = &'static Command> {
    global::COMMANDS.iter().chain(Screen::ALL.into_iter().flat_map(screens::commands))
}

/// The command with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Command> {
    all().find(|command| command.id == id)
}

/// Commands that apply on `screen`: its own first, then those that apply everywhere.
pub fn on(screen: Screen) -> impl Iterator<Item = &'static Command> {
    screens::commands(screen).iter().chain(global::COMMANDS)
}
