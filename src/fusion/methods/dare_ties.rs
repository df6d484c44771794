//! DARE with TIES: random dropping first, then trimming, sign election and disjoint merging.

use crate::fusion::kernels::ties::{Ties, merge_rule};
use crate::fusion::options::drop;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, choice, float};

crate::params! {
    /// Coefficient of the merged task vector.
    scaling: f32 = float(0.5, -1.0, 3.0, 0.05).unbounded().symbol("λ");
    /// Share of the largest changes that each expert keeps; 0.2 keeps a fifth, 1 keeps all.
    density: f64 = float(0.2, 0.001, 1.0, 0.05).above(0.0).up_to(1.0).symbol("k");
    /// How the kept changes are combined: their sum (FusionBench), mean (paper) or the largest.
    merge: String = choice("sum", &["sum", "mean", "max"]);
    ..drop: drop::Params;
}

pub static METHOD: Method = Method {
    id: "dare_ties",
    name: "DARE-TIES",
    family: Family::Merging,
    formula: "θ = θ₀ + λ TIES(m₁∘τ₁/(1−p), m₂∘τ₂/(1−p), …)",
    summary: "Drops a random share p of every task vector, then merges what is left as TIES does: trim, elect signs, \
              combine what agrees. Popular for large language models.",
    reference: "arXiv:2311.03099",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let merge = merge_rule(&params.merge);
    let ties = Ties { scaling: params.scaling, density: params.density, merge, dare: Some(params.drop.dare()) };
    ties.fuse(pool, cx).map(Fused::Weights)
}
