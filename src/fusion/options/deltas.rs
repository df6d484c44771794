//! A weight for each task vector, and the share of it that is kept.

use crate::fusion::{FusionError, Method};
use crate::params::{PerModel, per_model};

crate::params! {
    /// Weight of each expert's task vector.
    weight: PerModel = per_model(0.3, -5.0, 5.0, 0.05).unbounded().symbol("w");
    /// Share of each task vector that is kept; 1 keeps all.
    density: PerModel = per_model(0.5, 0.0, 1.0, 0.05).symbol("k");
}

impl Params {
    /// The weight and the share of each of `experts`.
    ///
    /// # Errors
    /// A list of another length.
    pub(in crate::fusion) fn resolve(
        &self,
        method: &Method,
        experts: usize,
    ) -> Result<(Vec<f32>, Vec<f64>), FusionError> {
        let weights = method.typed(self.weight.resolve("weight", experts))?;
        Ok((weights, method.typed(self.density.resolve_exact("density", experts))?))
    }
}

/// How far chances to be kept are from the density, for each expert.
///
/// # Errors
/// A list of another length; chances that would not lie between 0 and 1.
pub(in crate::fusion) fn chances(
    method: &Method,
    epsilon: &PerModel,
    density: &[f64],
) -> Result<Vec<f64>, FusionError> {
    let epsilon = method.typed(epsilon.resolve_exact("epsilon", density.len()))?;
    let outside = |(density, epsilon): (&f64, &f64)| {
        (0.0..1.0).contains(density) && *density > 0.0 && (density - epsilon <= 0.0 || density + epsilon >= 1.0)
    };
    if density.iter().zip(&epsilon).any(outside) {
        let reason = "density − epsilon and density + epsilon must lie between 0 and 1; lower epsilon".to_owned();
        return Err(FusionError::Unusable { method: method.name, reason });
    }
    Ok(epsilon)
}
