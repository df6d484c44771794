//! Methods that are linear in the experts, as a table of coefficients.

use super::kernels::accumulate::accumulate;
use super::kernels::chunks::for_chunks;
use super::kernels::rows::{Row, Scratch, blank, rows};
use super::{Context, FusionError, Groups, Pool};
use crate::weights::{StateDict, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// Where a linear plan starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// θ = θ₀ + Σ λᵢ(θᵢ − θ₀)
    Base,
    /// θ = Σ λᵢθᵢ
    Zero,
}

/// θ = origin + Σᵢ λ\[i\]\[group\] · (θᵢ − origin), the form of every method that is linear in the experts.
///
/// [`Incremental`](super::Incremental) keeps the last fused weights, so one changed coefficient costs one pass over one
/// expert.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearPlan {
    pub origin: Origin,
    /// `[expert][group]`
    pub coefficients: Vec<Vec<f32>>,
    /// What the columns of `coefficients` stand for, where that is not the pool's own blocks.
    pub groups: Option<Arc<Groups>>,
}

impl LinearPlan {
    /// A plan with one coefficient for each expert and each block of the pool.
    #[must_use]
    pub fn new(origin: Origin, coefficients: Vec<Vec<f32>>) -> Self {
        Self { origin, coefficients, groups: None }
    }

    /// A plan with one coefficient an expert, the same in all blocks.
    #[must_use]
    pub fn uniform(origin: Origin, pool: &Pool, coefficients: &[f32]) -> Self {
        Self::new(origin, coefficients.iter().map(|&lambda| vec![lambda; pool.groups().len()]).collect())
    }

    /// A plan with one coefficient for each expert and each tensor, tensors in the reference's order.
    #[must_use]
    pub fn per_tensor(origin: Origin, pool: &Pool, coefficients: Vec<Vec<f32>>) -> Self {
        let tensors = pool.reference().map_or(&[][..], |reference| reference.tensors());
        Self { origin, coefficients, groups: Some(Arc::new(Groups::per_tensor(tensors))) }
    }

    /// A plan from the experts' coefficients in each tensor, tensors in the reference's order.
    pub(super) fn from_tensors(origin: Origin, pool: &Pool, coefficients: &[Vec<f64>]) -> Self {
        let of = |expert: usize| coefficients.iter().map(|tensor| tensor[expert] as f32).collect();
        Self::per_tensor(origin, pool, (0..pool.experts().len()).map(of).collect())
    }

    /// Computes the fused weights in one pass over all models, on all cores.
    ///
    /// # Errors
    /// A result that is not finite, cancellation, a table that does not fit the pool.
    pub fn materialise(&self, pool: &Pool, cx: &mut Context<'_>) -> Result<StateDict, FusionError> {
        let rows = rows(pool)?;
        let mut fused = blank(&rows);
        let table = self.table(pool, &rows)?;
        self.compute(&rows, &table, fused.tensors_mut(), |_| true, cx)?;
        Ok(fused)
    }

    /// Computes the selected tensors anew.
    pub(super) fn compute(
        &self,
        rows: &[Row<'_>],
        table: &[Coefficients],
        tensors: &mut [Tensor],
        select: impl Fn(usize) -> bool,
        cx: &mut Context<'_>,
    ) -> Result<(), FusionError> {
        for_chunks(tensors, select, cx, |piece, out, scratch| {
            self.compute_chunk(&rows[piece.tensor], &table[piece.tensor], &piece.range, out, scratch);
            Ok(())
        })
    }

    /// Computes the elements `range` of one tensor.
    pub(super) fn compute_chunk(
        &self,
        row: &Row<'_>,
        Coefficients { slots, lambdas, .. }: &Coefficients,
        range: &Range<usize>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        row.read(slots, range, &mut scratch.decode, |base, experts| {
            let base = if self.origin == Origin::Base { base } else { &[] };
            if base.is_empty() {
                out.fill(0.0);
            } else {
                out.copy_from_slice(base);
            }
            accumulate(out, base, experts, lambdas);
        });
    }

    /// The coefficients of every tensor.
    ///
    /// # Errors
    /// When the table's rows or columns are not those of the pool, or the base that it starts from is missing.
    pub(super) fn table(&self, pool: &Pool, rows: &[Row<'_>]) -> Result<Vec<Coefficients>, FusionError> {
        const METHOD: &str = "linear plan";
        if self.origin == Origin::Base && pool.base().is_none() {
            return Err(FusionError::NeedsBase { method: METHOD });
        }
        let groups = self.groups.as_deref().unwrap_or(pool.groups());
        let (experts, columns) = (pool.experts().len(), groups.len());
        if self.coefficients.len() != experts || self.coefficients.iter().any(|row| row.len() != columns) {
            let reason = format!("the coefficient table is not {experts} experts × {columns} blocks");
            return Err(FusionError::Unusable { method: METHOD, reason });
        }
        let of = |row: &Row<'_>| {
            let group = groups.index(&row.info.name);
            let all: Vec<f32> = self.coefficients.iter().map(|lambdas| lambdas[group]).collect();
            // An expert with λ = 0 is not read at all: it costs nothing, and its NaN would not matter.
            let slots: Vec<usize> = (0..experts).filter(|&slot| all[slot] != 0.0).collect();
            let lambdas = slots.iter().map(|&slot| all[slot]).collect();
            Coefficients { all, slots, lambdas }
        };
        Ok(rows.iter().map(of).collect())
    }
}

/// One tensor's coefficients.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Coefficients {
    /// One for every expert.
    pub all: Vec<f32>,
    /// The experts whose coefficient is not zero …
    pub slots: Vec<usize>,
    /// … and their coefficients.
    pub lambdas: Vec<f32>,
}
