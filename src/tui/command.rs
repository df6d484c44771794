//! The command table: keymap, help, palette and footer at once.

use super::effect::Effect;
use super::model::{Model, Screen};

/// Stable name of a command, as in the keymap file: `tune.reset`.
pub type CommandId = &'static str;

/// Where a command applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Everywhere,
    On(Screen),
}

/// One thing a person can do. Every key, palette row, help line and footer hint comes from one of these.
pub struct Command {
    pub id: CommandId,
    pub scope: Scope,
    /// Default keys, in the spelling of the keymap file: `ctrl-p`, `shift-left`, `enter`, `?`, `0`.
    pub keys: &'static [&'static str],
    /// One or two words for the footer.
    pub label: &'static str,
    /// One line for help and palette; also searched.
    pub help: &'static str,
    /// Higher comes first in the footer; 0 is never shown there.
    pub priority: u8,
    /// Why it cannot be used now, if so.
    pub enabled: fn(&Model) -> Result<(), &'static str>,
    pub run: fn(&mut Model, &mut Vec<Effect>),
}

/// For commands that can always be used.
pub const ALWAYS: fn(&Model) -> Result<(), &'static str> = |_| Ok(());
