//! Identities between methods, on arbitrary pools with tensors of every rank.

use crate::fusion::testing::{ELEMENTS, assert_close, flat, fuse, fused, pool};
use crate::params::Value::{Bool, Float, List, Text};
use proptest::collection::vec;
use proptest::prelude::*;

fn weights() -> impl Strategy<Value = Vec<f32>> {
    vec(-2.0f32..2.0, ELEMENTS)
}

/// Numbers whose sums and differences are exact, and among which ties and zeros are common.
fn coarse() -> impl Strategy<Value = Vec<f32>> {
    vec((-8i8..=8).prop_map(|x| f32::from(x) / 8.0), ELEMENTS)
}

fn experts(most: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
    vec(weights(), 1..=most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn task_arithmetic_with_one_over_t_is_the_average(base in weights(), experts in experts(6)) {
        let pool = pool(Some(&base), &experts);
        let lambda = Float(1.0 / experts.len() as f64);
        assert_close(&fused("task_arithmetic", &[("scaling", lambda)], &pool), &fused("simple_average", &[], &pool), 3e-6);
    }

    #[test]
    fn coefficients_zero_and_one(base in weights(), experts in experts(6)) {
        let pool = pool(Some(&base), &experts);
        prop_assert_eq!(fused("task_arithmetic", &[("scaling", Float(0.0))], &pool), base);
        let only_last: Vec<f64> = (0..experts.len()).map(|at| f64::from(u8::from(at + 1 == experts.len()))).collect();
        prop_assert_eq!(&fused("weighted_average", &[("weights", List(only_last.clone()))], &pool), &experts[experts.len() - 1]);
        assert_close(&fused("task_wise", &[("scaling", List(only_last))], &pool), &experts[experts.len() - 1], 1e-6);
    }

    #[test]
    fn one_number_for_all_is_the_same_as_a_list_of_it(base in weights(), experts in experts(5), lambda in -1.0f64..2.0) {
        let pool = pool(Some(&base), &experts);
        let one = fused("task_arithmetic", &[("scaling", Float(lambda))], &pool);
        prop_assert_eq!(&fused("task_wise", &[("scaling", List(vec![lambda; experts.len()]))], &pool), &one);
        prop_assert_eq!(&fused("layer_wise", &[("scaling", Float(lambda))], &pool), &one);
    }

    #[test]
    fn dare_that_drops_nothing_is_task_arithmetic(base in weights(), experts in experts(5), rescale: bool, seed in 0i64..9) {
        let pool = pool(Some(&base), &experts);
        let given = [("drop", Float(0.0)), ("rescale", Bool(rescale)), ("seed", crate::params::Value::Int(seed))];
        let scaling = [("scaling", Float(0.4))];
        let dropped = fused("dare", &[&given[..], &scaling].concat(), &pool);
        assert_close(&dropped, &fused("task_arithmetic", &scaling, &pool), 6e-6);
        assert_close(&fused("dare_average", &given, &pool), &fused("simple_average", &[], &pool), 6e-6);
        let ties = [("density", Float(0.3)), ("scaling", Float(0.4))];
        prop_assert_eq!(fused("dare_ties", &[&given[..], &ties].concat(), &pool), fused("ties", &ties, &pool));
    }

    #[test]
    fn dare_that_drops_everything_is_the_base(base in weights(), experts in experts(4), rescale: bool) {
        let pool = pool(Some(&base), &experts);
        for id in ["dare", "dare_average", "dare_ties"] {
            prop_assert_eq!(&fused(id, &[("drop", Float(1.0)), ("rescale", Bool(rescale))], &pool), &base, "{}", id);
        }
    }

    #[test]
    fn slerp_and_interpolation_end_at_the_experts(a in weights(), b in weights()) {
        let pool = pool(None, &[a.clone(), b.clone()]);
        for id in ["slerp", "linear_interpolation"] {
            prop_assert_eq!(&fused(id, &[("t", Float(0.0))], &pool), &a, "{}", id);
            prop_assert_eq!(&fused(id, &[("t", Float(1.0))], &pool), &b, "{}", id);
        }
    }

    #[test]
    fn slerp_between_parallel_vectors_is_linear(a in weights(), factor in 1.0f32..3.0, t in 0.0f64..1.0) {
        let b: Vec<f32> = a.iter().map(|x| x * factor).collect();
        let pool = pool(None, &[a, b]);
        assert_close(&fused("slerp", &[("t", Float(t))], &pool), &fused("linear_interpolation", &[("t", Float(t))], &pool), 2e-6);
    }

    #[test]
    fn slerp_keeps_the_length_between_equally_long_vectors(a in weights(), b in weights(), t in 0.0f64..1.0) {
        // Tensor by tensor: take the matrix, elements 0..12.
        let norm = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let scale = norm(&a[..12]) / norm(&b[..12]);
        prop_assume!(scale.is_finite() && scale < 50.0);
        let b: Vec<f32> = b.iter().map(|x| x * scale as f32).collect();
        let cosine = a[..12].iter().zip(&b[..12]).map(|(a, b)| f64::from(a * b)).sum::<f64>() / norm(&a[..12]).powi(2);
        prop_assume!(cosine.abs() < 0.99);
        let between = fused("slerp", &[("t", Float(t))], &pool(None, &[a.clone(), b]));
        prop_assert!((norm(&between[..12]) - norm(&a[..12])).abs() < 1e-4 * norm(&a[..12]));
    }

    #[test]
    fn ties_that_trims_nothing_of_one_expert_is_task_arithmetic(base in weights(), expert in weights(), scaling in 0.0f64..1.5) {
        let pool = pool(Some(&base), &[expert]);
        for merge in ["sum", "mean", "max"] {
            let given = [("density", Float(1.0)), ("scaling", Float(scaling)), ("merge", Text(merge.into()))];
            assert_close(&fused("ties", &given, &pool), &fused("task_arithmetic", &[("scaling", Float(scaling))], &pool), 1e-6);
        }
    }

    #[test]
    fn magmax_of_one_expert_is_the_expert(base in weights(), expert in weights()) {
        assert_close(&fused("magmax", &[("scaling", Float(1.0))], &pool(Some(&base), std::slice::from_ref(&expert))), &expert, 1e-6);
    }

    #[test]
    fn model_stock_of_identical_experts_is_the_expert(base in weights(), expert in weights(), count in 2usize..5) {
        let pool = pool(Some(&base), &vec![expert.clone(); count]);
        for average in ["angles", "cosines"] {
            // The scalar's and the peers' guards against zero norms move tiny task vectors a little.
            assert_close(&fused("model_stock", &[("average", Text(average.into()))], &pool), &expert, 2e-3);
        }
    }

    #[test]
    fn model_stock_of_orthogonal_task_vectors_is_the_base(base in weights(), sizes in vec(0.1f32..2.0, ELEMENTS)) {
        // Two experts that never move the same element: orthogonal in every tensor with more than one element.
        let moved = |parity: usize| -> Vec<f32> {
            base.iter().zip(&sizes).enumerate().map(|(at, (x, size))| if at % 2 == parity { x + size } else { *x }).collect()
        };
        let out = fused("model_stock", &[], &pool(Some(&base), &[moved(0), moved(1)]));
        assert_close(&out, &base, 1e-5);
    }

    #[test]
    fn the_order_of_the_experts_does_not_matter(base in coarse(), experts in vec(coarse(), 2..6), turn in 1usize..5) {
        let (mut turned, by) = (experts.clone(), turn % experts.len());
        turned.rotate_left(by);
        let (one, other) = (pool(Some(&base), &experts), pool(Some(&base), &turned));
        for merge in ["sum", "mean", "max"] {
            let given = [("density", Float(0.4)), ("merge", Text(merge.into())), ("scaling", Float(0.5))];
            prop_assert_eq!(fused("ties", &given, &one), fused("ties", &given, &other), "ties {}", merge);
        }
        for id in ["simple_average", "task_arithmetic", "model_stock"] {
            let (one, other) = (fused(id, &[], &one), fused(id, &[], &other));
            // Near its pole Model Stock goes far beyond the experts, or magnifies the rounding of a sum that nearly
            // vanishes a thousandfold.
            let largest = one.iter().fold(1.0f32, |largest, x| largest.max(x.abs()));
            let tolerance = if id == "model_stock" { 1e-2 } else { 1e-5 };
            assert_close(&one, &other, tolerance * largest);
        }
        // MagMax alone knows an order, where magnitudes are equal: its sizes then still agree.
        let size = |pool| -> Vec<f32> { fused("magmax", &[("scaling", Float(1.0))], pool).iter().zip(&base).map(|(a, b)| (a - b).abs()).collect() };
        prop_assert_eq!(size(&one), size(&other));
    }

    #[test]
    fn ties_agrees_with_a_plain_rewriting_of_it(
        base in coarse(), experts in vec(coarse(), 1..6), density in 0.01f64..=1.0, merge in prop::sample::select(vec!["sum", "mean", "max"]),
    ) {
        let given = [("density", Float(density)), ("merge", Text(merge.into())), ("scaling", Float(1.0))];
        let ours = fused("ties", &given, &pool(Some(&base), &experts));
        assert_close(&ours, &plain_ties(&base, &experts, density, merge), 1e-6);
    }
}

/// TIES by the book, on flat vectors.
fn plain_ties(base: &[f32], experts: &[Vec<f32>], density: f64, merge: &str) -> Vec<f32> {
    let mut vectors: Vec<Vec<f32>> = experts.iter().map(|e| e.iter().zip(base).map(|(a, b)| a - b).collect()).collect();
    for vector in &mut vectors {
        let mut sizes: Vec<f32> = vector.iter().map(|x| x.abs()).collect();
        sizes.sort_by(f32::total_cmp);
        let rank = (sizes.len() - (sizes.len() as f64 * density) as usize).max(1);
        vector.iter_mut().filter(|x| x.abs() < sizes[rank - 1]).for_each(|x| *x = 0.0);
    }
    let sign = |x: f32| if x == 0.0 { 0.0 } else { x.signum() };
    let sums: Vec<f32> = (0..base.len()).map(|at| vectors.iter().map(|v| v[at]).sum()).collect();
    let majority = sign(sums.iter().map(|sum| sign(*sum)).sum());
    let merged = (0..base.len()).map(|at| {
        let sign = if sums[at] == 0.0 { majority } else { sign(sums[at]) };
        let kept = vectors.iter().map(|v| v[at]).filter(|x| if sign > 0.0 { *x > 0.0 } else { *x < 0.0 });
        let kept: Vec<f32> = kept.collect();
        match merge {
            "sum" => kept.iter().sum::<f32>(),
            "mean" => kept.iter().sum::<f32>() / kept.len().max(1) as f32,
            _ => sign * kept.iter().fold(0.0f32, |a, b| a.max(b.abs())),
        }
    });
    merged.zip(base).map(|(merged, base)| base + merged).collect()
}

#[test]
fn model_stock_keeps_the_base_where_task_vectors_cancel() {
    let base = vec![1.0; ELEMENTS];
    let out = fused("model_stock", &[], &pool(Some(&base), &[vec![1.5; ELEMENTS], vec![0.0; ELEMENTS]]));
    assert_eq!(out, base);
}

#[test]
fn magmax_takes_the_later_of_two_equal_changes() {
    let base = vec![0.0; ELEMENTS];
    let (up, down) = (vec![0.5; ELEMENTS], vec![-0.5; ELEMENTS]);
    let given = [("scaling", Float(1.0))];
    assert_eq!(fused("magmax", &given, &pool(Some(&base), &[up.clone(), down.clone()])), down);
    assert_eq!(fused("magmax", &given, &pool(Some(&base), &[down, up.clone()])), up);
}

#[test]
fn layer_wise_coefficients_reach_only_their_block() {
    let (base, expert) = (vec![0.0; ELEMENTS], vec![1.0; ELEMENTS]);
    let pool = pool(Some(&base), &[expert]);
    assert_eq!(pool.groups().names(), ["embeddings", "layer 0", "layer 1", "head"]);
    let table = crate::params::Value::Table(vec![vec![0.1, 0.2, 0.3, 0.4]]);
    let out = fuse("layer_wise", &[("scaling", table)], &pool).unwrap();
    let of = |name: &str| out.get(name).unwrap().values().unwrap()[0];
    assert_eq!(
        [
            of("logit_scale"),
            of("encoder.layers.0.mlp.fc.weight"),
            of("encoder.layers.1.conv.weight"),
            of("post_layernorm.bias")
        ],
        [0.1, 0.2, 0.3, 0.4]
    );
    assert_eq!(flat(&out).len(), ELEMENTS);
}
