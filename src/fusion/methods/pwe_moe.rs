//! Pareto merging with weight-ensembling mixtures (Tang et al. 2024): coefficients as a function of what one prefers.

use crate::fusion::calibration::learned_key;
use crate::fusion::kernels::experts::{ATTENTION, FEED_FORWARD, within};
use crate::fusion::kernels::preference::{Networks, Training};
use crate::fusion::kernels::space::Space;
use crate::fusion::{Context, Draw, Examples, Family, Fused, FusionError, Method, Needs, News, Pool, Shown};
use crate::params::{ParamSet, PerModel, Value, choice, float, int, per_model, seed};
use std::any::Any;
use std::sync::Arc;

crate::params! {
    /// How much each task matters; only the proportions count. Costs no training: move along the front.
    preference: PerModel = per_model(1.0, 0.0, 1.0, 0.05).at_least(0.0).symbol("p");
    /// Steps of Adam; each looks at one labelled batch of every expert's task, with another preference.
    steps: usize = int(200, 0, 8000, 50).at_least(0.0).up_to(1e6).costly();
    /// Learning rate of Adam; falls to a tenth along a cosine.
    rate: f64 = float(1e-2, 1e-5, 1.0, 1e-3).above(0.0).logarithmic().symbol("η").costly();
    /// Steps over which the rate falls, where that are others than all of them: a run that was stopped early has them here.
    fall: usize = int(0, 0, 8000, 50).at_least(0.0).up_to(1e6).costly().advanced();
    /// Every coefficient before the first step, and for good where preferences do not reach.
    init: f64 = float(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ").costly();
    /// What preferences reach: the feed-forward networks, the attention, or both.
    parts: String = choice("both", &["both", "mlp", "attention"]).costly();
    /// Layers of the networks from preferences to coefficients.
    router_layers: usize = int(2, 1, 2, 1).costly();
    /// Labelled validation examples of each task in a step.
    batch: usize = int(16, 1, 512, 8).at_least(1.0).costly().advanced();
    /// Labelled validation examples of each task that are drawn from; all where a task has fewer.
    samples: usize = int(4096, 1, 4096, 64).at_least(1.0).costly().advanced();
    /// Seed of first numbers, preferences and the order of examples.
    seed: u64 = seed(0).costly();
}

pub static METHOD: Method = Method {
    id: "pwe_moe",
    name: "PWE-MoE",
    family: Family::Merging,
    formula: "W = W₀ + Σ rᵢ(p) τᵢ in attention and feed-forward parts, r moved down Σ pᵢ Lᵢ for all p",
    summary: "Learns once, from labelled validation examples, which coefficients are best for every preference among the \
              tasks. Then a preference is a slider each: move along the Pareto front, live.",
    reference: "arXiv:2406.09770",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Labelled },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let mut preference = METHOD.typed(params.preference.resolve("preference", pool.experts().len()))?;
    METHOD.normalize(&mut preference)?;
    let preference: Vec<f64> = preference.into_iter().map(f64::from).collect();
    let data = METHOD.data(cx)?;
    let space = Space::new(pool, false, cx)?;
    let known = data.recall(&key(&params, pool)).and_then(|known| known.downcast::<Networks>().ok());
    let networks = match known {
        Some(networks) => {
            // Nothing is trained for another preference, but the table is another.
            let table = networks.table(&preference);
            cx.tell(News::Adapted(space.news(&table, &[], (params.steps, params.steps), false)));
            networks
        }
        None => {
            let Params { steps, rate, init, router_layers, samples, batch, seed, .. } = params;
            let fall = falls_over(&params);
            let groups = pool.groups();
            let known = space.rows.iter().any(|row| part(&row.info.name, &params.parts).is_some());
            // Models whose parts have other names: each block as a whole.
            let block = |name: &str| groups.names().get(groups.index(name)).map(String::as_str);
            let place = |name| if known { part(name, &params.parts) } else { block(name) };
            let mut networks = Networks::new(&space, router_layers, init, seed, place);
            let draw = Draw { shown: Shown::Validation, samples, batch, seed };
            let training = Training { steps, rate, fall, draw };
            let done = networks.train(&METHOD, &training, &preference, &space, data, cx)?;
            let networks = Arc::new(networks);
            if done < steps {
                cx.tell(News::Settled { param: "fall", value: Value::Int(fall as i64) });
            }
            let learned = Params { steps: done, fall, ..params.clone() };
            data.keep(key(&learned, pool), Arc::clone(&networks) as Arc<dyn Any + Send + Sync>);
            networks
        }
    };
    Ok(Fused::Linear(space.plan(&networks.table(&preference))))
}

fn falls_over(params: &Params) -> usize {
    if params.fall == 0 { params.steps } else { params.fall }
}

/// What the networks depend on: everything but the preference.
fn key(params: &Params, pool: &Pool) -> [u8; 32] {
    let Params { preference: _, steps, rate, fall: _, init, parts, router_layers, batch, samples, seed } = params;
    let params = (steps, rate, falls_over(params), init, parts, router_layers, batch, samples);
    learned_key("preference networks", *seed, &params, pool)
}

/// A block's attention or its feed-forward network, if the tensor is of one that is asked for.
fn part<'a>(name: &'a str, parts: &str) -> Option<&'a str> {
    let mlp = if parts == "attention" { None } else { within(name, FEED_FORWARD) };
    mlp.or_else(|| if parts == "mlp" { None } else { within(name, ATTENTION) })
}
