//! PEFT's magnitude pruning: the largest changes of each tensor, added with weights.

use crate::fusion::kernels::consensus::{Consensus, Divide, Vote};
use crate::fusion::kernels::delta_merge::DeltaMerge;
use crate::fusion::kernels::sparsify::{Rescale, Rule, Sparsify};
use crate::fusion::options::deltas::Params;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::ParamSet;

pub static METHOD: Method = Method {
    id: "peft_magnitude_prune",
    name: "Magnitude prune (PEFT)",
    family: Family::Merging,
    formula: "θ = θ₀ + Σ wᵢ (mᵢ∘τᵢ), mᵢ the largest entries",
    summary: "PEFT's `magnitude_prune`: keeps the largest changes of each tensor and adds them with weights. \
              TIES without the election.",
    reference: "arXiv:2306.01708",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let (weights, density) = params.resolve(&METHOD, pool.experts().len())?;
    let sparsify = Sparsify { rule: Rule::Largest { least: 0 }, density, rescale: Rescale::No };
    let consensus = Consensus { vote: Vote::Nobody, divide: Divide::Nothing };
    DeltaMerge { weights, sparsify, consensus, lambda: 1.0, seed: 0 }.fuse(pool, cx).map(Fused::Weights)
}
