//! Task-wise AdaMerging (Yang et al. 2024): one coefficient an expert, learned without labels.

use crate::fusion::kernels::adaptation::{Sharing, adapt};
use crate::fusion::options::adaptation;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// Learning rate of Adam.
    rate: f64 = float(3e-3, 1e-5, 1.0, 1e-3).above(0.0).logarithmic().symbol("η").costly();
    ..adaptation: adaptation::Params;
}

pub static METHOD: Method = Method {
    id: "adamerging_task_wise",
    name: "AdaMerging, task-wise",
    family: Family::Merging,
    formula: "θ = θ₀ + Σ λᵢτᵢ, λ moved down Σ H(softmax(f_θ(x)))",
    summary: "Learns task arithmetic's coefficient for each expert: those with which the merged model is surest of its \
              answers on inputs of all tasks, in a few hundred small steps. No labels. Watch the coefficients move, stop \
              when you like, and go on by hand from there.",
    reference: "arXiv:2310.02575",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { rate, adaptation } = METHOD.typed(Params::from_set(set))?;
    adapt(&METHOD, &adaptation, rate, Sharing::All, pool, cx).map(Fused::Linear)
}
