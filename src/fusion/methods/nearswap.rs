//! NearSwap (alchemonaut, mergekit): the other model where the two are close.

use crate::fusion::kernels::elementwise::elementwise;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// Distance up to which a weight is taken from the expert.
    t: f32 = float(0.001, 0.000_001, 1.0, 0.001).at_least(0.0).logarithmic();
}

pub static METHOD: Method = Method {
    id: "nearswap",
    name: "NearSwap",
    family: Family::Merging,
    formula: "θ = w θ₁ + (1−w) θ₀, w = min(1, t/|θ₁ − θ₀|)",
    summary: "Takes each weight from the expert where it is within t of the base's, and goes t towards it \
              where it is further away: no weight moves by more than t.",
    reference: "",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: Some(1), data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { t } = METHOD.typed(Params::from_set(set))?;
    elementwise(pool, cx, |base, experts, out| {
        for expert in experts {
            for ((out, &base), &value) in out.iter_mut().zip(base).zip(*expert) {
                let share = (t / (base - value).abs().max(SMALLEST)).min(1.0);
                *out = share * value + (1.0 - share) * base;
            }
        }
    })
    .map(Fused::Weights)
}

/// Distances below this count as this one, as in mergekit.
const SMALLEST: f32 = 1e-6;
