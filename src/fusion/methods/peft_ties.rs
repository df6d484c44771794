//! TIES as PEFT computes it: signs elected before weighting, a mean by count.

use crate::fusion::kernels::consensus::{Consensus, Divide, Vote};
use crate::fusion::kernels::delta_merge::DeltaMerge;
use crate::fusion::kernels::sparsify::{Rescale, Rule, Sparsify};
use crate::fusion::options::deltas;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, choice};

crate::params! {
    ..deltas: deltas::Params;
    /// Elect signs by the sum of the changes, or by how many experts go that way.
    majority_sign: String = choice("total", &["total", "frequency"]);
}

pub static METHOD: Method = Method {
    id: "peft_ties",
    name: "TIES (PEFT)",
    family: Family::Merging,
    formula: "θ = θ₀ + Σ wᵢτᵢ/(number that agree)",
    summary: "PEFT's `ties`: keeps the largest changes of each tensor, elects signs without regard to the \
              weights, and divides the weighted sum of what agrees by its number. A weight of 1 for every \
              expert is usual.",
    reference: "arXiv:2306.01708",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let (weights, density) = params.deltas.resolve(&METHOD, pool.experts().len())?;
    let vote = if params.majority_sign == "frequency" { Vote::Frequency } else { Vote::Plain };
    let sparsify = Sparsify { rule: Rule::Largest { least: 0 }, density, rescale: Rescale::No };
    let divide = Divide::Count;
    let consensus = Consensus { vote, divide };
    DeltaMerge { weights, sparsify, consensus, lambda: 1.0, seed: 0 }.fuse(pool, cx).map(Fused::Weights)
}
