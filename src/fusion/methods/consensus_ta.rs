//! Consensus task arithmetic (Wang et al. 2024): the summed task vector without what fewer than k tasks want.

use crate::fusion::kernels::elementwise::elementwise;
use crate::fusion::kernels::tall;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, PerModel, float, int, per_model};

crate::params! {
    /// Coefficient of the summed task vectors.
    scaling: f32 = float(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ");
    /// Weights that fewer tasks than this want stay as the base has them; 2 drops what is selfish, 0 nothing.
    k: usize = int(2, 0, 64, 1).at_least(0.0).symbol("k");
    /// How much larger than the others' a task's change must be for the task to want it.
    threshold: PerModel = per_model(0.4, 0.0, 2.0, 0.05).at_least(0.0);
}

pub static METHOD: Method = Method {
    id: "consensus_ta",
    name: "Consensus task arithmetic",
    family: Family::Merging,
    formula: "θ = θ₀ + λ [Σ mᵢ ≥ k]∘Σ τᵢ, mᵢ = [|τᵢ| > t |Σ τⱼ − τᵢ|]",
    summary: "Task arithmetic without the weights that only one task wants (selfish) or none (catastrophic), told by TALL \
              masks: they disturb the other tasks and help little.",
    reference: "arXiv:2405.07813",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

/// FusionBench's mask is that of the last task alone, whatever k.
fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scaling, k, threshold } = METHOD.typed(Params::from_set(set))?;
    let thresholds = METHOD.typed(threshold.resolve("threshold", pool.experts().len()))?;
    let least = k as f32;
    elementwise(pool, cx, |base, experts, out| {
        let mut counts = vec![0.0; out.len()];
        tall::sum(base, experts, &mut Vec::new(), out);
        for (expert, threshold) in experts.iter().zip(&thresholds) {
            tall::count(expert, base, out, *threshold, &mut counts);
        }
        for ((out, base), count) in out.iter_mut().zip(base).zip(&counts) {
            // What is no number must not disappear.
            let kept = *count >= least || !out.is_finite();
            *out = base + scaling * if kept { *out } else { 0.0 };
        }
    })
    .map(Fused::Weights)
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{ELEMENTS, fused, pool};
    use crate::params::Value::{Float, Int};

    #[test]
    fn what_too_few_tasks_want_is_dropped() {
        let experts: Vec<Vec<f32>> = [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
            .iter()
            .map(|changes| changes.iter().copied().chain(std::iter::repeat(0.0)).take(ELEMENTS).collect())
            .collect();
        let pool = pool(Some(&[0.0; ELEMENTS]), &experts);
        let at = |k: i64| fused("consensus_ta", &[("k", Int(k)), ("scaling", Float(1.0))], &pool)[..3].to_vec();
        // All three want the first weight, one the second.
        for (k, expected) in [(0, [3.0, 1.0, 0.0]), (1, [3.0, 1.0, 0.0]), (2, [3.0, 0.0, 0.0]), (4, [0.0; 3])] {
            assert_eq!(at(k), expected, "{k}");
        }
    }
}
