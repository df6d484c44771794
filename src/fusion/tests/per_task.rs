//! What must hold of methods with one model per task, whatever the numbers.

use crate::cancel::Cancel;
use crate::fusion::testing::{
    ELEMENTS, Pretended, all_of, assert_close, checkpoint, fused, models, params, pool, tensor,
};
use crate::fusion::{Context, Family, Fused, METHODS, PerTask, Pool, find};
use crate::params::Value::{self, Bool, Float, Int, Text};
use crate::weights::DType;
use proptest::collection::vec;
use proptest::prelude::*;

fn weights() -> impl Strategy<Value = Vec<f32>> {
    vec(-2.0f32..2.0, ELEMENTS)
}

/// Numbers whose sums and differences are exact, and among which ties and zeros are common.
fn coarse() -> impl Strategy<Value = Vec<f32>> {
    vec((-8i8..=8).prop_map(|x| f32::from(x) / 8.0), ELEMENTS)
}

fn compressed(id: &str, given: &[(&str, Value)], pool: &Pool) -> PerTask {
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let method = find(id).unwrap();
    match method.run(&params(method, given), pool, &mut Context::new(&cancel, &mut silent)).unwrap() {
        Fused::PerTask(models) => models,
        other => panic!("{other:?}"),
    }
}

/// Settings with which one expert alone comes out as it is.
fn whole() -> [(&'static str, Vec<(&'static str, Value)>); 5] {
    [
        ("emr", vec![]),
        ("tall_mask", vec![]),
        ("randes", vec![("scaling", Float(1.0))]),
        ("bitdelta", vec![("tensors", Text("none".into()))]),
        ("magnitude_diff_pruning", vec![("prune_ratio", Float(0.0)), ("only_linear", Bool(false))]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn one_expert_is_reproduced(base in weights(), expert in weights()) {
        let pool = pool(Some(&base), std::slice::from_ref(&expert));
        for (id, given) in whole() {
            assert_close(&models(id, &given, &pool)[0], &expert, 1e-6);
        }
    }

    #[test]
    fn experts_that_change_other_weights_are_all_reproduced(base in weights(), sizes in weights(), count in 1usize..5) {
        let own = |expert: usize| -> Vec<f32> {
            let change = |(at, (base, size)): (usize, (&f32, &f32))| if at % count == expert { base + size } else { *base };
            base.iter().zip(&sizes).enumerate().map(change).collect()
        };
        let experts: Vec<Vec<f32>> = (0..count).map(own).collect();
        let pool = pool(Some(&base), &experts);
        for threshold in [0.0, 0.6, 1.0] {
            for (model, expert) in models("tall_mask", &[("threshold", Float(threshold))], &pool).iter().zip(&experts) {
                assert_close(model, expert, 1e-6);
            }
        }
        for average in ["tensors", "weights"] {
            for (model, expert) in models("emr", &[("average", Text(average.into()))], &pool).iter().zip(&experts) {
                assert_close(model, expert, 1e-5);
            }
        }
    }

    #[test]
    fn without_a_threshold_each_task_gets_the_sum_where_it_moved(base in coarse(), experts in vec(coarse(), 1..5)) {
        let pool = pool(Some(&base), &experts);
        let sum = fused("task_arithmetic", &[("scaling", Float(1.0))], &pool);
        for (model, expert) in models("tall_mask", &[("threshold", Float(0.0))], &pool).iter().zip(&experts) {
            for at in 0..ELEMENTS {
                let expected = if expert[at] == base[at] { base[at] } else { sum[at] };
                prop_assert!((model[at] - expected).abs() < 1e-5);
            }
        }
        let consensus = fused("consensus_ta", &[("k", Int(0)), ("scaling", Float(1.0))], &pool);
        assert_close(&consensus, &sum, 1e-5);
    }

    #[test]
    fn the_order_of_the_experts_does_not_matter(base in coarse(), experts in vec(coarse(), 2..6), turn in 1usize..5) {
        let (mut turned, by) = (experts.clone(), turn % experts.len());
        turned.rotate_left(by);
        let (one, other) = (pool(Some(&base), &experts), pool(Some(&base), &turned));
        // RanDeS draws its signs by slot, so it alone knows an order.
        for id in ["emr", "tall_mask", "bitdelta", "magnitude_diff_pruning"] {
            let mut moved = models(id, &[], &other);
            moved.rotate_right(by);
            for (a, b) in models(id, &[], &one).iter().zip(&moved) {
                assert_close(a, b, 1e-5);
            }
        }
        let consensus = |pool: &Pool| fused("consensus_ta", &[], pool);
        assert_close(&consensus(&one), &consensus(&other), 1e-5);
    }

    #[test]
    fn emr_is_as_large_as_the_expert_and_never_against_it(base in weights(), experts in vec(weights(), 1..5)) {
        let pool = pool(Some(&base), &experts);
        for (model, expert) in models("emr", &[("average", Text("weights".into()))], &pool).iter().zip(&experts) {
            let delta = |values: &[f32], at: usize| f64::from(values[at] - base[at]);
            let size = |values: &[f32]| (0..ELEMENTS).map(|at| delta(values, at).abs()).sum::<f64>();
            if model.iter().zip(&base).any(|(a, b)| a != b) {
                prop_assert!((size(model) - size(expert)).abs() < 1e-3, "{} {}", size(model), size(expert));
            }
            prop_assert!((0..ELEMENTS).all(|at| delta(model, at) * delta(expert, at) >= -1e-6));
        }
    }

    #[test]
    fn randes_retrieves_without_bias_whatever_it_is_mixed_with(seed in 0i64..50, layers in prop::sample::select(vec!["keep", "shift", "shuffle"])) {
        // Eight experts with large equal changes, one matrix of 40 columns: the others cancel to noise.
        let model = |value: f32| checkpoint((0..3).map(|layer| {
            tensor(&format!("layers.{layer}.fc.weight"), &[8, 400], DType::F32, vec![value; 3200])
        }).collect());
        let experts = (0..4).map(|at| (at.to_string(), model(1.0))).collect();
        let pool = Pool::new(Some(model(0.0)), experts).unwrap();
        let given = [("scaling", Float(1.0)), ("seed", Int(seed)), ("layers", Text(layers.into()))];
        for model in models("randes", &given, &pool) {
            let mean = model.iter().sum::<f32>() / model.len() as f32;
            // The noise's deviation is √3 ⁄ √1200 at most.
            prop_assert!((mean - 1.0).abs() < 0.3, "{mean}");
        }
    }
}

#[test]
fn a_method_gives_one_model_per_task_exactly_if_its_family_says_so() {
    let experts = [vec![1.0; ELEMENTS], vec![0.5; ELEMENTS]];
    for method in METHODS {
        let most = method.needs.max_models.unwrap_or(2).min(2);
        let pool = pool(Some(&[0.0; ELEMENTS]), &experts[..most]);
        let (cancel, mut silent) = (Cancel::default(), |_, _| {});
        let mut cx = Context::new(&cancel, &mut silent).with_data(&Pretended);
        let fused = method.run(&params(method, &[]), &pool, &mut cx).unwrap();
        assert_eq!(matches!(fused, Fused::PerTask(_)), method.is_per_task(), "{}", method.id);
        assert_eq!(method.is_per_task(), matches!(method.family, Family::Compression | Family::Correction));
    }
}

#[test]
fn storage_is_what_has_to_be_kept() {
    // 24 elements of f32 each, of which 12 are a matrix: bits of tensors of 12, 8, 1, 0 and 3 elements are 5 bytes.
    let experts = [(0..ELEMENTS).map(|x| x as f32).collect(), vec![0.5; ELEMENTS], vec![-1.0; ELEMENTS]];
    let pool = pool(Some(&[0.0; ELEMENTS]), &experts);
    let stored = |id: &str, given: &[(&str, Value)]| compressed(id, given, &pool).storage(&pool);
    let emr = stored("emr", &[]);
    assert_eq!((emr.base, emr.shared, emr.experts), (96, 96, 3 * 96));
    // And a scale for each of five tensors.
    assert_eq!(emr.own, 3 * (5 + 5 * 4));
    assert_eq!(stored("tall_mask", &[]), emr);
    let randes = stored("randes", &[]);
    assert_eq!((randes.shared, randes.own), (96, 3 * 5 * 4));
    // Signs and a scale of the matrix, the rest as it is.
    let bitdelta = stored("bitdelta", &[]);
    assert_eq!((bitdelta.shared, bitdelta.own), (0, 3 * (2 + 4 + 4 * 12)));
    // A mask, half of the matrix in f32, a scale.
    let pruned = stored("magnitude_diff_pruning", &[]);
    assert_eq!((pruned.shared, pruned.own), (0, 3 * (2 + 4 * 6 + 4)));
    assert_eq!(pruned.total(), 96 + 90);
    assert!((pruned.share() - 186.0 / 288.0).abs() < 1e-12);
}

#[test]
fn half_floats_are_computed_in_f32_and_rounded_once() {
    let model = |values: &[f32]| checkpoint(vec![tensor("fc.weight", &[1, 3], DType::Bf16, values.to_vec())]);
    let experts = vec![("a".into(), model(&[2.0, 3.0, -1.0])), ("b".into(), model(&[2.0, -1.0, 0.0]))];
    let pool = Pool::new(Some(model(&[0.0; 3])), experts).unwrap();
    // Sizes 6 of 6, and 3 of 2.
    let all = models("emr", &[], &pool);
    assert_eq!(all, [vec![2.0, 3.0, -1.0], vec![3.0, 0.0, 0.0]]);
}

#[test]
fn another_pool_or_an_expert_that_is_not_there_is_refused() {
    let small = Pool::new(
        Some(checkpoint(vec![tensor("a", &[1], DType::F32, vec![0.0])])),
        vec![("x".into(), checkpoint(vec![tensor("a", &[1], DType::F32, vec![1.0])]))],
    )
    .unwrap();
    let models = compressed("emr", &[], &small);
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent);
    assert!(models.model(1, &small, &mut cx).unwrap_err().to_string().contains("expert 1"));
    let other = pool(Some(&[0.0; ELEMENTS]), &[vec![1.0; ELEMENTS]]);
    assert!(models.model(0, &other, &mut cx).is_err());
    assert_eq!(all_of(&Fused::PerTask(models), &small, &mut cx).unwrap().len(), 1);
}
