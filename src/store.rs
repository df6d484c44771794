//! What outlives a session: the history of runs.

mod record;

pub use record::{NewRun, RunRecord, TaskScore};
