//! What the explorer wants done outside of itself; carried out by the session loop.

use crate::engine::{Job, RunId};
use crate::store::NewRun;
use crate::tasks::Split;

/// One request to the outside world.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Start a job under an id that the model has already given out.
    Submit(RunId, Job),
    Cancel(RunId),
    /// Let a run that learns step by step make do with what it has learned.
    Enough(RunId),
    /// Fetch a task's images for the sample gallery.
    LoadSamples {
        task: String,
        split: Split,
    },
    /// Compute norms and cosines of the task vectors.
    LoadSimilarity,
    /// Compare the experts with their base and with each other, block by block.
    Inspect,
    LoadHistory,
    /// Put a finished run into the history.
    Record(NewRun),
    /// Remove a run from the history; answered like [`Effect::LoadHistory`].
    Forget(i64),
    /// Keep a stored run in sight, or no longer; answered like [`Effect::LoadHistory`].
    Pin {
        id: i64,
        pinned: bool,
    },
    Export(Export),
    /// Put text on the clipboard (OSC 52).
    Copy(String),
    /// Remember something between sessions, as JSON.
    Persist {
        key: &'static str,
        json: String,
    },
    /// Mouse capture on or off.
    CaptureMouse(bool),
    /// Give the terminal back to the shell (Ctrl-Z).
    Suspend,
    /// Draw everything again (Ctrl-L).
    Redraw,
    Quit,
}

/// What to write to disk from the explorer.
#[derive(Debug, Clone)]
pub enum Export {
    /// Bars of one or more runs beside base and experts, as SVG and PNG, with the table as CSV and Markdown.
    Runs(Vec<NewRun>),
    /// The recipe as a preset TOML.
    Recipe(Job),
    /// The fused weights as safetensors.
    Checkpoint(Job),
}
