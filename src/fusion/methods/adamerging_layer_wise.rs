//! Layer-wise AdaMerging (Yang et al. 2024): one coefficient for each expert and tensor, learned without labels.

use crate::fusion::kernels::adaptation::{Sharing, adapt};
use crate::fusion::options::adaptation;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, choice, float};

crate::params! {
    /// What has a coefficient of its own: every tensor, as in the paper, or every block, as sliders have.
    per: String = choice("tensor", &["tensor", "block"]).costly();
    /// Learning rate of Adam.
    rate: f64 = float(1e-2, 1e-5, 1.0, 1e-3).above(0.0).logarithmic().symbol("η").costly();
    ..adaptation: adaptation::Params;
}

pub static METHOD: Method = Method {
    id: "adamerging_layer_wise",
    name: "AdaMerging, layer-wise",
    family: Family::Merging,
    formula: "θˡ = θ₀ˡ + Σ λᵢˡτᵢˡ, λ moved down Σ H(softmax(f_θ(x)))",
    summary: "Learns a coefficient for each expert and tensor: those with which the merged model is surest of its answers \
              on inputs of all tasks, in a few hundred small steps. No labels. Watch the table form, stop when you like, \
              and go on by hand from there.",
    reference: "arXiv:2310.02575",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { per, rate, adaptation } = METHOD.typed(Params::from_set(set))?;
    let sharing = if per == "block" { Sharing::Block } else { Sharing::Tensor };
    adapt(&METHOD, &adaptation, rate, sharing, pool, cx).map(Fused::Linear)
}
