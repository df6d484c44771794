//! One file a screen: its state, its commands, what it does with messages, how it is drawn.

pub mod browse;
pub mod compare;
pub mod help;
pub mod history;
pub mod run;
pub mod tune;
