//! Mixtures that must be something that is known already.

use super::MixedClipVit;
use crate::cancel::Cancel;
use crate::fusion::testing::Pretended;
use crate::fusion::{Context, Fused, Mixture, Pool, Router, find};
use crate::models::clip_vit::{ClipVit, ClipVitConfig, random_weights};
use crate::params::{ParamSet, Value};
use crate::weights::{Checkpoint, Data, Source, StateDict};
use burn::tensor::{Device, Tensor, TensorData};
use std::sync::Arc;

pub fn config() -> ClipVitConfig {
    ClipVitConfig {
        architectures: vec!["CLIPVisionModelWithProjection".to_owned()],
        hidden_size: 12,
        intermediate_size: 20,
        projection_dim: 5,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        image_size: 12,
        patch_size: 4,
        ..ClipVitConfig::default()
    }
}

pub fn checkpoint(weights: &StateDict) -> Checkpoint {
    let views = weights.tensors().iter().map(|tensor| (tensor.name.as_str(), tensor));
    let bytes = safetensors::serialize(views, None).unwrap();
    Checkpoint::from_source("test", Source::Owned(bytes.into())).unwrap()
}

/// The base with its linear layers, biases included, moved.
pub fn expert(base: &StateDict, seed: f32) -> StateDict {
    let mut moved = base.clone();
    for tensor in moved.tensors_mut() {
        let linear = ["proj", "fc"].iter().any(|part| tensor.name.contains(part));
        if let Data::Float(values) = &mut tensor.data
            && linear
        {
            values.iter_mut().enumerate().for_each(|(at, x)| *x += 0.1 * (at as f32 * seed).sin());
        }
    }
    moved
}

pub fn mixture(id: &str, given: &[(&'static str, Value)], base: &StateDict, experts: &[StateDict]) -> Mixture {
    let experts = experts.iter().enumerate().map(|(at, expert)| (format!("task {at}"), checkpoint(expert))).collect();
    let pool = Pool::new(Some(checkpoint(base)), experts).unwrap();
    let method = find(id).unwrap();
    let params = ParamSet::checked(method.specs, given.iter().cloned()).unwrap();
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    match method.run(&params, &pool, &mut Context::new(&cancel, &mut silent).with_data(&Pretended)).unwrap() {
        Fused::Mixture(mixture) => mixture,
        other => panic!("{other:?}"),
    }
}

pub fn pixels(n: usize) -> Tensor<4> {
    let values: Vec<f32> = (0..n * 3 * 144).map(|at| (at as f32 * 0.71).sin()).collect();
    Tensor::from_data(TensorData::new(values, [n, 3, 12, 12]), &Device::flex())
}

pub fn features(mixture: &Mixture, pixels: Tensor<4>) -> (Vec<f32>, Vec<f32>) {
    let routed = MixedClipVit::new(&config(), mixture, &Device::flex()).unwrap().features(pixels);
    let read = |tensor: Tensor<2>| tensor.into_data().try_into_vec::<f32>().unwrap();
    (read(routed.features), read(routed.weights))
}

fn plain(weights: &StateDict, pixels: Tensor<4>) -> Vec<f32> {
    let mut model = ClipVit::new(&config(), &Device::flex()).unwrap();
    model.load(weights).unwrap();
    model.features(pixels).into_data().try_into_vec().unwrap()
}

pub fn assert_close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{worst}: {a:?} and {b:?}");
}

#[test]
fn smile_of_one_whole_expert_is_the_expert() {
    let base = random_weights(&config(), 3).unwrap();
    let expert = expert(&base, 0.3);
    for rank in [-1, 100] {
        let mixture = mixture("smile", &[("rank", Value::Int(rank))], &base, std::slice::from_ref(&expert));
        let (features, weights) = features(&mixture, pixels(3));
        assert_close(&features, &plain(&expert, pixels(3)));
        // Two blocks of six layers, and the projection.
        assert_eq!(weights, [1.0; 3 * 13]);
    }
}

#[test]
fn smile_of_nothing_changed_is_the_base_and_has_no_routers() {
    let base = random_weights(&config(), 3).unwrap();
    let mixture = mixture("smile", &[], &base, &[base.clone(), base.clone()]);
    assert!(mixture.body.places.is_empty() && mixture.routers.is_empty());
    let (features, weights) = features(&mixture, pixels(2));
    assert_close(&features, &plain(&base, pixels(2)));
    assert!(weights.is_empty());
}

#[test]
fn an_image_is_answered_alike_in_every_batch() {
    let base = random_weights(&config(), 3).unwrap();
    let experts = [expert(&base, 0.3), expert(&base, 1.1), expert(&base, 2.3)];
    // Along all directions every expert's norm would be that of the input, and rounding would choose.
    let given = [("rank", 4), ("router_rank", 2), ("top_k", 2)].map(|(name, value)| (name, Value::Int(value)));
    let mixture = mixture("smile", &given, &base, &experts);
    let (together, weights) = features(&mixture, pixels(4));
    let (alone, own) = features(&mixture, pixels(4).narrow(0, 2, 1));
    let width = weights.len() / 4;
    assert_close(&weights[2 * width..3 * width], &own);
    assert_close(&together[2 * 5..3 * 5], &alone);
    for row in weights.chunks(3) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{row:?}");
    }
}

#[test]
fn a_mixture_of_another_network_is_refused() {
    let base = random_weights(&config(), 3).unwrap();
    let mixture = mixture("smile", &[], &base, &[expert(&base, 0.3)]);
    let shallow = ClipVitConfig { num_hidden_layers: 1, ..config() };
    let error = MixedClipVit::new(&shallow, &mixture, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("layers.1"), "{error}");
}

/// θ₀ + λ Σ τᵢ
fn arithmetic(base: &StateDict, experts: &[StateDict], lambda: f32) -> StateDict {
    let mut sum = base.clone();
    for (at, tensor) in sum.tensors_mut().iter_mut().enumerate() {
        let Data::Float(values) = &mut tensor.data else { continue };
        let from = base.tensors()[at].values().unwrap();
        for expert in experts {
            let to = expert.tensors()[at].values().unwrap();
            values.iter_mut().zip(from.iter().zip(to)).for_each(|(x, (from, to))| *x += lambda * (to - from));
        }
    }
    sum
}

/// The mixture whose routers, of the same shapes, answer `number` to everything.
fn answering(mut mixture: Mixture, number: f32) -> Mixture {
    for router in &mut mixture.routers {
        let Router::Perceptron(network) = router else { panic!("not trained") };
        let mut constant = (**network).clone();
        let count = constant.layers.len();
        for (at, layer) in constant.layers.iter_mut().enumerate() {
            layer.weight.fill(0.0);
            layer.bias.fill(if at + 1 == count { number } else { 0.0 });
        }
        *network = Arc::new(constant);
    }
    mixture
}

#[test]
fn routers_that_always_say_lambda_are_task_arithmetic() {
    let base = random_weights(&config(), 3).unwrap();
    let experts = [expert(&base, 0.3), expert(&base, 1.1), expert(&base, 2.3)];
    let expected = plain(&arithmetic(&base, &experts, 0.4), pixels(3));
    let given = |more: &[(&'static str, Value)]| {
        let mut given = vec![("steps", Value::Int(0)), ("init", Value::Float(0.4))];
        given.extend_from_slice(more);
        given
    };
    for layers in 0..3 {
        let given = given(&[("router_layers", Value::Int(layers))]);
        let mixture = answering(mixture("wemoe", &given, &base, &experts), 0.4);
        let (features, weights) = features(&mixture, pixels(3));
        assert_close(&features, &expected);
        assert_close(&weights, &[0.4; 3 * 2 * 3]);
    }
    let components = given(&[("rank", Value::Int(100))]);
    let whole = given(&[("prune", Value::Float(0.0))]);
    for (id, given) in [("rankone_moe", components), ("e_wemoe", whole), ("dawe", given(&[]))] {
        let mixture = answering(mixture(id, &given, &base, &experts), 0.4);
        let (features, weights) = features(&mixture, pixels(3));
        assert_close(&features, &expected);
        assert!(weights.iter().all(|weight| (weight - 0.4).abs() < 1e-6), "{id}");
    }
}

#[test]
fn trained_routers_look_at_one_image_at_a_time() {
    let base = random_weights(&config(), 3).unwrap();
    let experts = [expert(&base, 0.3), expert(&base, 1.1)];
    for id in ["wemoe", "e_wemoe", "rankone_moe", "dawe"] {
        let mut mixture = mixture(id, &[("steps", Value::Int(0))], &base, &experts);
        // As routers come, they say nearly the same to everything.
        for router in &mut mixture.routers {
            let Router::Perceptron(network) = router else { panic!("not trained") };
            *network = Arc::new(network.with_numbers(network.numbers().into_iter().map(|x| 20.0 * x)));
        }
        let (together, weights) = features(&mixture, pixels(4));
        let (alone, own) = features(&mixture, pixels(4).narrow(0, 2, 1));
        let width = weights.len() / 4;
        assert_close(&weights[2 * width..3 * width], &own);
        assert_close(&together[2 * 5..3 * 5], &alone);
        let spread = weights.chunks(width).map(|row| (row[0] - own[0]).abs()).fold(0.0, f32::max);
        assert!(spread > 1e-3, "{id}: {weights:?}");
    }
}

#[test]
fn only_the_largest_components_are_let_through() {
    let base = random_weights(&config(), 3).unwrap();
    let experts = [expert(&base, 0.3), expert(&base, 1.1)];
    let given = [("steps", Value::Int(0)), ("rank", Value::Int(2)), ("router_layers", Value::Int(0))];
    let mut mixture = mixture("rankone_moe", &given, &base, &experts);
    for router in &mut mixture.routers {
        let Router::Perceptron(network) = router else { panic!("not trained") };
        let mut network = network.with_numbers([0.1, 0.9, 0.2, 0.6]);
        network.select = Some(2);
        *router = Router::Perceptron(Arc::new(network));
    }
    let (_, weights) = features(&mixture, pixels(1));
    // The least of those that are chosen is let through by half: σ(0).
    assert_close(&weights[..2], &[0.45, 0.15]);
}
