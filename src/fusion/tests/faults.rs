//! Pools and parameters that do not fit, numbers that are none, and being cancelled.

use crate::cancel::Cancel;
use crate::fusion::testing::{
    ELEMENTS, Pretended, all_of, checkpoint, counter, fitting, fuse, fuse_all, fused, model, params, pool, tensor,
};
use crate::fusion::{Context, Family, Fused, FusionError, METHODS, Method, Pool};
use crate::params::Value::{Float, List};
use crate::weights::DType;

/// Methods whose result is weights, of one model or of one an expert.
fn with_weights() -> impl Iterator<Item = &'static Method> {
    METHODS.iter().copied().filter(|method| matches!(method.family, Family::Merging | Family::Compression))
}

/// Two experts that differ everywhere.
fn two() -> Vec<Vec<f32>> {
    vec![(0..ELEMENTS).map(|x| x as f32).collect(), (0..ELEMENTS).map(|x| (x * x % 7) as f32 - 2.0).collect()]
}

#[test]
fn nan_in_an_expert_is_found_by_every_method() {
    for method in with_weights() {
        let id = method.id;
        for at in [0, ELEMENTS - 1] {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut experts = two();
                experts[0][at] = bad;
                let given = if id.starts_with("dare") { vec![("drop", Float(0.0))] } else { vec![] };
                let error = fuse_all(id, &given, &pool(Some(&[0.0; ELEMENTS]), fitting(method, &experts))).unwrap_err();
                assert!(matches!(&error, FusionError::NotFinite { tensor } if !tensor.is_empty()), "{id}: {error}");
            }
        }
    }
}

#[test]
fn what_overflows_the_output_dtype_is_found() {
    let half = |value| checkpoint(vec![tensor("w", &[1], DType::F16, vec![value])]);
    let pool = Pool::new(Some(half(0.0)), vec![("a".into(), half(40_000.0)), ("b".into(), half(40_000.0))]).unwrap();
    let error = fuse("task_arithmetic", &[("scaling", Float(1.0))], &pool).unwrap_err();
    assert_eq!(error.to_string(), "the fused tensor `w` is not finite");
    assert_eq!(fused("simple_average", &[], &pool), [40_000.0]);
}

#[test]
fn every_method_stops_when_cancelled() {
    let cancel = Cancel::default();
    cancel.cancel();
    for method in METHODS {
        let pool = pool(Some(&[0.0; ELEMENTS]), fitting(method, &two()));
        let mut silent = |_, _| {};
        let mut cx = Context::new(&cancel, &mut silent).with_data(&Pretended);
        let result = match method.run(&params(method, &[]), &pool, &mut cx) {
            Ok(Fused::Linear(plan)) => plan.materialise(&pool, &mut cx).map(drop),
            Ok(Fused::Ensemble(_)) => continue,
            other => other.map(drop),
        };
        assert!(matches!(result, Err(FusionError::Cancelled(_))), "{}", method.id);
    }
}

#[test]
fn progress_ends_at_the_end() {
    for method in with_weights() {
        let pool = pool(Some(&[0.0; ELEMENTS]), fitting(method, &two()));
        let (cancel, mut last) = (Cancel::default(), None);
        let mut progress = |done, total| last = Some((done, total));
        let mut cx = Context::new(&cancel, &mut progress).with_data(&Pretended);
        let fused = method.run(&params(method, &[]), &pool, &mut cx).unwrap();
        all_of(&fused, &pool, &mut cx).unwrap();
        assert_eq!(last, Some((5, 5)), "{}", method.id);
    }
}

#[test]
fn integer_buffers_are_the_bases_in_every_method() {
    let with_counter = |count, value| {
        checkpoint(vec![
            counter("bn.num_batches_tracked", count),
            tensor("bn.weight", &[2], DType::F32, vec![value; 2]),
        ])
    };
    let experts = [("a".into(), with_counter(100, 1.0)), ("b".into(), with_counter(200, 3.0))];
    for method in with_weights() {
        let pool = Pool::new(Some(with_counter(7, 0.0)), fitting(method, &experts).to_vec()).unwrap();
        for out in fuse_all(method.id, &[], &pool).unwrap() {
            assert_eq!(out.get("bn.num_batches_tracked"), Some(&counter("bn.num_batches_tracked", 7)), "{}", method.id);
            assert!(out.get("bn.weight").unwrap().values().is_some(), "{}", method.id);
        }
    }
}

#[test]
fn the_result_has_the_dtypes_of_the_base() {
    let one = |dtype| checkpoint(vec![tensor("w", &[1], dtype, vec![0.5])]);
    let pool = Pool::new(Some(one(DType::Bf16)), vec![("a".into(), one(DType::F32)), ("b".into(), one(DType::F64))]);
    let out = fuse("task_arithmetic", &[], &pool.unwrap()).unwrap();
    assert_eq!((out.tensors()[0].dtype, out.tensors()[0].values()), (DType::Bf16, Some(&[0.5][..])));
}

#[test]
fn models_that_do_not_fit_together_are_refused_by_name() {
    let base =
        || checkpoint(vec![tensor("a", &[2], DType::F32, vec![0.0; 2]), tensor("b", &[1], DType::F32, vec![0.0])]);
    let error = |expert| Pool::new(Some(base()), vec![("emoji".into(), expert)]).unwrap_err();
    let a = || tensor("a", &[2], DType::F32, vec![0.0; 2]);
    let b = || tensor("b", &[1], DType::F32, vec![0.0]);
    let missing = error(checkpoint(vec![a()]));
    assert_eq!(missing.to_string(), "emoji: tensor `b` is missing; the base has it");
    let extra = error(checkpoint(vec![a(), b(), tensor("c", &[], DType::F32, vec![0.0])]));
    assert_eq!(extra.to_string(), "emoji: tensor `c` is not in the base");
    let shape = error(checkpoint(vec![tensor("a", &[1, 2], DType::F32, vec![0.0; 2]), b()]));
    assert_eq!(shape.to_string(), "emoji: tensor `a` has shape [1, 2], the base has [2]");
    let mut integer = counter("b", 0);
    integer.shape = vec![1];
    let kind = error(checkpoint(vec![a(), integer]));
    assert_eq!(kind.to_string(), "emoji: tensor `b` is i64, the base's is f32: a number cannot be fused with a buffer");
    for error in [missing, extra, shape, kind] {
        assert!(error.hint().contains("same base"));
    }
}

#[test]
fn methods_say_what_they_need() {
    let experts = two();
    let message = |id: &str, base: bool, count: usize| {
        let zero = [0.0; ELEMENTS];
        let pool = pool(base.then_some(&zero[..]), &experts.iter().cycle().take(count).cloned().collect::<Vec<_>>());
        fuse(id, &[], &pool).unwrap_err().to_string()
    };
    assert_eq!(message("task_arithmetic", false, 2), "Task arithmetic needs a base model, and the pool has none");
    assert_eq!(message("slerp", false, 3), "SLERP needs exactly 2 experts, the pool has 3 experts");
    assert_eq!(message("model_stock", true, 1), "Model Stock needs at least 2 experts, the pool has 1 experts");
    assert_eq!(message("simple_average", true, 0), "Simple average needs at least 1 experts, the pool has 0 experts");
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let pool = pool(None, &two());
    let message = |weights: &[f64]| {
        fuse("weighted_average", &[("weights", List(weights.to_vec()))], &pool).unwrap_err().to_string()
    };
    assert_eq!(message(&[1.0]), "Weighted average: `weights` has 1 values, expected 2 (one per expert)");
    assert_eq!(message(&[1.0, -1.0]), "Weighted average: the weights add up to zero and cannot be normalised");
}

#[test]
fn an_empty_model_is_fused_to_an_empty_model() {
    let empty = || checkpoint(vec![]);
    let experts = [("a".into(), empty()), ("b".into(), empty())];
    for method in with_weights() {
        let pool = Pool::new(Some(empty()), fitting(method, &experts).to_vec()).unwrap();
        assert!(fuse_all(method.id, &[], &pool).unwrap().iter().all(|out| out.tensors().is_empty()), "{}", method.id);
    }
    assert_eq!(model(&[0.0; ELEMENTS]).parameters(), ELEMENTS);
}
