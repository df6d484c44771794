//! What must hold for mergekit's, PEFT's and the smaller methods, whatever the numbers.

use crate::fusion::testing::{ELEMENTS, assert_close, checkpoint, flat, fuse, fused, pool, tensor};
use crate::fusion::{FusionError, Pool};
use crate::params::Value::{Bool, Float, Int, List, Text};
use crate::weights::DType;
use proptest::collection::vec;
use proptest::prelude::*;

fn weights() -> impl Strategy<Value = Vec<f32>> {
    vec(-2.0f32..2.0, ELEMENTS)
}

/// A base and experts with one vector each.
fn vectors(base: &[f32], experts: &[Vec<f32>]) -> Pool {
    let model = |values: &[f32]| checkpoint(vec![tensor("fc.weight", &[1, values.len()], DType::F32, values.to_vec())]);
    let experts = experts.iter().enumerate().map(|(at, values)| (at.to_string(), model(values))).collect();
    Pool::new(Some(model(base)), experts).unwrap()
}

const DENSE: (&str, crate::params::Value) = ("density", Float(1.0));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn nothing_dropped_is_a_weighted_sum(base in weights(), experts in vec(weights(), 1..5), w in -1.0f64..1.0) {
        let pool = pool(Some(&base), &experts);
        let weight = ("weight", Float(w));
        let sum = fused("task_arithmetic", &[("scaling", Float(w))], &pool);
        assert_close(&fused("mergekit_task_arithmetic", std::slice::from_ref(&weight), &pool), &sum, 1e-6);
        for id in ["mergekit_dare_linear", "breadcrumbs", "della_linear", "peft_dare_linear", "peft_magnitude_prune"] {
            assert_close(&fused(id, &[weight.clone(), DENSE], &pool), &sum, 6e-6);
        }
    }

    #[test]
    fn one_expert_agrees_with_itself(base in weights(), expert in weights()) {
        let pool = pool(Some(&base), std::slice::from_ref(&expert));
        let weight = ("weight", Float(1.0));
        for id in ["mergekit_ties", "mergekit_dare_ties", "breadcrumbs_ties", "della", "peft_ties", "peft_dare_ties"] {
            assert_close(&fused(id, &[weight.clone(), DENSE], &pool), &expert, 1e-6);
        }
        for (id, given) in [("sce", vec![]), ("ram", vec![]), ("nearswap", vec![("t", Float(1.0))]), ("passthrough", vec![])] {
            let apart = if id == "nearswap" { 3.0 } else { 2e-5 };
            assert_close(&fused(id, &given, &pool), &expert, apart);
        }
        prop_assert_eq!(&fused("karcher", &[], &pool), &expert);
        prop_assert_eq!(&fused("multislerp", &[], &pool), &expert);
    }

    #[test]
    fn expo_without_extrapolation_is_the_average(base in weights(), experts in vec(weights(), 1..4)) {
        let pool = pool(Some(&base), &experts);
        assert_close(&fused("expo", &[("extrapolation", Float(0.0))], &pool), &fused("simple_average", &[], &pool), 3e-6);
    }

    #[test]
    fn nearswap_moves_no_weight_further_than_t(base in weights(), expert in weights(), t in 0.001f64..0.5) {
        let out = fused("nearswap", &[("t", Float(t))], &pool(Some(&base), &[expert]));
        prop_assert!(out.iter().zip(&base).all(|(out, base)| f64::from((out - base).abs()) <= t + 1e-6));
    }

    #[test]
    fn means_of_one_expert_many_times_are_the_expert(base in weights(), expert in weights()) {
        let pool = pool(Some(&base), &vec![expert.clone(); 3]);
        let around = |centre: &str| vec![("centre", Text(centre.into()))];
        for (id, given) in [("karcher", vec![]), ("multislerp", around("origin")), ("multislerp", around("base"))] {
            assert_close(&fused(id, &given, &pool), &expert, 1e-4);
        }
    }

    #[test]
    fn rescaling_keeps_the_norm_of_every_tensor(expert in vec(0.1f32..2.0, 64), seed in 0i64..100) {
        let pool = vectors(&[0.0; 64], std::slice::from_ref(&expert));
        let norm = |values: &[f32]| values.iter().map(|x| x.abs()).sum::<f32>();
        let given = [("weight", Float(1.0)), ("seed", Int(seed))];
        for id in ["mergekit_dare_linear", "della_linear"] {
            let out = fused(id, &given, &pool);
            prop_assert!(out.contains(&0.0), "{} dropped nothing", id);
            prop_assert!((norm(&out) - norm(&expert)).abs() < 1e-4 * norm(&expert), "{}", id);
        }
    }

    #[test]
    fn without_outliers_to_drop_breadcrumbs_keeps_the_largest(base in weights(), experts in vec(weights(), 1..4), density in 0.1f64..1.0) {
        // mergekit before 0.1.5 emptied a task vector of which no outlier was dropped.
        let pool = pool(Some(&base), &experts);
        let given = [("density", Float(density))];
        let largest = fused("peft_magnitude_prune", &given, &pool);
        prop_assert_eq!(fused("breadcrumbs", &[&given[..], &[("gamma", Float(0.0))]].concat(), &pool), largest);
    }
}

#[test]
fn the_middle_is_kept() {
    let pool = vectors(&[0.0; 10], &[vec![1., -2., 3., -4., 5., -6., 7., -8., 9., -10.]]);
    let given = [("weight", Float(1.0)), ("density", Float(0.4)), ("gamma", Float(0.2))];
    assert_eq!(fused("breadcrumbs", &given, &pool), [0., 0., 0., 0., 5., -6., 7., -8., 0., 0.]);
    // With more outliers than the density leaves room for, the smallest are kept.
    let given = [("weight", Float(1.0)), ("density", Float(0.9)), ("gamma", Float(0.5))];
    assert_eq!(fused("breadcrumbs", &given, &pool), [1., -2., 3., -4., 5., -6., 7., -8., 9., 0.]);
}

#[test]
fn as_many_are_kept_as_were_asked_for_among_equals() {
    let larger: Vec<f32> = (0..40_000).map(|at| if at % 3 == 0 { 2.0 } else { -1.0 }).collect();
    let pool = vectors(&vec![0.0; larger.len()], &[larger]);
    for (density, count) in [(0.1, 4000), (0.5, 20_000), (0.9, 36_000)] {
        let given = [("weight", Float(1.0)), ("density", Float(density))];
        for (id, gamma) in [("peft_magnitude_prune", vec![]), ("breadcrumbs", vec![("gamma", Float(0.05))])] {
            let out = fused(id, &[&given[..], &gamma].concat(), &pool);
            assert_eq!(out.iter().filter(|x| **x != 0.0).count(), count, "{id} {density}");
            let largest = out.iter().filter(|x| **x == 2.0).count();
            // All of the larger kind, but for the outliers and as far as there is room.
            assert_eq!(
                largest,
                if id == "breadcrumbs" { 11_334.min(count) } else { 13_334.min(count) },
                "{id} {density}"
            );
        }
    }
}

#[test]
fn mergekit_and_peft_elect_and_divide_differently() {
    let pool = vectors(&[0.0; 2], &[vec![3.0, 1.0], vec![-2.0, 1.0]]);
    let given = [("weight", List(vec![0.5, 1.0])), DENSE];
    // Weighted: 1.5 against −2. Unweighted: 3 against −2.
    assert_eq!(fused("mergekit_ties", &given, &pool), [-2.0, 1.0]);
    assert_eq!(fused("peft_ties", &given, &pool), [1.5, 0.75]);
    let frequency = ("majority_sign", Text("frequency".into()));
    assert_eq!(fused("peft_ties", &[given[0].clone(), DENSE, frequency], &pool), [1.5, 0.75]);
    let plain = [given[0].clone(), DENSE, ("normalize", Bool(false))];
    assert_eq!(fused("mergekit_ties", &plain, &pool), [-2.0, 1.5]);
}

#[test]
fn opposite_directions_are_joined_by_a_straight_line() {
    // mergekit fails for three that cancel, and divides by nearly nothing for two in f32.
    let (up, down) = (vec![1.0, 2.0, -1.0], vec![-1.0, -2.0, 1.0]);
    let two = vectors(&[0.0; 3], &[up.clone(), down.clone()]);
    assert_eq!(fused("nuslerp", &[("weight", List(vec![3.0, 1.0]))], &two), [0.5, 1.0, -0.5]);
    let three = vectors(&[0.0; 3], &[vec![1.0, 0.0, 0.0], vec![-1.0, 0.0, 0.0], vec![0.0; 3]]);
    assert_eq!(fused("multislerp", &[("centre", Text("base".into()))], &three), [0.0; 3]);
    assert!(fused("karcher", &[], &two).iter().all(|x| x.is_finite()));
}

#[test]
fn multi_slerp_around_the_base_keeps_the_length_that_a_mean_shrinks() {
    let pool = vectors(&[1.0, 1.0], &[vec![3.0, 1.0], vec![1.0, 3.0]]);
    let out = fused("multislerp", &[("centre", Text("base".into()))], &pool);
    let side = 1.0 + 2f32.sqrt();
    assert_close(&out, &[side, side], 1e-6);
    let turned = fused("nuslerp", &[("centre", Text("base".into())), ("along", Text("last".into()))], &pool);
    assert_close(&turned, &[side, side], 1e-6);
}

#[test]
fn small_changes_have_weights_in_sce_too() {
    // mergekit takes every expert for equal where mean squares add up to less than 1e-6.
    for scale in [1.0, 1e-4] {
        let pool = vectors(&[0.0; 2], &[vec![scale, scale], vec![3.0 * scale, 3.0 * scale]]);
        assert_close(&fused("sce", &[], &pool), &[2.8 * scale; 2], 1e-6 * scale);
    }
}

#[test]
fn sce_selects_where_experts_differ() {
    let pool = vectors(&[0.0; 4], &[vec![1.0, 1.0, 1.0, 1.0], vec![1.0, 2.0, 3.0, 1.5]]);
    let out = fused("sce", &[("select_topk", Float(0.67))], &pool);
    // Three of four differ; two thirds of these take part.
    assert!(out[0] == 0.0 && out[3] == 0.0 && out[1] > 1.0 && out[2] > 1.0, "{out:?}");
}

#[test]
fn own_changes_are_kept_and_shared_ones_averaged() {
    let pool = vectors(&[1.0; 4], &[vec![2.0, 1.0, 3.0, 1.0], vec![1.0, 1.0, 1.5, 5.0]]);
    assert_eq!(fused("ram", &[], &pool), [2.0, 1.0, 2.25, 5.0]);
    let gain = [("r", Float(0.5)), ("alpha", Float(0.4))];
    assert_close(&fused("ramplus_tl", &gain, &pool), &[2.2, 1.0, 2.25, 5.8], 1e-6);
}

#[test]
fn arcee_fusion_takes_what_stands_out() {
    let base = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];
    let mut expert: Vec<f32> = base.iter().enumerate().map(|(at, x)| x + 0.01 * (at + 1) as f32).collect();
    expert[5] += 1.0;
    let out = fused("arcee_fusion", &[], &vectors(&base, &[expert.clone()]));
    let expected: Vec<f32> = (0..8).map(|at| if at == 5 { expert[5] } else { base[at] }).collect();
    assert_eq!(out, expected);
}

#[test]
fn pruned_differences() {
    let pool = vectors(&[10.0; 8], &[vec![11., 8., 13., 6., 15., 4., 17., 2.]]);
    let kept = |given: &[(&str, crate::params::Value)]| -> Vec<f32> {
        fused("magnitude_diff_pruning", given, &pool).iter().map(|x| x - 10.0).collect()
    };
    assert_eq!(kept(&[]), [0., 0., 0., 0., 5., -6., 7., -8.]);
    assert_eq!(kept(&[("prune_type", Text("major".into()))]), [1., -2., 3., -4., 0., 0., 0., 0.]);
    assert_eq!(kept(&[("n", Int(2))]), [0., 0., 3., -4., 0., 0., 7., -8.]);
    assert_eq!(kept(&[("prune_ratio", Float(0.75)), ("rescale", Bool(true))]), [0., 0., 0., 0., 0., 0., 28., -32.]);
    let error = fuse("magnitude_diff_pruning", &[("n", Int(5))], &pool).unwrap_err().to_string();
    assert_eq!(error, "Magnitude-diff pruning: n = 5 of m = 4 neighbours cannot be dropped");
}

#[test]
fn chances_beyond_certainty_are_refused() {
    let pool = vectors(&[0.0; 3], &[vec![1.0, 2.0, 3.0]]);
    let given = [("density", Float(0.9)), ("epsilon", Float(0.2))];
    assert!(matches!(fuse("della", &given, &pool), Err(FusionError::Unusable { .. })));
    assert_eq!(flat(&fuse("della", &[("density", Float(0.0))], &pool).unwrap()), [0.0; 3]);
}

#[test]
fn filters_have_ratios_of_their_own() {
    // Rows whose task vectors are equal go to the mean, rows in which they are orthogonal stay.
    let model = |values: [f32; 4]| checkpoint(vec![tensor("fc.weight", &[2, 2], DType::F32, values.to_vec())]);
    let experts = vec![("a".into(), model([3.0, 4.0, 1.0, 0.0])), ("b".into(), model([3.0, 4.0, 0.0, 1.0]))];
    let pool = Pool::new(Some(model([0.0; 4])), experts).unwrap();
    let given = [("filter_wise", Bool(true)), ("average", Text("cosines".into()))];
    assert_close(&fused("model_stock", &given, &pool), &[3.0, 4.0, 0.0, 0.0], 1e-6);
}
