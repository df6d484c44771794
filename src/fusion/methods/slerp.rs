//! Spherical linear interpolation of two experts, tensor by tensor (Shoemake 1985).

use crate::fusion::kernels::moments::{Of, products};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// Where between the first expert (0) and the second (1).
    t: f64 = float(0.5, 0.0, 1.0, 0.05).unbounded();
    /// Tensors whose |cosine| is above this are interpolated linearly.
    dot_threshold: f64 = float(0.9995, 0.0, 1.0, 0.0005).advanced();
    /// Norms up to this count as zero: such a tensor is not normalised.
    epsilon: f64 = float(1e-8, 1e-12, 1e-2, 1e-8).above(0.0).logarithmic().advanced();
}

pub static METHOD: Method = Method {
    id: "slerp",
    name: "SLERP",
    family: Family::Merging,
    formula: "θ = sin((1−t)Ω)/sin Ω · θ₁ + sin(tΩ)/sin Ω · θ₂, Ω = ∠(θ₁, θ₂)",
    summary: "The arc from one expert to another instead of the straight line, for each tensor. Fine-tunes of one base \
              are nearly parallel (cosine above 0.9995), so there it behaves like linear interpolation; it differs for \
              models that have moved far apart.",
    reference: "doi:10.1145/325334.325242",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 2, max_models: Some(2), data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let products = products(pool, Of::Weights, cx)?;
    let (first, second) =
        products.iter().map(|product| arc(&params, product.at(0, 0), product.at(1, 1), product.at(0, 1))).unzip();
    Ok(Fused::Linear(LinearPlan::per_tensor(Origin::Zero, pool, vec![first, second])))
}

/// The coefficients of both tensors, from ⟨a,a⟩, ⟨b,b⟩ and ⟨a,b⟩.
fn arc(params: &Params, aa: f64, bb: f64, ab: f64) -> (f32, f32) {
    let t = params.t;
    let norm = |square: f64| if square.sqrt() > params.epsilon { square.sqrt() } else { 1.0 };
    let cosine = (ab / (norm(aa) * norm(bb))).clamp(-1.0, 1.0);
    let omega = cosine.acos();
    if cosine.abs() > params.dot_threshold || omega.sin() == 0.0 {
        return ((1.0 - t) as f32, t as f32);
    }
    let share = |t: f64| ((t * omega).sin() / omega.sin()) as f32;
    (share(1.0 - t), share(t))
}
