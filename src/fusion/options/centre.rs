//! The centre of the sphere that vectors are turned on.

use crate::fusion::kernels::moments::Of;
use crate::fusion::{FusionError, Origin, Pool};

/// Reads the option of the parameter `centre`: whose scalar products are needed, and where the combination starts from.
///
/// # Errors
/// The base is to be the centre, and the pool has none; `method` names the method in the message.
pub(in crate::fusion) fn sphere(centre: &str, pool: &Pool, method: &'static str) -> Result<(Of, Origin), FusionError> {
    match (centre, pool.base()) {
        ("base", Some(_)) => Ok((Of::TaskVectors, Origin::Base)),
        ("base", None) => Err(FusionError::NeedsBase { method }),
        _ => Ok((Of::Weights, Origin::Zero)),
    }
}
