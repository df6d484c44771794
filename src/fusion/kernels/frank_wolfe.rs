//! What Frank-Wolfe merging has in common, hard and soft: which corner of the experts' convex hull the loss falls towards.

use super::slopes::base_products;
use super::space::{Space, Table};
use crate::fusion::{Calibration, Context, Draw, Entropy, FusionError};
use crate::weights::StateDict;
use std::sync::Arc;

/// A corner: an expert, or where the way began.
pub(in crate::fusion) struct Corner {
    pub table: Table,
    /// ‖θ‖² of every tensor.
    norms: Vec<f64>,
}

/// The experts, and `start`.
///
/// # Errors
/// Weights that are not finite; cancellation.
pub(in crate::fusion) fn corners(
    space: &Space<'_>,
    start: Table,
    cx: &Context<'_>,
) -> Result<Vec<Corner>, FusionError> {
    let expert = |slot: usize| {
        let mut table = space.uniform(0.0);
        table[slot].fill(1.0);
        table
    };
    let corner = |table: Table| {
        let weights = space.weights(&space.plan(&table), 0, cx)?;
        let of = |tensor: &crate::weights::Tensor| tensor.values().map_or(0.0, |values| dot(values, values));
        Ok(Corner { norms: weights.tensors().iter().map(of).collect(), table })
    };
    (0..space.experts()).map(expert).chain([start]).map(corner).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The cosine of the slope with the weights of every corner, `[corner][tensor]`; zero where one of them is zero.
///
/// # Errors
/// Cancellation.
pub(in crate::fusion) fn cosines(
    space: &Space<'_>,
    corners: &[Corner],
    slope: &StateDict,
    cx: &Context<'_>,
) -> Result<Table, FusionError> {
    let along = space.along(slope, cx)?;
    let base = base_products(&space.rows, slope);
    let cosine = |corner: &Corner, tensor: usize| {
        let (with_base, length) = base[tensor];
        let product: f64 = corner.table.iter().zip(&along).map(|(row, along)| row[tensor] * along[tensor]).sum();
        let lengths = (length * corner.norms[tensor]).sqrt();
        if lengths > 0.0 { (with_base + product) / lengths } else { 0.0 }
    };
    Ok(corners.iter().map(|corner| (0..space.rows.len()).map(|tensor| cosine(corner, tensor)).collect()).collect())
}

/// Where the least of some numbers is; the first of equal ones.
pub(in crate::fusion) fn least(values: impl Iterator<Item = f64>) -> usize {
    values.enumerate().fold((0, f64::INFINITY), |best, (at, x)| if x < best.1 { (at, x) } else { best }).0
}

/// The loss of where `table` stands; nothing if it or its slope is no number.
///
/// # Errors
/// What the data report; cancellation.
pub(in crate::fusion) fn cross_entropy(
    space: &Space<'_>,
    table: &[Vec<f64>],
    (data, draw): (&dyn Calibration, Draw),
    tasks: &[&str],
    step: usize,
    cx: &mut Context<'_>,
) -> Result<Option<Entropy>, FusionError> {
    let weights: Arc<StateDict> = space.weights(&space.plan(table), step, cx)?;
    let found = data.cross_entropy(tasks, None, weights, draw, step, cx)?;
    let finite = |values: &[f32]| values.iter().all(|x| x.is_finite());
    let sound = found.losses.iter().all(|loss| loss.is_finite())
        && found.slope.tensors().iter().filter_map(crate::weights::Tensor::values).all(finite);
    Ok(sound.then_some(found))
}
