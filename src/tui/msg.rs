//! Everything that can happen to the explorer.

use super::command::CommandId;
use crate::engine::Event as EngineEvent;
use crate::fusion::Similarity;
use crate::store::RunRecord;
use crate::tasks::Images;
use crossterm::event::{KeyEvent, MouseEvent};
use std::sync::Arc;
use std::time::Duration;

/// One thing that happened. Times are since the start of the session.
#[derive(Debug, Clone)]
pub enum Msg {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Paste(String),
    Resize(u16, u16),
    /// A command chosen in the palette, in a menu or by a click.
    Command(CommandId),
    Engine(EngineEvent),
    /// The zoo's images of one task arrived.
    Samples { task: String, images: Arc<Images> },
    /// The geometry of the task vectors arrived.
    Similarity(Arc<Similarity>),
    /// The stored runs, newest first.
    History(Vec<RunRecord>),
    /// A short message for the person, e.g. where a chart was written, or what went wrong.
    Notice { text: String, error: bool },
    /// The clock moved on; sent only while something on screen depends on it.
    Tick(Duration),
    /// Someone asked the process to end (SIGTERM, SIGHUP).
    Terminate,
}
