//! What mergekit's methods on thinned-out task vectors have in common.

use crate::fusion::kernels::consensus::{Consensus, Divide, Vote};
use crate::fusion::kernels::delta_merge::DeltaMerge;
use crate::fusion::kernels::sparsify::{Rescale, Rule, Sparsify};

/// mergekit's switches; every method declares them with defaults of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::fusion) struct Switches {
    /// Divide by the weights of what is added.
    pub normalize: bool,
    /// Scale what is kept of each tensor to the tensor's ℓ₁ norm before.
    pub rescale: bool,
    /// Coefficient of the merged task vector.
    pub lambda: f32,
    /// Seed of the random masks; zero where there are none.
    pub seed: u64,
}

impl Switches {
    /// The merge with these switches that keeps entries by `rule` and elects signs by `vote`; `weights` and `density` have
    /// one number an expert.
    pub(in crate::fusion) fn merge(self, vote: Vote, rule: Rule, weights: Vec<f32>, density: Vec<f64>) -> DeltaMerge {
        let rescale = if self.rescale { Rescale::Norm } else { Rescale::No };
        let divide = if self.normalize { Divide::Weights } else { Divide::Nothing };
        DeltaMerge {
            weights,
            sparsify: Sparsify { rule, density, rescale },
            consensus: Consensus { vote, divide },
            lambda: self.lambda,
            seed: self.seed,
        }
    }
}
