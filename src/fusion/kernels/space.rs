//! The coefficients of every expert in every tensor while they are moved: what they weigh, which slope they have, and how
//! they are shown.

use super::mask::Mask;
use super::rows::{Row, rows};
use super::slopes::{along_task_vectors, square_norms};
use crate::fusion::{Adapted, Context, FusionError, LinearPlan, Origin, Pool};
use crate::weights::StateDict;
use std::sync::Arc;

/// Coefficients, `[expert][tensor]`.
pub(in crate::fusion) type Table = Vec<Vec<f64>>;

/// θ₀ + Σ λᵢτᵢ with a coefficient for each expert and tensor.
pub(in crate::fusion) struct Space<'a> {
    pub pool: &'a Pool,
    pub rows: Vec<Row<'a>>,
    /// Where the tensors are in the table that people see, `[expert][block]`, and with which weight: ‖τ‖².
    blocks: Arc<Vec<String>>,
    block_of: Vec<usize>,
    /// `[tensor][expert]`
    norms: Table,
}

impl<'a> Space<'a> {
    /// `whole` shows all tensors as one block.
    ///
    /// # Errors
    /// Models that do not fit together; cancellation.
    pub(in crate::fusion) fn new(pool: &'a Pool, whole: bool, cx: &Context<'_>) -> Result<Self, FusionError> {
        let (rows, groups) = (rows(pool)?, pool.groups());
        let (blocks, block_of) = if whole {
            (vec!["all".to_owned()], vec![0; rows.len()])
        } else {
            (groups.names().to_vec(), rows.iter().map(|row| groups.index(&row.info.name)).collect())
        };
        let norms = square_norms(&rows, cx.cancel)?;
        Ok(Self { pool, rows, blocks: Arc::new(blocks), block_of, norms })
    }

    pub(in crate::fusion) fn experts(&self) -> usize {
        self.pool.experts().len()
    }

    pub(in crate::fusion) fn tasks(&self) -> Vec<&'a str> {
        self.pool.experts().iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The same coefficient everywhere.
    pub(in crate::fusion) fn uniform(&self, value: f64) -> Table {
        vec![vec![value; self.rows.len()]; self.experts()]
    }

    pub(in crate::fusion) fn plan(&self, table: &[Vec<f64>]) -> LinearPlan {
        let rounded = table.iter().map(|row| row.iter().map(|x| *x as f32).collect()).collect();
        LinearPlan::per_tensor(Origin::Base, self.pool, rounded)
    }

    /// The weights of a plan at step `step`.
    ///
    /// # Errors
    /// Before the first step, weights that are not finite: then it is the models that are not, and the error names the
    /// tensor. Later it is the loss that shows. Cancellation.
    pub(in crate::fusion) fn weights(
        &self,
        plan: &LinearPlan,
        step: usize,
        cx: &Context<'_>,
    ) -> Result<Arc<StateDict>, FusionError> {
        let mut silent = |_, _| ();
        let mut quiet = Context::new(cx.cancel, &mut silent);
        quiet.lenient = step > 0;
        plan.materialise(self.pool, &mut quiet).map(Arc::new)
    }

    /// The same with a mask on the task vectors, if there is one.
    ///
    /// # Errors
    /// As [`weights`](Self::weights).
    pub(in crate::fusion) fn masked_weights(
        &self,
        plan: &LinearPlan,
        mask: Option<&Mask>,
        step: usize,
        cx: &Context<'_>,
    ) -> Result<Arc<StateDict>, FusionError> {
        let Some(mask) = mask else { return self.weights(plan, step, cx) };
        let mut silent = |_, _| ();
        let mut quiet = Context::new(cx.cancel, &mut silent);
        quiet.lenient = step > 0;
        mask.weights(plan, self.pool, &mut quiet).map(Arc::new)
    }

    /// How much a mask leaves of each task vector, `[tensor][expert]`.
    ///
    /// # Errors
    /// Cancellation.
    pub(in crate::fusion) fn left(&self, mask: &Mask, cx: &Context<'_>) -> Result<Table, FusionError> {
        mask.left(&self.rows, &self.norms, cx.cancel)
    }

    /// How a loss with this slope over the weights changes with the coefficients.
    ///
    /// # Errors
    /// Cancellation.
    pub(in crate::fusion) fn along(&self, slope: &StateDict, cx: &Context<'_>) -> Result<Table, FusionError> {
        let found = along_task_vectors(&self.rows, slope, cx.cancel)?;
        Ok((0..self.experts()).map(|expert| found.iter().map(|tensor| tensor[expert]).collect()).collect())
    }

    /// Where coefficients stand after `step` of so many steps: tensors that people see as one block are averaged, as long
    /// task vectors count more. `exact` says that those of a block are all the same.
    pub(in crate::fusion) fn news(
        &self,
        table: &[Vec<f64>],
        losses: &[f64],
        (step, steps): (usize, usize),
        exact: bool,
    ) -> Adapted {
        let mut counts = vec![0.0; self.blocks.len()];
        self.block_of.iter().for_each(|&block| counts[block] += 1.0);
        let shown = |(expert, row): (usize, &Vec<f64>)| {
            let mut sums = vec![(0.0, 0.0, 0.0); self.blocks.len()];
            for ((value, norms), &block) in row.iter().zip(&self.norms).zip(&self.block_of) {
                let (weighted, weight, plain) = &mut sums[block];
                *weighted += norms[expert] * value;
                *weight += norms[expert];
                // Where no task vector has any length, all count the same.
                *plain += value;
            }
            let mean = |((weighted, weight, plain), count): ((f64, f64, f64), &f64)| {
                if weight > 0.0 { weighted / weight } else { plain / f64::max(*count, 1.0) }
            };
            sums.into_iter().zip(&counts).map(mean).collect()
        };
        Adapted {
            step,
            steps,
            losses: losses.to_vec(),
            blocks: Arc::clone(&self.blocks),
            coefficients: table.iter().enumerate().map(shown).collect(),
            exact,
            masked: false,
        }
    }
}
