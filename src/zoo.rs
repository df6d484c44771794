//! The zoo: one base model, one expert a task, their heads, and the data to judge them by; part of the binary.
//!
//! | file | what |
//! |---|---|
//! | `files` | where the zoo's files come from: the binary or a folder |
//! | `open` | opening it, the shared part of everything |
//! | `images` | data sets, decompressed when first asked for |
//! | `head` | the frozen rows that features are compared with |
//! | `train` | how everything in it is made |
//! | `judge` | evaluating base, experts and merges without an engine |
//! | `scores` | the recorded accuracies |
//!
//! `assets/zoo/README.md` says how everything in it was made.

mod error;
mod files;
mod head;
mod images;
mod judge;
mod open;
mod scores;
mod train;

pub use error::ZooError;
pub use head::Head;
pub use judge::Judge;
pub use open::Zoo;
pub use scores::{Accuracy, Merging, Scores, SeedScores, TaskScores};
pub use train::{AddOptions, TrainEvent, TrainOptions, add_tasks, train_seeds};
