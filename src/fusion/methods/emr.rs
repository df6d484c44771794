//! EMR-Merging (Huang et al. 2024): elect a unified task vector, mask it for each task, rescale.

use crate::fusion::kernels::chunks::map_chunks;
use crate::fusion::kernels::emr::{BLOCK, Election};
use crate::fusion::kernels::rows::{Scratch, rows};
use crate::fusion::kernels::shared::{Block, shared_and_masks};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Own, PerTask, Pool};
use crate::params::{ParamSet, choice};

crate::params! {
    /// How sizes are averaged for the rescalers: of each tensor, so that a bias counts as much as a matrix (FusionBench), or over all weights (paper).
    average: String = choice("tensors", &["tensors", "weights"]);
}

pub static METHOD: Method = Method {
    id: "emr",
    name: "EMR-Merging",
    family: Family::Compression,
    formula: "θₖ = θ₀ + λₖ mₖ∘τ, τ = σ maxᵢ |τᵢ| where τᵢ has the elected sign σ, mₖ = [τₖ τ > 0]",
    summary: "Elects one task vector for all tasks: for each weight the sign of the sum and the largest change with that \
              sign. Each task keeps a mask (where its own change has this sign) and a rescaler: one bit a weight brings \
              it close to its expert.",
    reference: "arXiv:2405.17461",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { average } = METHOD.typed(Params::from_set(set))?;
    // The rescalers are of the whole model, whichever part of it is at hand.
    let scales = cx.survey(pool, |whole, cx| rescalers(whole, average == "tensors", cx))?;
    let (unified, masks) = shared_and_masks(pool, cx, |election: &mut Election, block: Block<'_>| {
        election.hold(block.base, block.experts);
        election.unified(block.shared);
        for (expert, words) in block.experts.iter().zip(block.masks) {
            election.mask(block.base, expert, words);
        }
    })?;
    let own = |(masks, scale): (Vec<_>, f32)| masks.into_iter().map(|mask| Own::Masked { mask, scale }).collect();
    Ok(Fused::PerTask(PerTask::new(Some(unified), masks.into_iter().zip(scales.0.iter().copied()).map(own).collect())))
}

/// One number an expert.
struct Rescalers(Vec<f32>);

/// What brings each expert's masked vector to the size of its own task vector: Σ mean|τₖ| ⁄ Σ mean|mₖ∘τ|.
///
/// FusionBench sums the means of the tensors; the paper's formula sums absolute values over all weights.
fn rescalers(pool: &Pool, by_tensor: bool, cx: &mut Context<'_>) -> Result<Rescalers, FusionError> {
    let rows = rows(pool)?;
    let all: Vec<usize> = (0..pool.experts().len()).collect();
    let floats = rows.iter().enumerate().filter(|(_, row)| row.info.dtype.is_float());
    let partial = map_chunks(floats.map(|(at, row)| (at, row.info.len())), cx.cancel, |piece, scratch| {
        let Scratch { decode, .. } = scratch;
        let (mut election, mut sums) = (Election::default(), vec![[0.0; 2]; all.len()]);
        for start in piece.range.clone().step_by(BLOCK) {
            let range = start..piece.range.end.min(start + BLOCK);
            rows[piece.tensor].read(&all, &range, decode, |base, experts| {
                election.hold(base, experts);
                for (sums, expert) in sums.iter_mut().zip(experts) {
                    let sizes = election.sizes(base, expert);
                    sums.iter_mut().zip(sizes).for_each(|(sum, size)| *sum += size);
                }
            });
        }
        sums
    })?;
    let mut totals = vec![[0.0; 2]; all.len()];
    // In order, so that the sums are the same whatever the number of cores.
    for (piece, sums) in partial {
        let share = if by_tensor { 1.0 / rows[piece.tensor].info.len() as f64 } else { 1.0 };
        for (total, sum) in totals.iter_mut().zip(sums) {
            total.iter_mut().zip(sum).for_each(|(total, sum)| *total += share * sum);
        }
    }
    // An expert that is nowhere on the elected side has an empty mask: nothing is scaled.
    let scale = |[own, unified]: &[f64; 2]| if *unified > 0.0 { (own / unified) as f32 } else { 1.0 };
    Ok(Rescalers(totals.iter().map(scale).collect()))
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{ELEMENTS, models, pool};
    use crate::params::Value::Text;

    #[test]
    fn each_task_gets_what_agrees_with_the_election_at_its_own_size() {
        let (mut a, mut b) = (vec![0.0; ELEMENTS], vec![0.0; ELEMENTS]);
        (a[0], b[0]) = (1.0, 3.0);
        (a[1], b[1]) = (2.0, -0.5);
        let pool = pool(Some(&[0.0; ELEMENTS]), &[a, b]);
        // One tensor is concerned, so both ways to average are one.
        for average in ["tensors", "weights"] {
            let all = models("emr", &[("average", Text(average.into()))], &pool);
            // Sizes 3 of 5, and 3.5 of 3.
            assert_eq!((all[0][0], all[0][1]), (3.0 * 0.6, 2.0 * 0.6));
            assert_eq!((all[1][0], all[1][1]), (3.0 * (3.5f32 / 3.0), 0.0));
            assert!(all.iter().all(|model| model[2..].iter().all(|x| *x == 0.0)));
        }
    }
}
