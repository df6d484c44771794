//! Coefficients of a few directions moved down the entropy of the merged model's answers.

use super::adam::Adam;
use super::space::{Space, Table};
use crate::fusion::{Calibration, Context, Draw, FusionError};

/// λ = offset + Σ wₘ∘Vₘ: tables of coefficients that depend on one weight for each direction and tensor.
pub(in crate::fusion) struct Directions {
    pub offset: Table,
    pub along: Vec<Table>,
}

/// Someone on the way.
pub(in crate::fusion) struct Walk {
    directions: Directions,
    weights: Vec<f64>,
    adam: Adam,
    /// Where the walk has led.
    pub table: Table,
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
        directions: Directions,
        tasks: &[&str],
        first: usize,
        cx: &mut Context<'_>,
        mut tell: impl FnMut(&Table, &[f64], &mut Context<'_>),
    ) -> Result<Option<Table>, FusionError> {
        let mut walk = self.begin(directions);
        for step in 0..self.steps {
            let Some(losses) = self.step(&mut walk, tasks, first + step, cx)? else { return Ok(None) };
            tell(&walk.table, &losses, cx);
        }
        Ok(Some(walk.table))
    }

    /// A walk along `directions` before its first step.
    pub(in crate::fusion) fn begin(&self, directions: Directions) -> Walk {
        let tensors = self.space.rows.len();
        let weights = vec![self.init; directions.along.len() * tensors];
        let table = directions.table(&weights, tensors);
        Walk { directions, adam: Adam::new(self.rate, weights.len()), weights, table }
    }

    /// One step of a walk, on batch `batch` of each of `tasks`: the losses before it. Nothing, and no step, as in
    /// [`run`](Self::run).
    ///
    /// # Errors
    /// What the data report; cancellation.
    pub(in crate::fusion) fn step(
        &self,
        walk: &mut Walk,
        tasks: &[&str],
        batch: usize,
        cx: &mut Context<'_>,
    ) -> Result<Option<Vec<f64>>, FusionError> {
        if cx.is_enough() {
            return Ok(None);
        }
        let tensors = self.space.rows.len();
        let merged = self.space.weights(&self.space.plan(&walk.table), batch, cx)?;
        let found = self.data.entropy(tasks, merged, self.draw, batch, cx)?;
        let slope = walk.directions.slope(&self.space.along(&found.slope, cx)?, tensors);
        if found.losses.iter().chain(&slope).any(|x| !x.is_finite()) {
            return Ok(None);
        }
        walk.adam.step(&mut walk.weights, &slope);
        walk.table = walk.directions.table(&walk.weights, tensors);
        Ok(Some(found.losses))
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
