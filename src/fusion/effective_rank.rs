//! In how many directions each expert's task vector goes, matrix by matrix.

use super::kernels::effective_rank::{estimated, exact};
use super::kernels::rows::{Decode, Row, row_length, rows};
use super::kernels::spectral::{Dense, NoConvergence};
use super::{FusionError, Pool};
use crate::cancel::Cancel;
use rayon::prelude::*;
use serde::Serialize;

/// Up to this shorter side all singular values are computed.
const EXACT: usize = 1024;
/// Elements that are read at a time.
const READ: usize = 64 * 1024;

/// The effective rank of a task vector in one matrix: between 1 and the shorter side; 0 where nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EffectiveRank {
    pub rank: f64,
    /// The most that it could be.
    pub full: usize,
    /// Found by a randomised estimate, to a few percent (more for spectra that fall steeply), and not from all singular
    /// values.
    pub estimated: bool,
}

enum Stop {
    Error(FusionError),
    NoConvergence,
}

impl From<NoConvergence> for Stop {
    fn from(_: NoConvergence) -> Self {
        Self::NoConvergence
    }
}

/// The effective ranks of every tensor of `pool`, which may be a window, in the reference's order: one an expert for
/// matrices (convolutions flattened to `[out, rest]`), none for vectors and where numbers are not finite. Memory: one
/// matrix of at most 1024 rows or columns for each core; larger ones are read row by row.
///
/// # Errors
/// A pool without a base; cancellation.
pub fn effective_rank(pool: &Pool, cancel: &Cancel) -> Result<Vec<Vec<Option<EffectiveRank>>>, FusionError> {
    if pool.base().is_none() {
        return Err(FusionError::NeedsBase { method: "The effective rank" });
    }
    let (rows, experts) = (rows(pool)?, pool.experts().len());
    let mut work: Vec<(usize, usize)> = (0..rows.len()).flat_map(|at| (0..experts).map(move |e| (at, e))).collect();
    // The longest last would leave the other cores idle.
    work.sort_by_key(|(at, _)| std::cmp::Reverse(rows[*at].info.len()));
    let measure = |(at, expert)| {
        cancel.check()?;
        let rank = match of(&rows[at], expert, cancel) {
            Ok(rank) => rank,
            Err(Stop::NoConvergence) => None,
            Err(Stop::Error(error)) => return Err(error),
        };
        Ok(((at, expert), rank))
    };
    let found: Vec<_> = work.into_par_iter().with_max_len(1).map(measure).collect::<Result<_, FusionError>>()?;
    let mut ranks = vec![vec![None; experts]; rows.len()];
    for ((at, expert), rank) in found {
        ranks[at][expert] = rank;
    }
    Ok(ranks)
}

fn of(row: &Row<'_>, expert: usize, cancel: &Cancel) -> Result<Option<EffectiveRank>, Stop> {
    let (columns, length) = (row_length(row.info), row.info.len());
    if row.info.shape.len() < 2 || length == 0 || !row.info.dtype.is_float() {
        return Ok(None);
    }
    let full = (length / columns).min(columns);
    let mut scratch = (Decode::default(), Vec::new());
    if full > EXACT {
        let mut finite = true;
        let rank = estimated(columns, |take| {
            let mut careful = |delta: &[f64]| {
                finite &= delta.iter().all(|x| x.is_finite());
                take(delta);
            };
            each_row(row, expert, columns, &mut scratch, &mut careful, cancel)?;
            if finite { Ok(()) } else { Err(Stop::NoConvergence) }
        })?;
        return Ok(Some(EffectiveRank { rank, full, estimated: true }));
    }
    let mut delta = Dense { rows: length / columns, columns, values: Vec::with_capacity(length) };
    each_row(row, expert, columns, &mut scratch, &mut |row| delta.values.extend_from_slice(row), cancel)?;
    if !delta.values.iter().all(|x| x.is_finite()) {
        return Ok(None);
    }
    Ok(Some(EffectiveRank { rank: exact(delta.view())?, full, estimated: false }))
}

/// Hands on an expert's task vector row by row.
fn each_row(
    row: &Row<'_>,
    expert: usize,
    columns: usize,
    (decode, delta): &mut (Decode, Vec<f64>),
    take: &mut dyn FnMut(&[f64]),
    cancel: &Cancel,
) -> Result<(), Stop> {
    let (length, step) = (row.info.len(), (READ / columns).max(1) * columns);
    for start in (0..length).step_by(step) {
        cancel.check().map_err(|stop| Stop::Error(stop.into()))?;
        row.read(&[expert], &(start..length.min(start + step)), decode, |base, experts| {
            delta.clear();
            let pairs = experts.iter().flat_map(|values| values.iter().zip(base));
            delta.extend(pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)));
        });
        delta.chunks(columns).for_each(&mut *take);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::testing::{checkpoint, tensor};
    use crate::weights::DType;

    #[test]
    fn small_matrices_exactly_and_large_ones_by_estimate() {
        let sides = [40, EXACT + 1];
        let shape = |n: usize| [n, n + 3];
        let model = |step: f32| {
            let matrix = |n: usize| {
                // Three directions of equal size: the effective rank of the step is three.
                let value = |at: usize| if at % (n + 3) == at / (n + 3) && at % (n + 3) < 3 { step } else { 0.25 };
                tensor(&format!("m{n}"), &shape(n), DType::F32, (0..n * (n + 3)).map(value).collect())
            };
            let mut tensors: Vec<_> = sides.map(matrix).into();
            tensors.push(tensor("bias", &[4], DType::F32, vec![step; 4]));
            checkpoint(tensors)
        };
        let experts = vec![("a".to_owned(), model(1.25)), ("same".to_owned(), model(0.25))];
        let pool = Pool::new(Some(model(0.25)), experts).unwrap();
        let ranks = effective_rank(&pool, &Cancel::default()).unwrap();
        let names: Vec<&str> = pool.reference().unwrap().tensors().iter().map(|info| info.name.as_str()).collect();
        let of = |name: &str, expert: usize| ranks[names.iter().position(|other| *other == name).unwrap()][expert];
        assert_eq!(of("bias", 0), None);
        for n in sides {
            let found = of(&format!("m{n}"), 0).unwrap();
            assert_eq!((found.full, found.estimated), (n, n > EXACT));
            // Signs as probes see all coordinates with equal weight, so that here the estimate is exact too.
            assert!((found.rank - 3.0).abs() < 1e-6, "{n}: {}", found.rank);
            assert_eq!(of(&format!("m{n}"), 1).unwrap().rank, 0.0);
        }
    }
}
