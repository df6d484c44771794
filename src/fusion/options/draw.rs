//! Which examples a method looks at.

use crate::fusion::{Draw, Shown};
use crate::params::{int, seed};

crate::params! {
    /// Validation examples of each task that are looked at; all where a task has fewer.
    samples: usize = int(256, 1, 4096, 32).at_least(1.0).costly();
    /// Examples that are looked at together.
    batch: usize = int(32, 1, 512, 8).at_least(1.0).costly().advanced();
    /// Seed of the choice of examples.
    seed: u64 = seed(0).costly();
}

impl Params {
    /// Always of the validation split.
    pub(in crate::fusion) fn draw(&self) -> Draw {
        Draw { shown: Shown::Validation, samples: self.samples, batch: self.batch, seed: self.seed }
    }
}
