//! Room for slopes that have been read, for the next ones to be written to: fresh memory of a model's size, which the
//! operating system clears first, costs more than adding a slope up.

use crate::weights::StateDict;
use std::sync::{Mutex, PoisonError};

/// Slopes whose numbers nobody needs any more.
#[derive(Default)]
pub struct Spare(Mutex<Vec<StateDict>>);

impl Spare {
    pub fn take(&self) -> Option<StateDict> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub fn put(&self, slope: StateDict) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(slope);
    }
}
