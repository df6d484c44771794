//! AdaMerging's loop: coefficients of task vectors moved down the entropy of the merged model's answers.

use super::adam::Adam;
use super::rows::rows;
use super::slopes::{along_task_vectors, square_norms};
use crate::fusion::options::adaptation::Params;
use crate::fusion::{Adapted, Calibration, Context, Draw, FusionError, LinearPlan, Method, News, Origin, Pool};
use crate::params::Value;
use std::sync::Arc;

/// Which tensors share a coefficient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) enum Sharing {
    /// All of an expert's.
    All,
    /// Those of a block.
    Block,
    /// None.
    Tensor,
}

/// Adapts from the initial coefficients; the result is a linear plan that goes on being cheap to move.
///
/// Every step asks for the entropy on one batch of each expert's task, and for its slope over the merged weights θ(λ);
/// that over a coefficient is ⟨∂L/∂θ, τ⟩, so no merge is part of a graph, and memory is that of one model.
///
/// A person who has seen enough, and a loss or slope that is no number, end it early: what it was worth before is kept,
/// and the context's listener is told how many steps that is.
///
/// # Errors
/// A loss that is no number from the beginning; what the data report; cancellation.
pub(in crate::fusion) fn adapt(
    method: &Method,
    params: &Params,
    sharing: Sharing,
    pool: &Pool,
    cx: &mut Context<'_>,
) -> Result<LinearPlan, FusionError> {
    let data = method.data(cx)?;
    let mut table = Table::new(params, sharing, pool, cx)?;
    let mut before = table.values.clone();
    let mut adam = Adam::new(params.rate, before.len());
    cx.phase("adapt", params.steps, "steps");
    let settled = loop {
        let done = table.steps;
        if done == params.steps {
            break done;
        }
        if cx.is_enough() {
            break done;
        }
        let Some(slope) = table.slope(data, params.draw(), pool, cx)? else {
            // Where it stands answers with no numbers; where it stood before did not.
            table.values.clone_from(&before);
            if done == 0 {
                return Err(FusionError::Unusable { method: method.name, reason: NO_START.to_owned() });
            }
            warn(done, done - 1, cx);
            break done - 1;
        };
        if slope.iter().any(|x| !x.is_finite()) {
            warn(done + 1, done, cx);
            break done;
        }
        before.clone_from(&table.values);
        adam.step(&mut table.values, &slope);
        table.steps += 1;
        cx.tell(News::Adapted(table.news(params.steps)));
        cx.advance(1);
    };
    if settled < params.steps {
        cx.tell(News::Settled { param: "steps", value: Value::Int(settled as i64) });
    }
    Ok(table.plan(pool))
}

const NO_START: &str = "the model's answers are not finite before the first step; use a smaller init";

fn warn(failed: usize, kept: usize, cx: &mut Context<'_>) {
    let text = format!("step {failed} made the loss not finite; kept what step {kept} gave. A smaller rate helps");
    cx.tell(News::Warning(text));
}

/// The coefficients, `[expert][column]` in one row.
struct Table {
    values: Vec<f64>,
    sharing: Sharing,
    clamp: bool,
    /// Steps taken.
    steps: usize,
    /// What each tensor's column is.
    columns: Vec<usize>,
    width: usize,
    experts: usize,
    /// Where the tensors are in the table that people see, `[expert][block]`, and with which weight: ‖τ‖².
    blocks: Arc<Vec<String>>,
    block_of: Vec<usize>,
    norms: Vec<Vec<f64>>,
    /// The last losses, a task each.
    losses: Vec<f64>,
}

impl Table {
    fn new(params: &Params, sharing: Sharing, pool: &Pool, cx: &Context<'_>) -> Result<Self, FusionError> {
        let rows = rows(pool)?;
        let experts = pool.experts().len();
        let groups = pool.groups();
        let group = |name: &str| groups.index(name);
        let (columns, width): (Vec<usize>, usize) = match sharing {
            Sharing::All => (vec![0; rows.len()], 1),
            Sharing::Block => (rows.iter().map(|row| group(&row.info.name)).collect(), groups.len()),
            Sharing::Tensor => ((0..rows.len()).collect(), rows.len()),
        };
        let (blocks, block_of) = match sharing {
            Sharing::All => (vec!["all".to_owned()], vec![0; rows.len()]),
            _ => (groups.names().to_vec(), rows.iter().map(|row| group(&row.info.name)).collect()),
        };
        Ok(Self {
            values: vec![params.init; experts * width],
            sharing,
            clamp: params.clamp,
            steps: 0,
            columns,
            width,
            experts,
            blocks: Arc::new(blocks),
            block_of,
            norms: square_norms(&rows, cx.cancel)?,
            losses: Vec::new(),
        })
    }

    /// One coefficient as it is used.
    fn used(&self, expert: usize, column: usize) -> f64 {
        let value = self.values[expert * self.width + column];
        if self.clamp { value.clamp(0.0, 1.0) } else { value }
    }

    fn plan(&self, pool: &Pool) -> LinearPlan {
        let row = |expert: usize| (0..self.width).map(|column| self.used(expert, column) as f32).collect();
        let table: Vec<Vec<f32>> = (0..self.experts).map(row).collect();
        match self.sharing {
            Sharing::All => LinearPlan::uniform(Origin::Base, pool, &table.concat()),
            Sharing::Block => LinearPlan::new(Origin::Base, table),
            Sharing::Tensor => LinearPlan::per_tensor(Origin::Base, pool, table),
        }
    }

    /// How the summed losses change with the coefficients; nothing if a loss is no number.
    fn slope(
        &mut self,
        data: &dyn Calibration,
        draw: Draw,
        pool: &Pool,
        cx: &mut Context<'_>,
    ) -> Result<Option<Vec<f64>>, FusionError> {
        let weights = {
            let mut silent = |_, _| ();
            let mut quiet = Context::new(cx.cancel, &mut silent);
            quiet.lenient = true;
            Arc::new(self.plan(pool).materialise(pool, &mut quiet)?)
        };
        let tasks: Vec<&str> = pool.experts().iter().map(|(name, _)| name.as_str()).collect();
        let found = data.entropy(&tasks, weights, draw, self.steps, cx)?;
        if found.losses.iter().any(|loss| !loss.is_finite()) {
            return Ok(None);
        }
        self.losses = found.losses;
        let mut slope = vec![0.0; self.values.len()];
        let rows = rows(pool)?;
        for (tensor, along) in along_task_vectors(&rows, &found.slope, cx.cancel)?.iter().enumerate() {
            for (expert, along) in along.iter().enumerate() {
                slope[expert * self.width + self.columns[tensor]] += along;
            }
        }
        if self.clamp {
            // A clamped coefficient is flat outside of its range; the ends belong to it.
            let inside = |value: &f64| (0.0..=1.0).contains(value);
            slope.iter_mut().zip(&self.values).filter(|(_, value)| !inside(value)).for_each(|(slope, _)| *slope = 0.0);
        }
        Ok(Some(slope))
    }

    /// Where it stands: tensors that people see as one block are averaged, as long task vectors count more.
    fn news(&self, steps: usize) -> Adapted {
        let mut sums = vec![vec![(0.0, 0.0, 0.0); self.blocks.len()]; self.experts];
        for (tensor, norms) in self.norms.iter().enumerate() {
            for (expert, norm) in norms.iter().enumerate() {
                let (weighted, weight, count) = &mut sums[expert][self.block_of[tensor]];
                let value = self.used(expert, self.columns[tensor]);
                *weighted += norm * value;
                *weight += norm;
                // Where no task vector has any length, all count the same.
                *count += value;
            }
        }
        let mut counts = vec![0.0; self.blocks.len()];
        self.block_of.iter().for_each(|&block| counts[block] += 1.0);
        let mean = |(block, (weighted, weight, plain)): (usize, &(f64, f64, f64))| {
            if *weight > 0.0 { weighted / weight } else { plain / f64::max(counts[block], 1.0) }
        };
        Adapted {
            step: self.steps,
            steps,
            losses: self.losses.clone(),
            blocks: Arc::clone(&self.blocks),
            coefficients: sums.iter().map(|row| row.iter().enumerate().map(mean).collect()).collect(),
            exact: self.sharing != Sharing::Tensor,
        }
    }
}
