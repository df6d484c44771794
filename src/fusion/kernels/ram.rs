//! Reinforced agent merging: what one expert alone has changed is kept whole, what several have is averaged.

use super::chunks::map_chunks;
use super::elementwise::elementwise_by_tensor;
use super::rows::{Row, rows};
use crate::fusion::{Context, FusionError, Pool};
use crate::weights::StateDict;

/// How much more an expert's own changes count, the more of its changes it shares: 1 + r · min(shared/own, alpha).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::fusion) struct Gain {
    pub r: f64,
    pub alpha: f64,
}

/// θ₀ plus the mean of the changes larger than `epsilon`, times the expert's gain where there is only one.
///
/// # Errors
/// A result that is not finite; cancellation.
pub(in crate::fusion) fn fuse_agents(
    pool: &Pool,
    epsilon: f32,
    gain: Option<Gain>,
    cx: &mut Context<'_>,
) -> Result<StateDict, FusionError> {
    let rows = rows(pool)?;
    let gains = match gain {
        Some(gain) => gains(&rows, epsilon, gain, cx)?,
        None => vec![vec![1.0; pool.experts().len()]; rows.len()],
    };
    elementwise_by_tensor(pool, cx, |piece, base, experts, out| {
        let gains = &gains[piece.tensor];
        for (at, (out, &base)) in out.iter_mut().zip(base).enumerate() {
            let (mut count, mut sum, mut factor) = (0, 0.0, 1.0);
            for (expert, gain) in experts.iter().zip(gains) {
                let delta = expert[at] - base;
                if is_change(delta, epsilon) {
                    (count, sum, factor) = (count + 1, sum + delta, *gain);
                }
            }
            *out = base + if count > 1 { sum / count as f32 } else { factor * sum };
        }
    })
}

/// What is not a number counts as a change, so that it stays visible.
fn is_change(delta: f32, epsilon: f32) -> bool {
    delta.abs() > epsilon || delta.is_nan()
}

/// `[tensor][expert]`
fn gains(rows: &[Row<'_>], epsilon: f32, gain: Gain, cx: &Context<'_>) -> Result<Vec<Vec<f32>>, FusionError> {
    let experts = rows.first().map_or(0, |row| row.experts.len());
    let all: Vec<usize> = (0..experts).collect();
    let floats = rows.iter().enumerate().filter(|(_, row)| row.info.dtype.is_float());
    let counts = map_chunks(floats.map(|(at, row)| (at, row.info.len())), cx.cancel, |piece, scratch| {
        rows[piece.tensor].read(&all, &piece.range, &mut scratch.decode, |base, models| {
            // Changes that are an expert's own, and that others have made too.
            let mut counts = vec![[0u64; 2]; experts];
            for (at, base) in base.iter().enumerate() {
                let changed = |expert: &&[f32]| is_change(expert[at] - base, epsilon);
                let several = usize::from(models.iter().filter(|expert| changed(expert)).count() > 1);
                for (counts, expert) in counts.iter_mut().zip(models) {
                    counts[several] += u64::from(changed(expert));
                }
            }
            counts
        })
    })?;
    let mut totals = vec![vec![[0u64; 2]; experts]; rows.len()];
    for (piece, counts) in counts {
        for (total, [own, shared]) in totals[piece.tensor].iter_mut().zip(counts) {
            *total = [total[0] + own, total[1] + shared];
        }
    }
    let of = |[own, shared]: [u64; 2]| {
        // An expert that shares everything has the largest ratio.
        let ratio = if own > 0 { shared as f64 / own as f64 } else { shared as f64 * f64::INFINITY };
        (1.0 + gain.r * if ratio > gain.alpha { gain.alpha } else { ratio.max(0.0) }) as f32
    };
    Ok(totals.into_iter().map(|experts| experts.into_iter().map(of).collect()).collect())
}
