//! Task arithmetic in the trust region (Sun et al. 2025): only where tasks do not pull against one another.

use crate::fusion::kernels::conflict::agreeing;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// Coefficient of the summed task vectors.
    scaling: f32 = float(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ");
    /// Share of all weights that lie in the trust region.
    quantile: f64 = float(0.99, 0.0, 1.0, 0.01).symbol("q");
}

pub static METHOD: Method = Method {
    id: "trust_region",
    name: "Trust region",
    family: Family::Merging,
    formula: "θ = θ₀ + λ m∘Σ τᵢ, m: Ω below its q-quantile, Ω = Σᵢ≠ⱼ |τᵢ|∘|τⱼ|",
    summary: "Task arithmetic that leaves out the weights which several tasks change strongly: moving along one task \
              vector there would hurt the others. Sizes of task vectors stand in for gradients, so no data is needed.",
    reference: "arXiv:2501.15065",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 2, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scaling, quantile } = METHOD.typed(Params::from_set(set))?;
    agreeing(pool, scaling, quantile, None, cx).map(Fused::Weights)
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{ELEMENTS, fused, pool};
    use crate::params::Value::Float;

    #[test]
    fn what_both_change_most_is_left_out() {
        let (mut a, mut b) = (vec![0.0; ELEMENTS], vec![0.0; ELEMENTS]);
        // Three conflicts of sizes 6, 2 and 1, and changes that only one expert makes.
        for (at, x, y) in [(0, 2.0, 3.0), (5, 1.0, -2.0), (23, 1.0, 1.0), (7, 9.0, 0.0), (8, 0.0, -4.0)] {
            (a[at], b[at]) = (x, y);
        }
        let pool = pool(Some(&[0.0; ELEMENTS]), &[a, b]);
        let at =
            |quantile: f64| fused("trust_region", &[("scaling", Float(1.0)), ("quantile", Float(quantile))], &pool);
        let kept = |quantile: f64| [0, 5, 23, 7, 8].map(|i| at(quantile)[i]);
        assert_eq!(kept(1.0), [0.0, -1.0, 2.0, 9.0, -4.0]);
        assert_eq!(kept(0.93), [0.0, 0.0, 2.0, 9.0, -4.0]);
        // Nothing lies below a threshold of zero, but what is no conflict at all is always trusted.
        assert_eq!(kept(0.1), [0.0, 0.0, 0.0, 9.0, -4.0]);
    }
}
