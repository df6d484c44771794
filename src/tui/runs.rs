//! Everything the engine has said about the runs of this session, reduced to what the screens show.

use crate::engine::{Event, RunId};
use std::time::Duration;

/// The runs of this session.
#[derive(Debug, Default)]
pub struct Runs {
    active: Vec<RunId>,
}

impl Runs {
    /// Takes in one event; `now` is the time since the session started.
    pub fn apply(&mut self, event: &Event, _now: Duration) {
        let Some(run) = event.run() else { return };
        if event.is_final() {
            self.active.retain(|&other| other != run);
        } else if !self.active.contains(&run) {
            self.active.push(run);
        }
    }

    /// The run that Ctrl-C cancels: the newest that is queued or going on. Previews count.
    #[must_use]
    pub fn to_cancel(&self) -> Option<RunId> {
        self.active.last().copied()
    }

    /// Notes that a run was asked to stop; it may take a moment until it has.
    pub fn cancelling(&mut self, run: RunId) {
        self.active.retain(|&other| other != run);
    }

    /// Whether something on screen depends on the clock (elapsed time, ETA).
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.active.is_empty()
    }
}
