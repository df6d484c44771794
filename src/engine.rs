//! A preset becomes a plan, a plan becomes jobs, jobs become events.
//!
//! One OS thread owns the device and every tensor on it; commands go in, serialisable events come out.

mod event;
mod job;

pub use event::{Event, JobKind, Report, RunId, TaskReport};
pub use job::{Job, Recipe};
