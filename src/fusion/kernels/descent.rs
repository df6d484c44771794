//! Coefficients of a few directions moved down the entropy of the merged model's answers.

use super::adam::Adam;
use super::space::{Space, Table};
use crate::fusion::{Calibration, Context, Draw, FusionError};

/// λ = offset + Σ wₘ∘Vₘ: tables of coefficients that depend on one weight for each direction and tensor.
pub(in crate::fusion) struct Directions {
    pub offset: Table,
    pub along: Vec<Table>,
}

/// A stretch of descent.
pub(in crate::fusion) struct Descent<'a> {
    pub space: &'a Space<'a>,
    pub data: &'a dyn Calibration,
    pub draw: Draw,
    pub rate: f64,
    /// Every weight before the first step.
    pub init: f64,
    pub steps: usize,
}

impl Descent<'_> {
    /// Where the descent over the inputs of `tasks` ends; nothing if whoever waits has had enough, or a loss or slope is no
    /// number. Batches are those from step `first` on. `tell` hears table and losses after every step.
    ///
    /// # Errors
    /// What the data report; cancellation.
    pub(in crate::fusion) fn run(
        &self,
        directions: &Directions,
        tasks: &[&str],
        first: usize,
        cx: &mut Context<'_>,
        mut tell: impl FnMut(&Table, &[f64], &mut Context<'_>),
    ) -> Result<Option<Table>, FusionError> {
        let tensors = self.space.rows.len();
        let mut weights = vec![self.init; directions.along.len() * tensors];
        let mut adam = Adam::new(self.rate, weights.len());
        let mut table = directions.table(&weights, tensors);
        for step in 0..self.steps {
            if cx.is_enough() {
                return Ok(None);
            }
            let merged = self.space.weights(&self.space.plan(&table), first + step, cx)?;
            let found = self.data.entropy(tasks, merged, self.draw, first + step, cx)?;
            let slope = directions.slope(&self.space.along(&found.slope, cx)?, tensors);
            if found.losses.iter().chain(&slope).any(|x| !x.is_finite()) {
                return Ok(None);
            }
            adam.step(&mut weights, &slope);
            table = directions.table(&weights, tensors);
            tell(&table, &found.losses, cx);
        }
        Ok(Some(table))
    }
}

impl Directions {
    /// The coefficients; `weights` are `[direction][tensor]` in one row.
    fn table(&self, weights: &[f64], tensors: usize) -> Table {
        let mut table = self.offset.clone();
        for (weights, along) in weights.chunks(tensors.max(1)).zip(&self.along) {
            for (row, along) in table.iter_mut().zip(along) {
                row.iter_mut().zip(along).zip(weights).for_each(|((x, along), w)| *x += w * along);
            }
        }
        table
    }

    /// From the slope over coefficients to that over weights.
    fn slope(&self, over: &Table, tensors: usize) -> Vec<f64> {
        let of = |along: &Table| {
            let at = |tensor: usize| along.iter().zip(over).map(|(along, over)| along[tensor] * over[tensor]).sum();
            (0..tensors).map(at).collect::<Vec<f64>>()
        };
        self.along.iter().flat_map(of).collect()
    }
}
