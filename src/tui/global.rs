//! The commands that apply on every screen.

use super::command::Command;

pub const COMMANDS: &[Command] = &[];
