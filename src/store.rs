//! What outlives a session: the history of runs, remembered state of the explorer, and where files are kept.
//!
//! The history is one SQLite file that several processes may use at once. Nothing in it is ever needed to start: when it
//! is damaged it is set aside under another name, when it cannot be written the session goes on with one in memory.

mod error;
mod history;
mod network;
mod outcomes;
pub mod paths;
mod record;
mod recovery;
mod rows;
mod schema;

pub use error::StoreError;
pub use history::History;
pub use paths::Paths;
pub use record::{NewRun, RunRecord, TaskScore};
