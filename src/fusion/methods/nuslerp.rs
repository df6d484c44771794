//! NuSLERP (mergekit): SLERP of two experts or of their task vectors, of whole tensors, rows or columns.

use crate::fusion::kernels::moments::{Products, products};
use crate::fusion::kernels::vectors::{Along, fuse_vectors};
use crate::fusion::options::centre::sphere;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Pool};
use crate::params::{ParamSet, PerModel, choice, per_model};

crate::params! {
    /// Weights of the two experts; only their proportion matters.
    weight: PerModel = per_model(1.0, -5.0, 5.0, 0.05).unbounded().symbol("w");
    /// What is turned: whole tensors, or each vector along the last or the first dimension.
    along: String = choice("tensor", &["tensor", "last", "first"]);
    /// Centre of the sphere: the origin, or the base, whose task vectors are then combined.
    centre: String = choice("origin", &["origin", "base"]);
}

pub static METHOD: Method = Method {
    id: "nuslerp",
    name: "NuSLERP",
    family: Family::Merging,
    formula: "θ = sin((1−t)Ω)/sin Ω · θ₁ + sin(tΩ)/sin Ω · θ₂, t = w₂/(w₁ + w₂)",
    summary: "SLERP with weights instead of t, for whole tensors or vector by vector, and around the base if wanted: task \
              vectors are hardly ever parallel, so there the arc differs from the straight line.",
    reference: "doi:10.1145/325334.325242",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 2, max_models: Some(2), data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let weights = METHOD.typed(params.weight.resolve_exact("weight", 2))?;
    let sum: f64 = weights.iter().sum();
    // mergekit's choice for weights that cancel.
    let t = if sum.abs() < 1e-6 { 0.5 } else { weights[1] / sum };
    let (of, origin) = sphere(&params.centre, pool, "NuSLERP around the base")?;
    let along = match params.along.as_str() {
        "last" => Along::Last,
        "first" => Along::First,
        _ => {
            let found: Vec<Vec<f64>> = products(pool, of, cx)?.iter().map(|products| arc(t, products)).collect();
            return Ok(Fused::Linear(LinearPlan::from_tensors(origin, pool, &found)));
        }
    };
    fuse_vectors(pool, of, along, cx, |products| arc(t, products)).map(Fused::Weights)
}

/// Norms below this count as this one, as in mergekit.
const SMALLEST: f64 = 1e-7;
/// Vectors whose sin² of the angle is up to this are interpolated linearly; opposite ones in f32 too.
const COLLINEAR: f64 = 1e-13;

/// The coefficients of both vectors.
fn arc(t: f64, products: &Products) -> Vec<f64> {
    let norm = |square: f64| square.sqrt().max(SMALLEST);
    let cosine = (products.at(0, 1) / (norm(products.at(0, 0)) * norm(products.at(1, 1)))).clamp(-1.0, 1.0);
    if 1.0 - cosine * cosine <= COLLINEAR {
        return vec![1.0 - t, t];
    }
    let angle = cosine.acos();
    vec![((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin()]
}
