//! The terminal itself: what it can do, how it is taken and given back, what is written to it.

pub mod ansi;
pub mod base64;
pub mod caps;
pub mod changes;
pub mod degrade;
pub mod guard;
pub mod link;
pub mod pace;
pub mod panic;
pub mod signals;
pub mod surface;
pub mod tty;
