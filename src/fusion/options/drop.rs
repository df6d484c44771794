//! Dropping parts of task vectors at random, as the paper of DARE does.

use crate::fusion::kernels::dare::Dare;
use crate::params::{flag, float, seed};

crate::params! {
    /// Share of each task vector that is dropped at random.
    drop: f64 = float(0.5, 0.0, 1.0, 0.05).symbol("p");
    /// Divide what is kept by 1 − p, so that the task vector keeps its expected size.
    rescale: bool = flag(true);
    /// Drop only within the weight matrices of linear layers; keep everything else whole.
    only_linear: bool = flag(false).advanced();
    /// Seed of the random masks.
    seed: u64 = seed(0);
}

impl Params {
    pub(in crate::fusion) fn dare(&self) -> Dare {
        Dare { drop: self.drop, rescale: self.rescale, only_linear: self.only_linear, seed: self.seed }
    }
}
