//! Task arithmetic in the trust region (Sun et al. 2025), with the gradients that its data-free form does without.

use crate::fusion::kernels::conflict::agreeing;
use crate::fusion::{Context, Draw, Examples, Family, Fused, FusionError, Method, Needs, Pool, Shown, Slopes};
use crate::params::{ParamSet, float, int, seed};

crate::params! {
    /// Coefficient of the summed task vectors.
    scaling: f32 = float(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ");
    /// Share of all weights that lie in the trust region.
    quantile: f64 = float(0.99, 0.0, 1.0, 0.01).symbol("q");
    /// Labelled validation examples of each task, one gradient each; all where a task has fewer.
    samples: usize = int(128, 1, 4096, 32).at_least(1.0).costly();
    /// Seed of the choice of examples.
    seed: u64 = seed(0).costly();
}

pub static METHOD: Method = Method {
    id: "tatr",
    name: "Trust region, with gradients",
    family: Family::Merging,
    formula: "θ = θ₀ + λ m∘Σ τᵢ, m: Ω below its q-quantile, Ω = Σᵢ≠ⱼ E|∂Lᵢ/∂θ₀|∘|τⱼ|",
    summary: "Task arithmetic that leaves out the weights which one task's answers depend on and another task's vector \
              changes. Shows the base a few labelled examples of every task and takes a gradient of each.",
    reference: "arXiv:2501.15065",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 2, max_models: None, data: Examples::Labelled },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scaling, quantile, samples, seed } = METHOD.typed(Params::from_set(set))?;
    let data = METHOD.data(cx)?;
    let base = pool.base().ok_or(FusionError::NeedsBase { method: METHOD.name })?;
    let draw = Draw { shown: Shown::Validation, samples, batch: 1, seed };
    let counts = pool.experts().iter().map(|(task, _)| data.count(task, draw));
    let total = counts.sum::<Result<usize, FusionError>>()?;
    cx.phase("look at data", total, "examples");
    // FusionBench keeps every task's gradients under one name, so that its Ω is zero and its result the base.
    let slopes = pool.experts().iter().map(|(task, _)| data.slopes(task, base, Slopes::LabelledMagnitudes, draw, cx));
    let slopes = slopes.collect::<Result<Vec<_>, _>>()?;
    cx.phase("fuse", pool.reference().map_or(0, |reference| reference.tensors().len()), "tensors");
    agreeing(pool, scaling, quantile, Some(&slopes), cx).map(Fused::Weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::fusion::testing::{ELEMENTS, flat, model, pool};
    use crate::weights::StateDict;
    use std::sync::Arc;

    #[test]
    fn what_one_task_needs_and_the_other_changes_is_left_out() {
        let (mut a, mut b) = (vec![0.0; ELEMENTS], vec![0.0; ELEMENTS]);
        for (at, x, y) in [(0, 2.0, 3.0), (5, 1.0, -2.0), (7, 9.0, 0.0), (8, 0.0, -4.0)] {
            (a[at], b[at]) = (x, y);
        }
        let pool = pool(Some(&[0.0; ELEMENTS]), &[a, b]);
        let slopes = |at: usize| {
            let mut values = [0.0; ELEMENTS];
            values[at] = 1.0;
            Arc::new(StateDict::load(&model(&values)))
        };
        let (cancel, mut silent) = (Cancel::default(), |_, _| {});
        let mut cx = Context::new(&cancel, &mut silent);
        // The first task depends on weight 8, which the second changes; the second on 7, which the first changes.
        let fused = flat(&agreeing(&pool, 1.0, 0.9, Some(&[slopes(8), slopes(7)]), &mut cx).unwrap());
        assert_eq!([0, 5, 7, 8].map(|at| fused[at]), [5.0, -1.0, 0.0, 0.0]);
        let own = flat(&agreeing(&pool, 1.0, 0.9, Some(&[slopes(7), slopes(8)]), &mut cx).unwrap());
        assert_eq!([0, 5, 7, 8].map(|at| own[at]), [5.0, -1.0, 9.0, -4.0], "nobody minds one's own changes");
    }
}
