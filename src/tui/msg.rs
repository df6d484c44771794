//! Everything that can happen to the explorer.

use super::command::CommandId;
use super::hit::Target;
use crate::engine::Event as EngineEvent;
use crate::engine::inspect::Step;
use crate::fusion::Similarity;
use crate::store::RunRecord;
use crate::tasks::{Images, Split};
use crossterm::event::{KeyEvent, MouseEvent};
use ratatui::layout::Rect;
use std::sync::Arc;
use std::time::Duration;

/// One thing that happened. Times are since the start of the session.
#[derive(Debug, Clone)]
pub enum Msg {
    Key(KeyEvent),
    /// With what lay under the pointer in the frame that the person saw.
    Mouse(MouseEvent, Option<(Rect, Target)>),
    Paste(String),
    Resize(u16, u16),
    /// A command chosen in the palette, in a menu or by a click.
    Command(CommandId),
    Engine(EngineEvent),
    /// The zoo's images of one task arrived, or why they cannot.
    Samples {
        task: String,
        split: Split,
        images: Result<Arc<Images>, String>,
    },
    /// The geometry of the task vectors arrived, or why it cannot.
    Similarity(Result<Arc<Similarity>, String>),
    /// Something was found out about the checkpoints.
    Inspection(Step),
    /// All of it is there, or why it cannot be.
    Inspected(Result<(), String>),
    /// The stored runs, newest first; `trouble` says what is wrong with the store (set aside, read-only, unreadable).
    History {
        runs: Vec<RunRecord>,
        trouble: Option<String>,
    },
    /// What an earlier session asked to remember with [`Effect::Persist`](super::effect::Effect::Persist).
    Remembered {
        key: String,
        json: String,
    },
    /// A short message for the person, e.g. where a chart was written, or what went wrong.
    Notice {
        text: String,
        error: bool,
    },
    /// The clock moved on; sent only while something on screen depends on it.
    Tick(Duration),
    /// Someone asked the process to end (SIGTERM, SIGHUP).
    Terminate,
}
