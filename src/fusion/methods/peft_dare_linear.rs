//! DARE as PEFT computes it, with a plain sum.

use crate::fusion::kernels::consensus::{Consensus, Divide, Vote};
use crate::fusion::kernels::delta_merge::DeltaMerge;
use crate::fusion::kernels::sparsify::{Rescale, Rule, Sparsify};
use crate::fusion::options::deltas;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, seed};

crate::params! {
    ..deltas: deltas::Params;
    /// Seed of the random masks.
    seed: u64 = seed(0);
}

pub static METHOD: Method = Method {
    id: "peft_dare_linear",
    name: "DARE linear (PEFT)",
    family: Family::Merging,
    formula: "θ = θ₀ + Σ wᵢ mᵢ∘τᵢ/density",
    summary: "PEFT's `dare_linear`: drops random changes, divides the rest by the share kept as the paper \
              does, and adds with weights.",
    reference: "arXiv:2311.03099",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let (weights, density) = params.deltas.resolve(&METHOD, pool.experts().len())?;
    let sparsify = Sparsify { rule: Rule::Random, density, rescale: Rescale::Share };
    let divide = Divide::Nothing;
    let consensus = Consensus { vote: Vote::Nobody, divide };
    DeltaMerge { weights, sparsify, consensus, lambda: 1.0, seed: params.seed }.fuse(pool, cx).map(Fused::Weights)
}
