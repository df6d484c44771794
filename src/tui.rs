//! The explorer: one model, messages that change it, a view that draws it.
//!
//! `update` is pure (no input or output, no clock, no random numbers), the view draws and records
//! what can be clicked, and effects are carried out by the session loop. The same loop serves a terminal and a test.

pub mod catalog;
pub mod command;
pub mod effect;
pub mod effects;
pub mod filter;
pub mod footer;
pub mod global;
pub mod hit;
pub mod key;
pub mod keymap;
pub mod layout;
pub mod located;
pub mod log;
pub mod model;
pub mod msg;
pub mod overlay;
pub mod persist;
pub mod runs;
pub mod screens;
pub mod session;
pub mod start;
pub mod tab_bar;
pub mod term;
#[cfg(test)]
pub mod testing;
pub mod theme;
pub mod update;
pub mod view;
pub mod view_cx;
pub mod widgets;

pub use start::{Options, TuiError, is_possible, run};
