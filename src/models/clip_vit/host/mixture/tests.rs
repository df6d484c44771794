//! Against the same mixtures in burn operations.

use super::router::{Gates, ask, means};
use super::{HostMixture, Reach};
use crate::fusion::{Body, Mixture, Router};
use crate::models::clip_vit::mixed::tests::{assert_close, config, expert, mixture, pixels};
use crate::models::clip_vit::{Activation, ClipVit, ClipVitConfig, Linear, MixedClipVit, random_weights};
use crate::params::Value;
use burn::tensor::{Device, Tensor, TensorData};
use std::sync::Arc;

/// Towers with and without projection, of both activations.
fn configs() -> [ClipVitConfig; 2] {
    let bare = ClipVitConfig {
        architectures: vec!["CLIPVisionModel".to_owned()],
        hidden_act: Activation::Gelu,
        num_hidden_layers: 3,
        num_attention_heads: 2,
        ..config()
    };
    [config(), bare]
}

type Given = Vec<(&'static str, Value)>;

fn methods() -> Vec<(&'static str, Given)> {
    let int = |name, value| (name, Value::Int(value));
    let steps = int("steps", 0);
    let mut all: Vec<(&str, Given)> = vec![
        ("smile", vec![int("rank", 3), int("router_rank", 2), int("top_k", 2)]),
        ("smile", vec![int("rank", -1), int("router_rank", 2), int("top_k", 1)]),
        ("e_wemoe", vec![steps.clone(), ("prune", Value::Float(0.5))]),
        ("dawe", vec![steps.clone()]),
        ("rankone_moe", vec![steps.clone(), int("rank", 2)]),
    ];
    for layers in 0..3 {
        all.push(("wemoe", vec![steps.clone(), int("router_layers", layers)]));
    }
    all.push(("wemoe", vec![steps, ("parts", Value::Text("both".to_owned()))]));
    all
}

/// As routers come, they say nearly the same to everything; here they do not, and some let only their largest through.
fn excited(mut mixture: Mixture, select: Option<usize>) -> Mixture {
    for (at, router) in mixture.routers.iter_mut().enumerate() {
        let Router::Perceptron(network) = router else { continue };
        let wave = |(number, x): (usize, f32)| 8.0 * x + 0.1 * ((number + at) as f32 * 0.9).sin();
        let mut network = network.with_numbers(network.numbers().into_iter().enumerate().map(wave));
        network.select = select;
        *router = Router::Perceptron(Arc::new(network));
    }
    mixture
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// The mixture with experts of some layers only, and the routers that these have.
fn only(mixture: &Mixture, wanted: impl Fn(&str) -> bool) -> Mixture {
    let (mut places, mut routers) = (Vec::new(), Vec::new());
    for place in &mixture.body.places {
        let mut place = place.clone();
        place.layers.retain(|layer| wanted(&layer.weight));
        if !place.layers.is_empty() {
            routers.push(mixture.routers[place.router].clone());
            place.router = routers.len() - 1;
            places.push(place);
        }
    }
    Mixture { body: Arc::new(Body { places, ..(*mixture.body).clone() }), routers }
}

fn agrees_there_and_back(config: &ClipVitConfig, mixture: &Mixture, what: &str) {
    let device = Device::flex().autodiff();
    let tower = MixedClipVit::new(config, mixture, &device).unwrap();
    let images = read(pixels(5));
    let shape = [3, 12, 12];
    let tensor = Tensor::<4>::from_data(TensorData::new(images.clone(), [5, 3, 12, 12]), &device);
    let routed = tower.features(tensor);
    let (features, weights) = (read(routed.features.clone()), read(routed.weights));
    let host = HostMixture::new(config, mixture).unwrap();
    let found = host.features(&images, shape);
    assert_close(&found.features, &features);
    assert_close(&found.weights, &weights);
    let plain = Tensor::<4>::from_data(TensorData::new(images.clone(), [5, 3, 12, 12]), &Device::flex());
    let on_device = MixedClipVit::new(config, mixture, &Device::flex()).unwrap();
    assert_close(&host.asked(&images, shape), &read(on_device.asked(plain)));
    let image = images.len() / 5;
    let alone = host.features(&images[3 * image..4 * image], shape);
    assert_close(&alone.features, &found.features[3 * features.len() / 5..4 * features.len() / 5]);
    assert_close(&alone.weights, &found.weights[3 * weights.len() / 5..4 * weights.len() / 5]);

    if !host.has_way_back() {
        return;
    }
    let width = features.len() / 5;
    let over: Vec<f32> = (0..features.len()).map(|at| (at as f32 * 0.37).cos()).collect();
    let wanted = Tensor::<2>::from_data(TensorData::new(over.clone(), [5, width]), &device);
    let loss = (routed.features * wanted).sum();
    let slopes = tower.router_gradients(&loss.backward()).unwrap();
    let passages = [host.pass(&images[..2 * image], shape), host.pass(&images[2 * image..], shape)];
    for (at, seen) in host.seen(&passages).iter().enumerate() {
        assert_close(seen, &routed.seen[at].clone().map_or(Vec::new(), |seen| read(seen.mean_dim(0))));
    }
    let mut found = host.zero();
    let (first, second) = over.split_at(2 * width);
    for (passage, over) in passages.into_iter().zip([first, second]) {
        host.back(passage, over, &mut found);
    }
    for (found, slope) in found.iter().zip(&slopes) {
        let largest = slope.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        assert!(largest > 0.0, "{what}: nothing depends on a router");
        for (found, slope) in found.iter().zip(slope) {
            assert!((found - slope).abs() < 1e-4 + 1e-3 * largest, "{what}: {found} {slope}, of {largest}");
        }
    }
}

#[test]
fn there_and_back_it_is_what_burn_makes_of_it() {
    for config in configs() {
        let base = random_weights(&config, 3).unwrap();
        let experts = [expert(&base, 0.3), expert(&base, 1.1), expert(&base, 2.3)];
        for (id, given) in methods() {
            for select in [None, Some(2)] {
                let mixture = excited(mixture(id, &given, &base, &experts), select);
                agrees_there_and_back(&config, &mixture, &format!("{id} {given:?} {select:?}"));
            }
        }
    }
}

/// How far all tokens have to go in the last block depends on which of its layers routers look at.
#[test]
fn routers_look_at_all_tokens_wherever_in_the_last_block_they_are() {
    // Squares, so that a router fits in front of any of them.
    let config = ClipVitConfig { intermediate_size: 12, projection_dim: 12, ..config() };
    let base = random_weights(&config, 3).unwrap();
    let experts = [expert(&base, 0.3), expert(&base, 1.1)];
    let int = |name, value| (name, Value::Int(value));
    let given = [int("steps", 0), int("router_layers", 2), ("parts", Value::Text("both".to_owned()))];
    let both = excited(mixture("wemoe", &given, &base, &experts), None);
    for (parts, reach) in [
        (vec!["q_proj"], Reach::Keys),
        (vec!["v_proj", "k_proj"], Reach::Keys),
        (vec!["out_proj"], Reach::Attention),
        (vec!["fc1"], Reach::Attention),
        (vec!["fc2"], Reach::All),
        (vec!["q_proj", "out_proj", "fc2"], Reach::All),
    ] {
        let mixture = only(&both, |weight| parts.iter().any(|part| weight.contains(part)));
        assert_eq!(HostMixture::new(&config, &mixture).unwrap().reach(), reach, "{parts:?}");
        agrees_there_and_back(&config, &mixture, &format!("{parts:?}"));
    }
    let mut projected = only(&both, |weight| weight.contains("layers.1.mlp.fc1"));
    let body = Arc::make_mut(&mut projected.body);
    let layer = &mut body.places[0].layers[0];
    "visual_projection.weight".clone_into(&mut layer.weight);
    layer.changes.iter_mut().for_each(|change| change.bias.clear());
    agrees_there_and_back(&config, &projected, "the projection");
}

#[test]
fn a_mixture_of_another_network_is_refused() {
    let base = random_weights(&config(), 3).unwrap();
    let mixture = mixture("smile", &[], &base, &[expert(&base, 0.3)]);
    for other in
        [ClipVitConfig { num_hidden_layers: 1, ..config() }, ClipVitConfig { intermediate_size: 24, ..config() }]
    {
        assert!(HostMixture::new(&other, &mixture).is_err());
    }
}

/// The query of the last block is only asked for the class token when images are answered.
#[test]
fn who_is_asked_counts_all_tokens_of_the_last_block() {
    let config = ClipVitConfig { num_hidden_layers: 1, ..config() };
    let base = random_weights(&config, 3).unwrap();
    let experts = [expert(&base, 0.3), expert(&base, 1.1)];
    let mixture = mixture(
        "smile",
        &[("rank", Value::Int(2)), ("router_rank", Value::Int(2)), ("top_k", Value::Int(2))],
        &base,
        &experts,
    );
    let place = mixture.body.places.iter().position(|place| place.name.ends_with("q_proj")).unwrap();

    let mut plain = ClipVit::new(&config, &Device::flex()).unwrap();
    plain.load(&base).unwrap();
    let mut wanted = Vec::new();
    plain.watch(pixels(1), 0, |linear, input| {
        if linear == (Linear::Attention { layer: 0 }) {
            let said = ask(&mixture.routers[mixture.body.places[place].router], &read(input.clone()), 12, 1);
            let Gates::Tokens(gates) = said.gates else { panic!("routed by images") };
            wanted = means(&gates, 2, gates.len() / 2);
        }
    });
    let host = HostMixture::new(&config, &mixture).unwrap();
    let images = read(pixels(1));
    let all = host.asked(&images, [3, 12, 12]);
    assert_close(&all[2 * place..][..2], &wanted);
    let class = host.features(&images, [3, 12, 12]).weights;
    assert!((class[2 * place] - wanted[0]).abs() > 1e-3, "{class:?} {wanted:?}");
}
