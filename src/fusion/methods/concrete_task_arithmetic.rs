//! Concrete task arithmetic (Tang et al. 2023): which elements of the task vectors to keep, learned without labels.

use crate::fusion::calibration::learned_key;
use crate::fusion::kernels::adaptation::{Sharing, Table};
use crate::fusion::kernels::mask::Mask;
use crate::fusion::kernels::mask_learning::{Lesson, last_mask};
use crate::fusion::{
    Calibration, Context, Draw, Examples, Family, Fused, FusionError, LinearPlan, Method, Needs, Origin, Pool, Shown,
};
use crate::params::{ParamSet, choice, float, int, seed};
use std::any::Any;
use std::sync::Arc;

crate::params! {
    /// Coefficient of the masked task vectors.
    scaling: f32 = float(0.3, 0.0, 2.0, 0.05).unbounded().symbol("λ");
    /// Steps of Adam; each looks at one batch of every expert's task.
    steps: usize = int(150, 0, 2000, 50).at_least(0.0).up_to(1e6).costly();
    /// Learning rate of Adam over the mask's logits.
    rate: f64 = float(0.02, 1e-4, 1.0, 1e-3).above(0.0).logarithmic().symbol("η").costly();
    /// Coefficient of the masked task vectors while the mask is learned.
    init: f64 = float(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ₀").costly();
    /// Inputs that are adapted to: test inputs make the result transductive, and it is labelled so.
    data: String = choice("validation", &["validation", "test"]).costly();
    /// The mask in the end: what masks are on average, or one more that is drawn, as in the paper's code.
    mask: String = choice("expected", &["expected", "sampled"]).costly();
    /// Temperature of masks while they are learned: the lower, the nearer to keeping all or nothing.
    temperature: f64 = float(0.5, 0.05, 5.0, 0.05).above(0.0).costly().advanced();
    /// Every logit of the mask before the first step.
    logit: f64 = float(0.0, -5.0, 5.0, 0.5).unbounded().costly().advanced();
    /// Inputs of each task in a step.
    batch: usize = int(16, 1, 512, 8).at_least(1.0).costly().advanced();
    /// Inputs of each task that are drawn from; all where a task has fewer.
    samples: usize = int(4096, 1, 4096, 64).at_least(1.0).costly().advanced();
    /// Seed of masks and of the order of inputs.
    seed: u64 = seed(0).costly();
}

pub static METHOD: Method = Method {
    id: "concrete_task_arithmetic",
    name: "Concrete task arithmetic",
    family: Family::Merging,
    formula: "θ = θ₀ + λ Σ m∘τᵢ, m moved down Σ H(softmax(f_θ(x)))",
    summary: "Learns which elements of the task vectors to keep, one mask for all experts: that with which the merged model \
              is surest of its answers on inputs of all tasks. No labels. λ goes on being cheap to move. Needs six vectors of \
              the model's size more than AdaMerging: logits, Adam's moments and a mask.",
    reference: "arXiv:2312.06173",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let data = METHOD.data(cx)?;
    let known = data.recall(&key(&params, pool)).and_then(|known| known.downcast::<Mask>().ok());
    let mask = if let Some(mask) = known {
        mask
    } else {
        let (mask, steps) = learn(&params, data, pool, cx)?;
        let (mask, learned) = (Arc::new(mask), Params { steps, ..params.clone() });
        data.keep(key(&learned, pool), Arc::clone(&mask) as Arc<dyn Any + Send + Sync>);
        mask
    };
    let plan = LinearPlan::uniform(Origin::Base, pool, &vec![params.scaling; pool.experts().len()]);
    mask.weights(&plan, pool, cx).map(Fused::Weights)
}

/// What the mask depends on: everything but λ.
fn key(params: &Params, pool: &Pool) -> [u8; 32] {
    let params = Params { scaling: 0.0, ..params.clone() };
    learned_key("concrete mask", params.seed, &params, pool)
}

/// The mask, and the steps that it took.
fn learn(
    params: &Params,
    data: &dyn Calibration,
    pool: &Pool,
    cx: &mut Context<'_>,
) -> Result<(Mask, usize), FusionError> {
    let shown = Shown::named(&params.data);
    let draw = Draw { shown, samples: params.samples, batch: params.batch, seed: params.seed };
    let mut table = Table::new((params.init, false), Sharing::Block, pool, cx)?;
    cx.phase("adapt", params.steps, "steps");
    let lesson = Lesson {
        steps: params.steps,
        rate: params.rate,
        temperature: params.temperature,
        logit: params.logit,
        seed: params.seed,
        inner: None,
        param: "steps",
        rest: 0,
    };
    let logits = lesson.learn(&mut table, &METHOD, (data, draw), cx)?;
    Ok((last_mask(&logits, &params.mask, cx)?, logits.steps()))
}
