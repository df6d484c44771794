//! Coefficients of a few directions moved down the entropy of the merged model's answers.

use super::adam::Adam;
use super::space::{Space, Table};
use crate::fusion::{Calibration, Context, Draw, Entropy, FusionError};

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
    /// How the loss changes with the weights, as it was seen last.
    slope: Vec<f64>,
    /// Where the walk has led.
    pub table: Table,
}

/// What walks have in common.
pub(in crate::fusion) struct Descent<'a> {
    pub space: &'a Space<'a>,
    pub data: &'a dyn Calibration,
    pub draw: Draw,
    pub rate: f64,
    /// Every weight before the first step.
    pub init: f64,
}

/// What is seen on the way: the losses, a task each, and [how far answers tell images apart](super::downhill::Look).
pub(in crate::fusion) struct Seen {
    pub losses: Vec<f64>,
    pub information: Option<f64>,
    /// Whether the slope is one of numbers.
    pub clear: bool,
}

impl Descent<'_> {
    /// A walk along `directions` before its first step.
    pub(in crate::fusion) fn begin(&self, directions: Directions) -> Walk {
        let tensors = self.space.rows.len();
        let weights = vec![self.init; directions.along.len() * tensors];
        let table = directions.table(&weights, tensors);
        Walk { directions, adam: Adam::new(self.rate, weights.len()), slope: vec![0.0; weights.len()], weights, table }
    }

    /// Looks at where a walk has led, on batch `batch` of each of `tasks`; nothing if a loss is no number.
    ///
    /// # Errors
    /// What the data report; cancellation.
    pub(in crate::fusion) fn look(
        &self,
        walk: &mut Walk,
        tasks: &[&str],
        batch: usize,
        cx: &mut Context<'_>,
    ) -> Result<Option<Seen>, FusionError> {
        let Some(Entropy { losses, information, slope }) = self.entropy(&walk.table, tasks, batch, cx)? else {
            return Ok(None);
        };
        walk.slope = walk.directions.slope(&self.space.along(&slope, cx)?, self.space.rows.len());
        let clear = walk.slope.iter().all(|x| x.is_finite());
        Ok(Some(Seen { losses, information, clear }))
    }

    /// How unsure the model with these coefficients is; nothing if that is no number.
    ///
    /// # Errors
    /// What the data report; cancellation.
    pub(in crate::fusion) fn entropy(
        &self,
        table: &Table,
        tasks: &[&str],
        batch: usize,
        cx: &mut Context<'_>,
    ) -> Result<Option<Entropy>, FusionError> {
        let merged = self.space.weights(&self.space.plan(table), batch, cx)?;
        let found = self.data.entropy(tasks, merged, self.draw, batch, cx)?;
        Ok(found.losses.iter().all(|loss| loss.is_finite()).then_some(found))
    }

    /// One step of a walk down the slope that was seen last.
    pub(in crate::fusion) fn step(&self, walk: &mut Walk) {
        walk.adam.step(&mut walk.weights, &walk.slope);
        walk.table = walk.directions.table(&walk.weights, self.space.rows.len());
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
