//! A mask that all experts share: θ = θ₀ + m∘Σ λᵢτᵢ, with a number m for each element of the model.

use super::accumulate::accumulate;
use super::chunks::for_chunks;
use super::rows::{Row, blank, rows};
use super::slopes::masked_square_norms;
use crate::cancel::Cancel;
use crate::fusion::{Context, FusionError, LinearPlan, Pool};
use crate::weights::{Data, StateDict};
use rayon::prelude::*;

/// Values of mean 1 for each float tensor, f32, tensors in the reference's order.
pub(in crate::fusion) struct Mask {
    parts: Vec<Part>,
}

/// A tensor's share of a mask.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::fusion) struct Part {
    /// m divided by its mean; nothing for an integer buffer.
    pub values: Vec<f32>,
    /// The mean that m had.
    pub mean: f64,
}

impl Part {
    /// Divides numbers in 0..=1 by their mean, summed in f64. Where all are zero nothing says what to keep: all counts.
    pub(in crate::fusion) fn rescaled(mut values: Vec<f32>) -> Self {
        let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / values.len().max(1) as f64;
        if mean > 0.0 {
            for x in &mut values {
                *x = (f64::from(*x) / mean) as f32;
            }
        } else {
            values.fill(1.0);
        }
        Self { values, mean }
    }
}

impl Mask {
    pub(in crate::fusion) fn new(parts: Vec<Part>) -> Self {
        Self { parts }
    }

    pub(in crate::fusion) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// θ₀ + m∘Σ λᵢτᵢ, in one pass over all models.
    ///
    /// # Errors
    /// As [`LinearPlan::materialise`].
    pub(in crate::fusion) fn weights(
        &self,
        plan: &LinearPlan,
        pool: &Pool,
        cx: &mut Context<'_>,
    ) -> Result<StateDict, FusionError> {
        let rows = rows(pool)?;
        let table = plan.table(pool, &rows)?;
        let mut fused = blank(&rows);
        for_chunks(
            fused.tensors_mut(),
            |_| true,
            cx,
            |piece, out, scratch| {
                let (of, mask) = (&table[piece.tensor], &self.parts[piece.tensor].values[piece.range.clone()]);
                rows[piece.tensor].read(&of.slots, &piece.range, &mut scratch.decode, |base, experts| {
                    out.fill(0.0);
                    accumulate(out, base, experts, &of.lambdas);
                    out.iter_mut().zip(base).zip(mask).for_each(|((out, base), m)| *out = base + m * *out);
                });
                Ok(())
            },
        )?;
        Ok(fused)
    }

    /// From the slope over weights to that over what the mask is laid on, m∘∂L/∂θ.
    pub(in crate::fusion) fn lay_on(&self, rows: &[Row<'_>], slope: &mut StateDict) {
        let own = |tensor: &mut crate::weights::Tensor| {
            let Some(at) = rows.iter().position(|row| row.info.name == tensor.name) else { return };
            if let Data::Float(values) = &mut tensor.data {
                values.iter_mut().zip(&self.parts[at].values).for_each(|(x, m)| *x *= m);
            }
        };
        slope.tensors_mut().par_iter_mut().for_each(own);
    }

    /// How much of each task vector is left, ⟨m∘τ, τ⟩/‖τ‖², `[tensor][expert]`; `norms` are ‖τ‖². One where there is no
    /// task vector.
    ///
    /// # Errors
    /// Cancellation.
    pub(in crate::fusion) fn left(
        &self,
        rows: &[Row<'_>],
        norms: &[Vec<f64>],
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f64>>, FusionError> {
        let mut left = masked_square_norms(rows, |tensor| &self.parts[tensor].values, cancel)?;
        for (left, norm) in left.iter_mut().flatten().zip(norms.iter().flatten()) {
            *left = if *norm > 0.0 { *left / norm } else { 1.0 };
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_one_whatever_there_was() {
        let part = Part::rescaled(vec![0.1, 0.3, 0.2, 0.6]);
        assert!((part.mean - 0.3).abs() < 1e-7);
        assert!((part.values.iter().sum::<f32>() - 4.0).abs() < 1e-5 && (part.values[3] - 2.0).abs() < 1e-5);
        assert_eq!(Part::rescaled(vec![0.0; 3]).values, [1.0; 3]);
        assert_eq!(Part::rescaled(Vec::new()).values, [0.0; 0]);
    }
}
