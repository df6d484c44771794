//! SMILE's up-scaling: in every linear layer, what each expert changed, behind a router that looks along the changes'
//! directions.

use super::dare::is_linear_weight;
use super::low_rank::{leading_rows, low_rank};
use super::rows::{Row, rows};
use super::spectral::{Dense, leading, svd};
use super::tensors::{Task, each_tensor};
use crate::fusion::{Body, Change, Context, FusionError, Matrix, Mixed, Mixture, Norms, Place, Pool, Router, Unit};
use std::sync::{Arc, Mutex, PoisonError};

/// What becomes of a linear layer.
#[derive(Debug, Clone, Copy)]
pub(in crate::fusion) struct Upscaling {
    /// The method's name, for messages.
    pub method: &'static str,
    /// Rank of every expert; nothing: all of the change.
    pub rank: Option<usize>,
    /// Directions of an expert that the router looks along.
    pub router_rank: usize,
    /// Experts that answer for a token.
    pub top: usize,
    /// Whether the router looks along the changes' directions, not along those of the experts' whole weights.
    pub along_change: bool,
    /// Whether everything but the linear layers is the experts' mean instead of the base's.
    pub average_experts: bool,
}

/// Changes no larger than this are none: a layer in which no expert has any is left as it is.
const NOTHING: f64 = 1e-8;

impl Upscaling {
    /// The base with an expert of every model in each linear layer that any of them changes.
    ///
    /// # Errors
    /// Singular values that are not found, numbers that are not finite; cancellation.
    pub(in crate::fusion) fn upscale(&self, pool: &Pool, cx: &mut Context<'_>) -> Result<Mixture, FusionError> {
        let all = rows(pool)?;
        let found = Mutex::new(Vec::new());
        let backbone = each_tensor(self.method, pool, cx, |task, out| {
            let linear = is_linear_weight(task.row.info) && task.is_matrix();
            // A layer's bias stays the base's too: the experts' are in their changes, and FusionBench's models for
            // transformers add the base's twice.
            if self.average_experts && !linear && !belongs_to_linear(&all, &task.row.info.name) {
                task.write(1.0, &task.mean()?, out);
                return Ok(());
            }
            out.copy_from_slice(&task.base());
            if linear && let Some(place) = self.place(task, &all)? {
                found.lock().unwrap_or_else(PoisonError::into_inner).push(place);
            }
            Ok(())
        })?;
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let position = |name: &str| all.iter().position(|row| row.info.name == name);
        found.sort_by_key(|(place, _): &(Place, Router)| position(&place.layers[0].weight));
        let (mut places, routers): (Vec<Place>, Vec<Router>) = found.into_iter().unzip();
        places.iter_mut().enumerate().for_each(|(at, place)| place.router = at);
        let experts = pool.experts().iter().map(|(name, _)| name.clone()).collect();
        Ok(Mixture { body: Arc::new(Body { backbone, experts, places }), routers })
    }

    /// A layer's experts and router; nothing where no expert changes it.
    fn place(&self, task: &Task<'_>, all: &[Row<'_>]) -> Result<Option<(Place, Router)>, FusionError> {
        let deltas = task.deltas()?;
        if deltas.iter().all(|delta| delta.values.iter().all(|x| x.abs() <= NOTHING)) {
            return Ok(None);
        }
        let name = task.name().strip_suffix(".weight").unwrap_or(task.name()).to_owned();
        let bias = all.iter().find(|row| row.info.name == format!("{name}.bias"));
        let bias = bias.map(|row| Task::new(row, self.method, task.cancel));
        let (outputs, inputs) = (deltas[0].rows, deltas[0].columns);
        let most = deltas[0].rank();
        let router_rank = self.router_rank.clamp(1, most);
        let rank = self.rank.map(|rank| rank.min(most));
        let (mut changes, mut directions) = (Vec::with_capacity(deltas.len()), Vec::new());
        for (expert, delta) in deltas.iter().enumerate() {
            task.cancel.check()?;
            let needed = rank.unwrap_or(0).max(if self.along_change { router_rank } else { 0 });
            // Few directions, or all: whichever route is meant for it.
            let of = |matrix: &Dense, k: usize| {
                task.solved(if k == most { svd(matrix.view()) } else { leading(matrix.view(), k) })
            };
            let parts = of(delta, needed)?;
            if self.along_change {
                directions.extend(leading_rows(&parts.v, router_rank, |_| 1.0));
            } else {
                directions.extend(leading_rows(&of(&task.expert(expert)?, router_rank)?.v, router_rank, |_| 1.0));
            }
            let weight = match rank {
                None => Matrix::Dense(delta.values.iter().map(|x| *x as f32).collect()),
                Some(rank) => low_rank(&parts, rank),
            };
            let bias = bias.as_ref().map(|bias| bias.delta(expert)).transpose()?;
            let bias = bias.map_or_else(Vec::new, |bias| bias.values.iter().map(|x| *x as f32).collect());
            changes.push(Change { weight, bias });
        }
        let top = self.top.clamp(1, deltas.len());
        let router = Router::Norms(Arc::new(Norms { rank: router_rank, inputs, directions, top }));
        let layers = vec![Mixed { weight: task.name().to_owned(), outputs, inputs, changes }];
        // Which router it is turns out once all layers are there.
        Ok(Some((Place { name, router: 0, unit: Unit::Expert, layers }, router)))
    }
}

fn belongs_to_linear(rows: &[Row<'_>], bias: &str) -> bool {
    let weight = bias.strip_suffix("bias").map(|stem| format!("{stem}weight"));
    weight.is_some_and(|weight| rows.iter().any(|row| row.info.name == weight && is_linear_weight(row.info)))
}
