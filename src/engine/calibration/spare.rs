//! Room for slopes that have been read, for the next ones to be written to: fresh memory of a model's size, which the
//! operating system clears first, costs more than adding a slope up.

use crate::weights::StateDict;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Slopes whose numbers nobody needs any more.
#[derive(Default)]
pub struct Spare(Mutex<Room>);

#[derive(Default)]
struct Room {
    free: Vec<StateDict>,
    /// Slopes that were asked for and have not come back.
    lent: usize,
}

impl Spare {
    /// Room for a slope, if there is some; what is written instead, where there is none, may come back as room.
    pub fn take(&self) -> Option<StateDict> {
        let mut room = self.lock();
        room.lent += 1;
        room.free.pop()
    }

    /// Keeps no more than was asked for: slopes that a GPU makes are dropped, since it takes none.
    pub fn put(&self, slope: StateDict) {
        let mut room = self.lock();
        if let Some(lent) = room.lent.checked_sub(1) {
            room.lent = lent;
            room.free.push(slope);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Room> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_kept() {
        let spare = Spare::default();
        spare.put(StateDict::default());
        assert!(spare.take().is_none(), "nobody had asked");
        spare.put(StateDict::default());
        spare.put(StateDict::default());
        assert!(spare.take().is_some() && spare.take().is_none());
    }
}
