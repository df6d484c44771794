//! TIES merging (Yadav et al. 2023): trim, elect signs, merge what agrees.

use crate::fusion::kernels::ties::{Ties, merge_rule};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, choice, float};

crate::params! {
    /// Coefficient of the merged task vector.
    scaling: f32 = float(0.3, -1.0, 3.0, 0.05).unbounded().symbol("λ");
    /// Share of the largest changes that each expert keeps; 0.2 keeps a fifth, 1 keeps all.
    density: f64 = float(0.2, 0.001, 1.0, 0.05).above(0.0).up_to(1.0).symbol("k");
    /// How the kept changes are combined: their sum (FusionBench), mean (paper) or the largest.
    merge: String = choice("sum", &["sum", "mean", "max"]);
}

pub static METHOD: Method = Method {
    id: "ties",
    name: "TIES",
    family: Family::Merging,
    formula: "θ = θ₀ + λ · merge(elect(trim(τ₁ … τ_T)))",
    summary: "Keeps only each expert's largest changes, lets them vote on the sign of every weight, and combines those \
              that agree with the vote: less interference between tasks than task arithmetic. With the mean, use a \
              larger λ (about 1).",
    reference: "arXiv:2306.01708",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scaling, density, merge } = METHOD.typed(Params::from_set(set))?;
    Ties { scaling, density, merge: merge_rule(&merge), dare: None }.fuse(pool, cx).map(Fused::Weights)
}
