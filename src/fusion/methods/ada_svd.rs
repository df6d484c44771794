//! AdaSVD: SMILE's routers, asked once about everybody's inputs; what they say on the mean becomes coefficients.

use crate::fusion::kernels::chunks::check_finite;
use crate::fusion::kernels::rows::rows;
use crate::fusion::kernels::smile::Upscaling;
use crate::fusion::{
    Calibration, Context, Draw, Examples, Family, Fused, FusionError, LinearPlan, Method, Mixture, Needs, Origin, Pool,
    Shown,
};
use crate::params::{ParamSet, flag, float, int, seed};

crate::params! {
    /// Factor of all coefficients.
    scaling: f64 = float(1.0, 0.0, 4.0, 0.1).unbounded().symbol("s").costly();
    /// How many of an expert's input directions the routers look at.
    router_rank: i64 = int(16, 1, 256, 1).at_least(1.0).costly();
    /// Validation inputs of each task.
    samples: usize = int(256, 1, 4096, 32).at_least(1.0).costly();
    /// Whether everything but the linear layers is the experts' mean instead of the base's.
    average_experts: bool = flag(false).costly().advanced();
    /// Inputs at once.
    batch: usize = int(64, 1, 512, 8).at_least(1.0).costly().advanced();
    /// Seed of the choice of inputs.
    seed: u64 = seed(0).costly();
}

pub static METHOD: Method = Method {
    id: "ada_svd",
    name: "AdaSVD",
    family: Family::Merging,
    formula: "W = W₀ + s Σ ĝᵢτᵢ, ĝ: the mean of softmax ‖Vᵢᵀx‖ over tokens of all tasks",
    summary: "Asks SMILE's routers, which need no training, how much every linear layer's inputs lie along the directions of \
              each expert's change, and merges with the mean of what they say. No labels.",
    reference: "github.com/tanganke/fusion_bench",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let data = METHOD.data(cx)?;
    let upscaling = Upscaling {
        method: METHOD.name,
        rank: None,
        router_rank: usize::try_from(params.router_rank).unwrap_or(1),
        top: usize::MAX,
        along_change: true,
        average_experts: params.average_experts,
    };
    for row in rows(pool)?.iter().filter(|row| row.info.dtype.is_float()) {
        // What becomes the base's is not read again, and a damaged expert must be found all the same.
        for expert in &row.experts {
            check_finite(&expert.to_vec(), row.info.dtype, &row.info.name)?;
        }
    }
    let mixture = upscaling.upscale(pool, cx)?;
    let Params { samples, batch, seed, .. } = params;
    let draw = Draw { shown: Shown::Validation, samples, batch, seed };
    let asked = ask(&mixture, data, draw, pool, cx)?;
    let rest = if params.average_experts { 1.0 / pool.experts().len().max(1) as f64 } else { 0.0 };
    let names = pool.reference().map(|model| model.tensors()).unwrap_or_default().iter().map(|info| info.name.as_str());
    let place = |tensor: &str| {
        let stem = tensor.rsplit_once('.').map_or(tensor, |(stem, _)| stem);
        mixture.body.places.iter().position(|place| place.name == stem)
    };
    let places: Vec<Option<usize>> = names.map(place).collect();
    let row = |expert: usize| {
        let coefficient = |at: &Option<usize>| at.map_or(rest, |at| params.scaling * asked[at][expert]) as f32;
        places.iter().map(coefficient).collect()
    };
    cx.phase("fuse", places.len(), "tensors");
    let table = (0..pool.experts().len()).map(row).collect();
    Ok(Fused::Linear(LinearPlan::per_tensor(Origin::Base, pool, table)))
}

/// What each expert weighs in every place on the mean over all inputs, `[place][expert]`. The mixture that is asked is
/// whole: what a layer is given has gone through the experts of those before it.
fn ask(
    mixture: &Mixture,
    data: &dyn Calibration,
    draw: Draw,
    pool: &Pool,
    cx: &mut Context<'_>,
) -> Result<Vec<Vec<f64>>, FusionError> {
    let experts = pool.experts().len();
    let mut counts = Vec::with_capacity(experts);
    for (task, _) in pool.experts() {
        counts.push(data.count(task, draw)?);
    }
    let total: usize = counts.iter().sum();
    cx.phase("look at data", total, "examples");
    let mut asked = vec![vec![0.0; experts]; mixture.body.places.len()];
    for ((task, _), count) in pool.experts().iter().zip(counts) {
        let found = data.routing(task, mixture, draw, cx)?;
        if found.iter().any(|weight| !weight.is_finite()) {
            let reason = "whom its inputs are sent to is not finite; are they, and the experts?".to_owned();
            return Err(FusionError::Data { task: task.clone(), reason });
        }
        let share = count as f64 / total.max(1) as f64;
        for (sum, weights) in asked.iter_mut().zip(found.chunks(experts.max(1))) {
            sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += share * weight);
        }
    }
    Ok(asked)
}
