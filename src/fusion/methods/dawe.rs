//! Data-adaptive weight ensembling (DAWE, of FusionBench): the whole model is put together anew for every image.

use crate::fusion::kernels::experts::{Experts, Reach, dense};
use crate::fusion::kernels::routing::{Widths, first_routers, train};
use crate::fusion::options::routing;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Matrix, Method, Needs, Pool, Sees, Unit};
use crate::params::{ParamSet, choice, int};

crate::params! {
    /// What has coefficients of its own: the model as a whole, or every linear layer.
    per: String = choice("model", &["model", "layer"]).costly();
    /// Width of the hidden layer of what looks at an image.
    hidden: usize = int(32, 1, 512, 8).at_least(1.0).costly().advanced();
    ..routing: routing::Params;
}

pub static METHOD: Method = Method {
    id: "dawe",
    name: "DAWE",
    family: Family::Mixing,
    formula: "θ(x) = θ₀ + Σ λᵢ(φ(x)) τᵢ in linear layers, φ(x): the base's features of the image",
    summary: "Looks at the features that the base, norms and embeddings merged, has of an image, and says which coefficients the \
              model that answers for it is merged with. Trained without labels, on inputs of all tasks.",
    reference: "github.com/tanganke/fusion_bench",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

/// FusionBench, whose own attempt is unfinished, looks at images with a ResNet-18 from elsewhere; here nothing but the
/// models that are merged is needed. What is no linear layer is task arithmetic.
fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { per, hidden, routing } = METHOD.typed(Params::from_set(set))?;
    let experts = Experts {
        method: METHOD.name,
        lambda: routing.init,
        reach: Reach::Linear,
        unit: Unit::Expert,
        biases: true,
        shared: per == "model",
        keep: &|_, delta| Ok(Matrix::Dense(dense(delta))),
        keep_bias: &dense,
    };
    let body = experts.upscale(pool, cx)?;
    let answer = body.experts.len();
    // Features are as wide as what the tower ends in.
    let Some(input) = body.places.last().map(|place| place.layers[0].outputs) else {
        return Ok(Fused::Weights(body.backbone.clone()));
    };
    let mut routers = first_routers(&body, 2, &routing, |_| Widths { input, hidden, answer });
    for router in &mut routers {
        router.sees = Sees::Features;
    }
    train(&METHOD, &body, &routers, &routing, pool, cx).map(Fused::Mixture)
}
