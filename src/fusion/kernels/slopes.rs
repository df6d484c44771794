//! How a loss changes with the coefficients of task vectors: ∂L/∂λᵢ = ⟨∂L/∂θ, τᵢ⟩, tensor by tensor.

use super::accumulate::subtract;
use super::chunks::map_chunks;
use super::rows::{Row, Scratch};
use crate::cancel::Cancel;
use crate::fusion::FusionError;
use crate::weights::StateDict;

/// ⟨slope, τᵢ⟩ of every tensor and expert, `[tensor][expert]`; zeros for tensors that have no slope. Summed in f64 and in
/// the tensors' order, so that the number of cores makes no difference.
///
/// # Errors
/// Cancellation.
pub(in crate::fusion) fn along_task_vectors(
    rows: &[Row<'_>],
    slope: &StateDict,
    cancel: &Cancel,
) -> Result<Vec<Vec<f64>>, FusionError> {
    let of = |row: &Row<'_>| {
        let values = slope.get(&row.info.name).and_then(|tensor| tensor.values());
        values.filter(|values| values.len() == row.info.len())
    };
    let slopes: Vec<Option<&[f32]>> = rows.iter().map(of).collect();
    reduce(rows, cancel, |tensor, start, delta| {
        slopes[tensor].map_or(0.0, |slope| dot(&slope[start..start + delta.len()], delta))
    })
}

/// ⟨slope, θ₀⟩ and ‖slope‖² of every tensor; zeros for tensors that have no slope.
pub(in crate::fusion) fn base_products(rows: &[Row<'_>], slope: &StateDict) -> Vec<(f64, f64)> {
    let of = |row: &Row<'_>| {
        let own = slope.get(&row.info.name).and_then(|tensor| tensor.values());
        let Some(own) = own.filter(|own| own.len() == row.info.len()) else { return (0.0, 0.0) };
        let mut buffer = Vec::new();
        let base = row.base.as_ref().map_or(&[][..], |base| base.read(0..own.len(), &mut buffer));
        (dot(own, base), dot(own, own))
    };
    rows.iter().map(of).collect()
}

/// ‖τᵢ‖² of every tensor and expert, `[tensor][expert]`.
///
/// # Errors
/// Cancellation.
pub(in crate::fusion) fn square_norms(rows: &[Row<'_>], cancel: &Cancel) -> Result<Vec<Vec<f64>>, FusionError> {
    reduce(rows, cancel, |_, _, delta| dot(delta, delta))
}

/// ⟨m∘τᵢ, τᵢ⟩ of every tensor and expert, `[tensor][expert]`; `mask` gives a tensor's m.
///
/// # Errors
/// Cancellation.
pub(in crate::fusion) fn masked_square_norms<'m>(
    rows: &[Row<'_>],
    mask: impl Fn(usize) -> &'m [f32] + Sync,
    cancel: &Cancel,
) -> Result<Vec<Vec<f64>>, FusionError> {
    reduce(rows, cancel, |tensor, start, delta| {
        let masked = mask(tensor)[start..].iter().zip(delta);
        masked.map(|(m, delta)| f64::from(*m) * f64::from(*delta).powi(2)).sum()
    })
}

/// Sums of what `measure` makes of pieces of task vectors: it gets the tensor, where the piece starts, and the piece.
fn reduce(
    rows: &[Row<'_>],
    cancel: &Cancel,
    measure: impl Fn(usize, usize, &[f32]) -> f64 + Sync,
) -> Result<Vec<Vec<f64>>, FusionError> {
    let experts = rows.first().map_or(0, |row| row.experts.len());
    let all: Vec<usize> = (0..experts).collect();
    let floats = rows.iter().enumerate().filter(|(_, row)| row.info.dtype.is_float());
    let lengths = floats.map(|(at, row)| (at, row.info.len()));
    let pieces = map_chunks(lengths, cancel, |piece, Scratch { decode, work }| {
        rows[piece.tensor].read(&all, &piece.range, decode, |base, experts| -> Vec<f64> {
            let of = |expert: &&[f32]| {
                subtract(expert, base, &mut work.delta);
                measure(piece.tensor, piece.range.start, &work.delta)
            };
            experts.iter().map(of).collect()
        })
    })?;
    let mut sums = vec![vec![0.0; experts]; rows.len()];
    for (piece, found) in pieces {
        sums[piece.tensor].iter_mut().zip(found).for_each(|(sum, x)| *sum += x);
    }
    Ok(sums)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::kernels::rows::rows;
    use crate::fusion::testing::{ELEMENTS, pool};

    #[test]
    fn slopes_are_inner_products_with_task_vectors() {
        let values = |seed: f32| -> Vec<f32> { (0..ELEMENTS).map(|at| ((at * at) as f32 * seed).sin()).collect() };
        let (base, a, b, slope) = (values(0.3), values(0.7), values(1.1), values(2.3));
        let pool = pool(Some(&base), &[a.clone(), b.clone()]);
        let rows = rows(&pool).unwrap();
        let slopes = StateDict::load(&crate::fusion::testing::model(&slope));
        let cancel = Cancel::default();
        let found = along_task_vectors(&rows, &slopes, &cancel).unwrap();
        let norms = square_norms(&rows, &cancel).unwrap();
        for (expert, values) in [(0, &a), (1, &b)] {
            let delta: Vec<f64> = values.iter().zip(&base).map(|(x, base)| f64::from(x - base)).collect();
            let expected: f64 = delta.iter().zip(&slope).map(|(x, g)| x * f64::from(*g)).sum();
            let sum = |table: &[Vec<f64>]| table.iter().map(|row| row[expert]).sum::<f64>();
            assert!((sum(&found) - expected).abs() < 1e-9);
            assert!((sum(&norms) - delta.iter().map(|x| x * x).sum::<f64>()).abs() < 1e-9);
        }
        let none = along_task_vectors(&rows, &StateDict::default(), &cancel).unwrap();
        assert!(none.iter().flatten().all(|x| *x == 0.0));
    }
}
