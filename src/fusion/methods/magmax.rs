//! MagMax (Marczak et al. 2024): for each weight, the largest change that any expert made.

use crate::fusion::kernels::elementwise::elementwise;
use crate::fusion::kernels::wide::wide;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// Coefficient of the merged task vector.
    scaling: f32 = float(0.5, -1.0, 2.0, 0.05).unbounded().symbol("λ");
}

pub static METHOD: Method = Method {
    id: "magmax",
    name: "MagMax",
    family: Family::Merging,
    formula: "θ = θ₀ + λ τₖ, k = argmaxᵢ |τᵢ| for each weight",
    summary: "Keeps, for each single weight, the change of the expert that moved it furthest; the later expert where \
              two moved it equally far. Made for experts that were fine-tuned one after another (λ = 0.5); for \
              independent ones a little more helps.",
    reference: "arXiv:2407.06322",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scaling } = METHOD.typed(Params::from_set(set))?;
    elementwise(pool, cx, |base, experts, out| {
        out.fill(0.0);
        for expert in experts {
            larger(expert, base, out);
        }
        out.iter_mut().zip(base).for_each(|(out, base)| *out = base + scaling * *out);
    })
    .map(Fused::Weights)
}

wide! {
    /// Replaces what the expert has moved at least as far.
    fn larger(expert: &[f32], base: &[f32], largest: &mut [f32]) = larger_body
}

#[inline(always)]
fn larger_body(expert: &[f32], base: &[f32], largest: &mut [f32]) {
    // Magnitudes order like their bits, and NaN above all: it is not hidden by another expert's number.
    let magnitude = |x: f32| (x.to_bits() & 0x7fff_ffff).cast_signed();
    for ((largest, value), base) in largest.iter_mut().zip(expert).zip(base) {
        let delta = value - base;
        *largest = if magnitude(delta) >= magnitude(*largest) { delta } else { *largest };
    }
}
