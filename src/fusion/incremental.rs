//! Re-fusing only what a changed coefficient changes.

use super::kernels::accumulate::accumulate;
use super::kernels::chunks::for_chunks;
use super::kernels::rows::{Row, blank, rows};
use super::linear::Coefficients;
use super::{Context, FusionError, LinearPlan, Origin, Pool};
use crate::weights::StateDict;

/// Which tensors the last call gave new values, as indices into [`StateDict::tensors`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Every one: the first fusion, another pool, a refresh.
    All,
    Some(Vec<usize>),
}

/// So many nudges may follow one another before a tensor is computed anew, which bounds the drift of θ += Δλ·τ.
const MAX_NUDGES: u32 = 200;

/// The last fused weights of a linear plan, brought up to date by one pass over what changed.
///
/// θ += Σ Δλᵢ(θᵢ − origin) over the tensors of the changed blocks and the experts whose coefficient changed; where that
/// would read more than a full computation, the tensor is computed anew.
#[derive(Debug)]
pub struct Incremental {
    last: Option<Last>,
    changed: Changed,
}

#[derive(Debug)]
struct Last {
    pool: Pool,
    origin: Origin,
    /// What each tensor holds; nothing once a pass was interrupted halfway.
    applied: Option<Vec<Applied>>,
    fused: StateDict,
}

#[derive(Debug, Clone)]
struct Applied {
    lambdas: Vec<f32>,
    nudges: u32,
}

/// What is to be done to a tensor.
#[derive(Debug)]
enum Update {
    Keep,
    /// The experts whose coefficients changed, and by how much.
    Nudge {
        slots: Vec<usize>,
        deltas: Vec<f32>,
    },
    Compute,
}

impl Default for Incremental {
    fn default() -> Self {
        Self::new()
    }
}

impl Incremental {
    #[must_use]
    pub fn new() -> Self {
        Self { last: None, changed: Changed::All }
    }

    /// The fused weights of `plan`, from the last ones where possible.
    ///
    /// # Errors
    /// A result that is not finite, cancellation, a table that does not fit the pool; the next call then computes
    /// everything anew.
    pub fn fuse(&mut self, plan: &LinearPlan, pool: &Pool, cx: &mut Context<'_>) -> Result<&StateDict, FusionError> {
        self.update(plan, pool, cx, false)
    }

    /// Computes everything anew: for when there is time, so that no rounding errors of nudges are left.
    ///
    /// # Errors
    /// As [`Incremental::fuse`].
    pub fn refresh(&mut self, plan: &LinearPlan, pool: &Pool, cx: &mut Context<'_>) -> Result<&StateDict, FusionError> {
        self.update(plan, pool, cx, true)
    }

    /// The weights that the last successful call left; nothing before the first, or after a failed one.
    #[must_use]
    pub fn weights(&self) -> Option<&StateDict> {
        self.last.as_ref().filter(|last| last.applied.is_some()).map(|last| &last.fused)
    }

    /// Which tensors the last successful call changed: those to be uploaded.
    #[must_use]
    pub fn changed(&self) -> &Changed {
        &self.changed
    }

    /// Whether nudges have left rounding errors that a [`Incremental::refresh`] would remove.
    #[must_use]
    pub fn is_drifted(&self) -> bool {
        let applied = self.last.iter().filter_map(|last| last.applied.as_ref()).flatten();
        applied.into_iter().any(|tensor| tensor.nudges > 0)
    }

    fn update(
        &mut self,
        plan: &LinearPlan,
        pool: &Pool,
        cx: &mut Context<'_>,
        anew: bool,
    ) -> Result<&StateDict, FusionError> {
        let rows = rows(pool)?;
        let table = plan.table(pool, &rows)?;
        let last = match self.last.take() {
            Some(last) if last.pool.is_same(pool) => self.last.insert(last),
            _ => self.last.insert(Last { pool: pool.clone(), origin: plan.origin, applied: None, fused: blank(&rows) }),
        };
        // Taken, so that an error on the way leaves it empty.
        let before = last.applied.take().filter(|_| last.origin == plan.origin);
        let updates: Vec<Update> = match &before {
            Some(applied) if !anew => applied.iter().zip(&table).map(|(old, new)| Update::of(old, new)).collect(),
            _ => table.iter().map(|_| Update::Compute).collect(),
        };
        last.run(plan, &rows, &table, &updates, cx)?;
        let applied = table.into_iter().enumerate().map(|(at, new)| Applied {
            lambdas: new.all,
            nudges: match (&updates[at], &before) {
                (Update::Compute, _) | (_, None) => 0,
                (Update::Keep, Some(before)) => before[at].nudges,
                (Update::Nudge { .. }, Some(before)) => before[at].nudges + 1,
            },
        });
        last.applied = Some(applied.collect());
        last.origin = plan.origin;
        self.changed = if before.is_none() || anew {
            Changed::All
        } else {
            let changed = |at: &usize| !matches!(updates[*at], Update::Keep) && rows[*at].info.dtype.is_float();
            Changed::Some((0..updates.len()).filter(changed).collect())
        };
        Ok(&last.fused)
    }
}

impl Update {
    fn of(old: &Applied, new: &Coefficients) -> Self {
        let deltas = new.all.iter().zip(&old.lambdas).map(|(new, old)| new - old);
        let (slots, deltas): (Vec<usize>, Vec<f32>) = deltas.enumerate().filter(|(_, delta)| *delta != 0.0).unzip();
        if slots.is_empty() {
            Self::Keep
        } else if old.nudges >= MAX_NUDGES || slots.len() + 1 >= new.slots.len() {
            // A nudge also reads the old weights; from there on computing anew reads no more, and is exact.
            Self::Compute
        } else {
            Self::Nudge { slots, deltas }
        }
    }
}

impl Last {
    fn run(
        &mut self,
        plan: &LinearPlan,
        rows: &[Row<'_>],
        table: &[Coefficients],
        updates: &[Update],
        cx: &mut Context<'_>,
    ) -> Result<(), FusionError> {
        let tensors = self.fused.tensors_mut();
        let any = |wanted: fn(&Update) -> bool| updates.iter().any(wanted);
        if any(|update| matches!(update, Update::Compute)) {
            plan.compute(rows, table, tensors, |at| matches!(updates[at], Update::Compute), cx)?;
        }
        if any(|update| matches!(update, Update::Nudge { .. })) {
            let select = |at: usize| matches!(updates[at], Update::Nudge { .. });
            for_chunks(tensors, select, cx, |piece, out, scratch| {
                if let Update::Nudge { slots, deltas } = &updates[piece.tensor] {
                    rows[piece.tensor].read(slots, &piece.range, &mut scratch.decode, |base, experts| {
                        accumulate(out, if plan.origin == Origin::Base { base } else { &[] }, experts, deltas);
                    });
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
