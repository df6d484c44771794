//! Representation surgery (Yang et al. 2024): a merged model, and a small correction of its features for each task.

use crate::fusion::kernels::inner::merged;
use crate::fusion::kernels::rows::rows;
use crate::fusion::kernels::surgery::Surgery;
use crate::fusion::{Context, Draw, Examples, Family, Fused, FusionError, Method, Needs, PerTask, Pool, Shown};
use crate::params::{ParamSet, Value, choice, float, int, seed, text};
use crate::weights::{Data, StateDict};
use std::sync::Arc;

crate::params! {
    /// The method that merges, and any of its parameters, as in `task_arithmetic scaling=0.3`.
    inner: String = text("adamerging_layer_wise");
    /// Steps of Adam for each task's correction.
    iterations: usize = int(1000, 0, 5000, 100).at_least(0.0).up_to(1e6).costly();
    /// Width between a correction's two layers.
    hidden: usize = int(16, 1, 256, 4).at_least(1.0).costly();
    /// Inputs that are looked at, here and by the inner method: test inputs make the result transductive, and labelled so.
    data: String = choice("validation", &["validation", "test"]).costly();
    /// Learning rate of Adam.
    rate: f64 = float(1e-3, 1e-5, 1.0, 1e-3).above(0.0).logarithmic().symbol("η").costly().advanced();
    /// Images in a step.
    batch: usize = int(16, 1, 512, 8).at_least(1.0).costly().advanced();
    /// Inputs of each task; all where a task has fewer.
    samples: usize = int(4096, 1, 4096, 64).at_least(1.0).costly().advanced();
    /// Seed of the corrections' first numbers and of the order of inputs.
    seed: u64 = seed(0).costly();
}

pub static METHOD: Method = Method {
    id: "surgery",
    name: "Representation surgery",
    family: Family::Correction,
    formula: "ẑ = z − U max(0, Dz) for each task, z the merged model's features, ẑ moved towards the expert's",
    summary: "Merges with another method, then learns for each task how the merged model's features differ from those of \
              the task's expert, and corrects them. No labels; a few hundred numbers a task. It must be known which task an \
              image is of.",
    reference: "arXiv:2402.02705",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

/// Images that a model looks at at once.
const AT_ONCE: usize = 64;

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let data = METHOD.data(cx)?;
    if params.inner.split_whitespace().any(|word| word.starts_with("data=")) {
        let reason =
            "`data` is a parameter of surgery itself, and holds for `inner` too: leave it out there".to_owned();
        return Err(FusionError::Unusable { method: METHOD.name, reason });
    }
    let merged = Arc::new(merged(&METHOD, &params.inner, ("data", Value::Text(params.data.clone())), pool, cx)?);
    let shown = Shown::named(&params.data);
    let draw = Draw { shown, samples: params.samples, batch: AT_ONCE, seed: params.seed };
    let mut seen = 0;
    for (task, _) in pool.experts() {
        seen += 2 * data.count(task, draw)?;
    }
    cx.phase("look at data", seen, "examples");
    let mut features = Vec::with_capacity(pool.experts().len());
    for (task, expert) in pool.experts() {
        let own = Arc::new(StateDict::load(expert));
        features.push((data.features(task, Arc::clone(&merged), draw, cx)?, data.features(task, own, draw, cx)?));
    }
    let Params { iterations, rate, hidden, batch, seed, .. } = params;
    let surgery = Surgery { iterations, rate, hidden, batch, seed };
    cx.phase("correct", iterations * features.len(), "steps");
    let mut adapters = Vec::with_capacity(features.len());
    for ((task, _), (merged, expert)) in pool.experts().iter().zip(&features) {
        adapters.push(surgery.operate(task, merged, expert, cx)?);
    }
    Ok(Fused::PerTask(PerTask::corrected(change(&merged, pool)?, adapters)))
}

/// The merged model's difference from the base, in f32.
fn change(merged: &StateDict, pool: &Pool) -> Result<StateDict, FusionError> {
    let mut change = merged.clone();
    for (row, tensor) in rows(pool)?.iter().zip(change.tensors_mut()) {
        if let (Some(base), Data::Float(values)) = (&row.base, &mut tensor.data) {
            values.iter_mut().zip(base.to_vec()).for_each(|(x, base)| *x -= base);
        }
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{ELEMENTS, assert_close, fuse_all, fused, models, pool};
    use crate::params::Value::{Int, Text};

    #[test]
    fn every_task_has_the_merged_model() {
        let experts = [vec![1.0; ELEMENTS], (0..ELEMENTS).map(|at| at as f32).collect()];
        let pool = pool(Some(&[0.5; ELEMENTS]), &experts);
        let inner = |text: &str| ("inner", Text(text.to_owned()));
        let all = models("surgery", &[inner("task_arithmetic scaling=0.4"), ("iterations", Int(3))], &pool);
        let merged = fused("task_arithmetic", &[("scaling", crate::params::Value::Float(0.4))], &pool);
        assert_eq!(all.len(), 2);
        for model in &all {
            assert_close(model, &merged, 1e-5);
        }
        let refused = |text: &str| fuse_all("surgery", &[inner(text)], &pool).unwrap_err().to_string();
        assert!(refused("adamerging_layer_wise data=test").contains("leave it out"));
        assert!(refused("emr").contains("one model"), "{}", refused("emr"));
        assert!(refused("surgery").contains("itself"));
        assert!(refused("tiess density=0.1").contains("`inner`: unknown method `tiess`, did you mean `ties`?"));
    }
}
