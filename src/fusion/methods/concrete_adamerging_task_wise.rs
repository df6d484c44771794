//! Concrete AdaMerging, task-wise (Tang et al. 2023): a mask shared by all experts, then one coefficient
//! for each expert, learned without labels.

use crate::fusion::kernels::adaptation::Sharing;
use crate::fusion::kernels::mask_learning::adapt_under_mask;
use crate::fusion::options::concrete;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// Learning rate of Adam over the mask's logits.
    mask_rate: f64 = float(0.02, 1e-4, 1.0, 1e-3).above(0.0).logarithmic().costly();
    /// Learning rate of Adam over coefficients.
    rate: f64 = float(3e-3, 1e-5, 1.0, 1e-3).above(0.0).logarithmic().symbol("η").costly();
    ..concrete: concrete::Params;
}

pub static METHOD: Method = Method {
    id: "concrete_adamerging_task_wise",
    name: "Concrete AdaMerging, task-wise",
    family: Family::Merging,
    formula: "θ = θ₀ + m∘Σ λᵢτᵢ, m moved down Σ H(f_θ(x)) with λ one step ahead, then λ",
    summary: "Learns which elements of the task vectors to keep, one mask for all experts, such that a step of AdaMerging \
              helps most; then AdaMerging under it. No labels. Needs six vectors of the model's size more than AdaMerging: \
              logits, Adam's moments and a mask.",
    reference: "arXiv:2312.06173",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { mask_rate, rate, concrete } = METHOD.typed(Params::from_set(set))?;
    adapt_under_mask(&METHOD, &concrete, (mask_rate, rate), Sharing::All, pool, cx)
}
