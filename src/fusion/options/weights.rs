//! A weight for each expert, normalised or not.

use crate::fusion::{FusionError, Method};
use crate::params::{PerModel, flag, per_model};

crate::params! {
    /// Weight of each expert.
    weights: PerModel = per_model(1.0, -5.0, 5.0, 0.05).unbounded().symbol("w");
    /// Divide the weights by their sum, so that only their proportions matter.
    normalize: bool = flag(true);
}

impl Params {
    /// One weight for each of `experts`.
    ///
    /// # Errors
    /// A list of another length; weights that are to be normalised and add up to zero.
    pub(in crate::fusion) fn resolve(&self, method: &Method, experts: usize) -> Result<Vec<f32>, FusionError> {
        let mut weights = method.typed(self.weights.resolve("weights", experts))?;
        if self.normalize {
            method.normalize(&mut weights)?;
        }
        Ok(weights)
    }
}
