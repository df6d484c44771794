//! What every method that looks at data makes of data and models that give nothing to go by.

use super::Made;
use crate::cancel::Cancel;
use crate::engine::calibration::{Source, Statistics};
use crate::fusion::{Context, Examples, Fused, FusionError, METHODS, Method, News, Pool, Router};
use crate::params::{ParamSet, Value};
use crate::weights::{Checkpoint, StateDict};
use crate::zoo::Head;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn methods() -> impl Iterator<Item = &'static Method> {
    METHODS.iter().copied().filter(|method| method.needs.data != Examples::None)
}

/// Short: a few steps on a few examples.
fn params(method: &Method) -> ParamSet {
    let wanted = [("steps", Value::Int(3)), ("batch", Value::Int(4)), ("samples", Value::Int(8))];
    let given = wanted.into_iter().filter(|(name, _)| method.specs.iter().any(|spec| spec.name == *name));
    ParamSet::checked(method.specs, given).unwrap()
}

/// Experts of tasks `a` and `c` with weights from these seeds; the base is that of seed 3.
fn pool(made: &Made, experts: &[(&str, u64)]) -> Pool {
    let experts = experts.iter().map(|(task, seed)| ((*task).to_owned(), made.tower(*seed))).collect();
    Pool::new(Some(made.tower(3)), experts).unwrap()
}

/// The result, and the warnings on the way to it.
fn run(method: &Method, made: &Arc<Made>, pool: &Pool) -> (Result<Fused, FusionError>, Vec<String>) {
    let statistics = Statistics::direct(Arc::clone(made) as Arc<dyn Source>).unwrap();
    let (cancel, mut silent, mut warnings) = (Cancel::default(), |_, _| {}, Vec::new());
    let mut listener = |news| {
        if let News::Warning(text) = news {
            warnings.push(text);
        }
    };
    let mut cx = Context::new(&cancel, &mut silent).with_data(&statistics).with_listener(&mut listener);
    let fused = method.run(&params(method), pool, &mut cx);
    (fused, warnings)
}

/// All weights that a result has, or has put apart for some task.
fn weights(fused: &Fused, pool: &Pool) -> Vec<StateDict> {
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent);
    match fused {
        Fused::Linear(plan) => vec![plan.materialise(pool, &mut cx).unwrap()],
        Fused::Weights(weights) => vec![weights.clone()],
        Fused::Mixture(mixture) => vec![mixture.body.backbone.clone()],
        Fused::PerTask(models) => {
            (0..pool.experts().len()).map(|expert| models.model(expert, pool, &mut cx).unwrap()).collect()
        }
        Fused::Ensemble(_) => Vec::new(),
    }
}

fn assert_finite(id: &str, fused: &Fused, pool: &Pool) {
    for weights in weights(fused, pool) {
        for tensor in weights.tensors() {
            assert!(tensor.values().unwrap_or_default().iter().all(|x| x.is_finite()), "{id}: {}", tensor.name);
        }
    }
    if let Fused::Mixture(mixture) = fused {
        for router in &mixture.routers {
            if let Router::Perceptron(network) = router {
                assert!(network.numbers().iter().all(|x| x.is_finite()), "{id}: a router");
            }
        }
    }
}

fn assert_close(id: &str, a: &StateDict, b: &Checkpoint) {
    for tensor in a.tensors() {
        let other = b.get(&tensor.name).unwrap().to_vec();
        for (a, b) in tensor.values().unwrap().iter().zip(other) {
            assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{id}: {} {a} {b}", tensor.name);
        }
    }
}

#[test]
fn experts_that_changed_nothing_give_the_base() {
    let made = Arc::new(Made::new());
    let pool = pool(&made, &[("a", 3), ("c", 3)]);
    for method in methods() {
        let fused = run(method, &made, &pool).0.unwrap_or_else(|error| panic!("{}: {error}", method.id));
        assert_finite(method.id, &fused, &pool);
        for weights in weights(&fused, &pool) {
            assert_close(method.id, &weights, &made.tower(3));
        }
    }
}

#[test]
fn one_expert_is_enough_or_too_few_with_a_reason() {
    let made = Arc::new(Made::new());
    let pool = pool(&made, &[("a", 4)]);
    for method in methods() {
        match run(method, &made, &pool).0 {
            Ok(fused) => assert_finite(method.id, &fused, &pool),
            Err(error) => assert!(method.needs.min_models > 1, "{}: {error}", method.id),
        }
    }
}

#[test]
fn a_task_of_one_class_teaches_nothing_and_breaks_nothing() {
    let head = Head::new(6, (0..6).map(|at| (at as f32 * 1.7).sin()).collect(), 8.0);
    let made = Arc::new(Made { head, ..Made::new() });
    let pool = pool(&made, &[("a", 4), ("c", 5)]);
    for method in methods() {
        let fused = run(method, &made, &pool).0.unwrap_or_else(|error| panic!("{}: {error}", method.id));
        assert_finite(method.id, &fused, &pool);
    }
}

#[test]
fn a_task_without_examples_is_named() {
    let made = Arc::new(Made::new());
    let pool = pool(&made, &[("a", 4), ("empty", 5)]);
    for method in methods() {
        let error = run(method, &made, &pool).0.err().unwrap_or_else(|| panic!("{} made something", method.id));
        assert_eq!(error.to_string(), "empty: there are no validation examples to look at", "{}", method.id);
    }
}

#[test]
fn pixels_that_are_no_numbers_never_become_weights() {
    for method in methods() {
        let made = Arc::new(Made { good: 0, ..Made::new() });
        let pool = pool(&made, &[("a", 4), ("c", 5)]);
        let (fused, _) = run(method, &made, &pool);
        assert!(fused.is_err(), "{} made something of nothing", method.id);
    }
}

/// All that is looked at is good but the last batch.
#[test]
fn what_diverges_keeps_its_last_good_state_and_says_so() {
    for method in methods().filter(|method| method.specs.iter().any(|spec| spec.name == "steps")) {
        let whole = Arc::new(Made::new());
        let experts = [("a", 4), ("c", 5)];
        let first = run(method, &whole, &pool(&whole, &experts));
        assert!(first.0.is_ok(), "{}: {:?}", method.id, first.0.err());
        let seen = whole.seen.load(Ordering::Relaxed);
        let made = Arc::new(Made { good: seen - 4, ..Made::new() });
        let pool = pool(&made, &experts);
        match run(method, &made, &pool) {
            (Ok(fused), warnings) => {
                assert_finite(method.id, &fused, &pool);
                assert!(!warnings.is_empty(), "{} said nothing", method.id);
            }
            (Err(error), _) => println!("{}: {error}", method.id),
        }
    }
}

#[test]
fn a_method_can_be_cancelled_whatever_it_is_about_to_look_at() {
    for method in methods() {
        for after in [0, 5, 9, 14, 23] {
            let made = Arc::new(Made::new());
            let pool = pool(&made, &[("a", 4), ("c", 5)]);
            let statistics = Statistics::direct(Arc::clone(&made) as Arc<dyn Source>).unwrap();
            let cancel = Cancel::default();
            let (seen, stop) = (Arc::clone(&made), cancel.clone());
            let mut listener = |_| {
                if seen.seen.load(Ordering::Relaxed) >= after {
                    stop.cancel();
                }
            };
            let mut silent = |_, _| {};
            let mut cx = Context::new(&cancel, &mut silent).with_data(&statistics).with_listener(&mut listener);
            let fused = method.run(&params(method), &pool, &mut cx);
            assert!(
                matches!(fused, Err(FusionError::Cancelled(_))) || !cancel.is_cancelled(),
                "{} went on after {after} examples",
                method.id
            );
        }
    }
}
