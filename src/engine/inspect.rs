//! Looking into checkpoints before anything is done with them: what one holds ([`inspect`]), how experts lie to their base
//! and to each other ([`diff`]), and what should stop somebody from merging them ([`Alarm`]).

mod alarms;
mod blocks;
mod diff;
mod facts;
mod measures;
mod one;
mod structure;
#[cfg(test)]
mod tests;
mod vocabulary;

pub use alarms::{Alarm, Kind, Severity};
pub use blocks::Blocks;
pub use diff::{Diff, Models, Step, diff};
pub use facts::{AdapterFacts, ConfigFact, Origin, OriginParent};
pub use measures::{BlockMeasures, ExpertMeasures, Rank};
pub use one::{BlockSummary, Inspection, StatsSummary, TensorSummary, inspect};
