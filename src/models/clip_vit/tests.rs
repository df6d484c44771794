//! Parity with Hugging Face's own outputs, and of the two paths with each other.

use super::{Activation, ClipVit, ClipVitConfig, TracedClipVit, random_weights};
use crate::models::ModelError;
use crate::weights::{Checkpoint, DType, Data, StateDict, Tensor as Named};
use burn::tensor::{Device, Tensor, TensorData};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models").join(name)
}

fn state(path: &Path) -> StateDict {
    StateDict::load(&Checkpoint::open(path).unwrap())
}

fn config(name: &str) -> ClipVitConfig {
    ClipVitConfig::from_json(&std::fs::read_to_string(golden(name).join("config.json")).unwrap()).unwrap()
}

fn model(name: &str, device: &Device) -> ClipVit {
    let mut model = ClipVit::new(&config(name), device).unwrap();
    model.load(&state(&golden(name).join("model.safetensors"))).unwrap();
    model
}

fn inputs(name: &str, device: &Device) -> Tensor<4> {
    let inputs = state(&golden(name).join("inputs.safetensors"));
    let (shape, values) = inputs.require("pixel_values").unwrap();
    Tensor::from_data(TensorData::new(values.to_vec(), shape.to_vec()), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Largest difference relative to the largest expected value.
fn distance(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    got.iter().zip(want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max) / largest
}

fn assert_close(got: &[f32], want: &[f32], tolerance: f32, what: &str) {
    let distance = distance(got, want);
    assert!(distance < tolerance, "{what}: {distance:e} > {tolerance:e}");
}

#[test]
fn outputs_are_hugging_faces() {
    for name in ["clip_vision", "clip_vision_proj"] {
        let device = Device::flex();
        let (model, pixels) = (model(name, &device), inputs(name, &device));
        let outputs = state(&golden(name).join("outputs.safetensors"));
        let want = |output: &str| outputs.require(output).unwrap().1.to_vec();
        let states = model.hidden_states(pixels.clone());
        assert_eq!(states.len(), model.config().num_hidden_layers + 1);
        for (layer, state) in states.iter().enumerate() {
            let output = format!("hidden_states.{layer}");
            assert_close(&values(state.clone()), &want(&output), 1e-5, &output);
        }
        let last = states.last().unwrap().clone();
        assert_close(&values(last), &want("last_hidden_state"), 1e-5, "last_hidden_state");
        let output = if name == "clip_vision" { "pooler_output" } else { "image_embeds" };
        assert_close(&values(model.features(pixels.clone())), &want(output), 1e-5, output);
        assert_close(&values(model.differentiable_features(pixels)), &want(output), 1e-5, output);
    }
}

/// Sizes that divide into nothing evenly, more images than a micro-batch, an image larger than whole patches.
fn odd() -> (ClipVitConfig, StateDict, TensorData) {
    let config = ClipVitConfig {
        architectures: vec!["CLIPVisionModelWithProjection".to_owned()],
        hidden_size: 42,
        intermediate_size: 50,
        projection_dim: 9,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        image_size: 29,
        patch_size: 7,
        ..ClipVitConfig::default()
    };
    let weights = random_weights(&config, 5).unwrap();
    let pixels: Vec<f32> = (0..40 * 3 * 29 * 29).map(|i| (i as f32 * 0.37).sin()).collect();
    (config, weights, TensorData::new(pixels, [40, 3, 29, 29]))
}

#[test]
fn the_fast_path_agrees_with_burns_operations() {
    let (config, weights, pixels) = odd();
    let device = Device::flex();
    let mut model = ClipVit::new(&config, &device).unwrap();
    model.load(&weights).unwrap();
    let pixels = Tensor::from_data(pixels, &device);
    let want = values(model.differentiable_features(pixels.clone()));
    assert_close(&values(model.features(pixels)), &want, 1e-5, "features");
}

#[test]
fn weights_come_back_as_they_were_loaded() {
    let (config, weights, _) = odd();
    let mut model = ClipVit::new(&config, &Device::flex()).unwrap();
    model.load(&weights).unwrap();
    assert_eq!(model.weights(DType::F32).unwrap(), weights);
}

#[test]
fn both_prefixes_and_a_missing_projection_are_accepted() {
    let (config, weights, pixels) = odd();
    let device = Device::flex();
    let short = |tensor: &Named| {
        let name = tensor.name.strip_prefix("vision_model.").unwrap_or(&tensor.name).to_owned();
        Named { name, ..tensor.clone() }
    };
    let mut model = ClipVit::new(&config, &device).unwrap();
    model.load(&StateDict::new(weights.tensors().iter().map(short).collect())).unwrap();
    assert_eq!(model.weights(DType::F32).unwrap(), weights);
    let without = weights.tensors().iter().filter(|tensor| tensor.name != "visual_projection.weight").cloned();
    model.load(&StateDict::new(without.collect())).unwrap();
    assert_eq!(model.feature_dim(), 42);
    let pixels = Tensor::from_data(pixels, &device);
    assert_close(&values(model.features(pixels.clone())), &values(model.pooled(pixels)), 1e-5, "pooled");
    model.load(&weights).unwrap();
    assert_eq!(model.feature_dim(), 9);
}

#[test]
fn one_tensor_is_swapped_in_place() {
    let (config, weights, pixels) = odd();
    let device = Device::flex();
    let mut model = ClipVit::new(&config, &device).unwrap();
    model.load(&weights).unwrap();
    let pixels: Tensor<4> = Tensor::from_data(pixels, &device);
    let before = values(model.features(pixels.clone()));
    let name = "vision_model.encoder.layers.1.mlp.fc1.weight";
    let (_, old) = weights.require(name).unwrap();
    model.load_tensor(name, &vec![0.0; old.len()]).unwrap();
    assert!(distance(&values(model.features(pixels.clone())), &before) > 1e-3);
    model.load_tensor(name, old).unwrap();
    assert_eq!(values(model.features(pixels)), before);
    assert!(matches!(model.load_tensor("lm_head.weight", &[]), Err(ModelError::UnknownTensor { .. })));
    assert!(matches!(model.load_tensor(name, &[1.0]), Err(ModelError::Length { .. })));
}

#[test]
fn a_checkpoint_that_does_not_fit_changes_nothing() {
    let (config, weights, _) = odd();
    let mut model = ClipVit::new(&config, &Device::flex()).unwrap();
    model.load(&weights).unwrap();
    let mut broken = weights.tensors().to_vec();
    broken[3].data = Data::Float(vec![7.0; 42]);
    let dropped = broken.remove(20);
    let error = model.load(&StateDict::new(broken.clone())).unwrap_err();
    assert!(matches!(&error, ModelError::MissingTensor { tensor } if *tensor == dropped.name), "{error}");
    broken.insert(20, Named { shape: vec![1, 2], data: Data::Float(vec![0.0; 2]), ..dropped });
    assert!(matches!(model.load(&StateDict::new(broken)), Err(ModelError::Shape { .. })));
    assert_eq!(model.weights(DType::F32).unwrap(), weights);
}

#[test]
fn gradients_are_slopes() {
    let (config, weights, pixels) = odd();
    let device = Device::flex().autodiff();
    let mut model = ClipVit::new(&config, &device).unwrap();
    model.load(&weights).unwrap();
    let few = Tensor::<4>::from_data(pixels, &device).narrow(0, 0, 2);
    let loss = |model: &ClipVit| model.features(few.clone()).powf_scalar(2.0).sum();
    let gradients = model.gradients(&loss(&model).backward()).unwrap();
    // One whole-tensor direction each: ⟨gradient, direction⟩ against a central difference.
    for name in [
        "vision_model.embeddings.patch_embedding.weight",
        "vision_model.encoder.layers.0.self_attn.q_proj.weight",
        "visual_projection.weight",
        "vision_model.pre_layrnorm.bias",
    ] {
        let (_, start) = weights.require(name).unwrap();
        let direction: Vec<f32> = (0..start.len()).map(|i| (i as f32 * 1.7).cos()).collect();
        let (_, slopes) = gradients.require(name).unwrap();
        let want: f64 = slopes.iter().zip(&direction).map(|(a, b)| f64::from(a * b)).sum();
        let mut at = |step: f32| {
            let moved: Vec<f32> = start.iter().zip(&direction).map(|(a, b)| a + step * b).collect();
            model.load_tensor(name, &moved).unwrap();
            f64::from(values(loss(&model))[0])
        };
        let step = 2e-3;
        let got = (at(step) - at(-step)) / (2.0 * f64::from(step));
        at(0.0);
        assert!((got / want - 1.0).abs() < 0.02, "{name}: {got} and {want}");
    }
}

#[test]
fn the_fast_way_back_agrees_with_burns_autodiff() {
    let (odd, weights, pixels) = odd();
    let pixels = pixels.try_into_vec::<f32>().unwrap().repeat(2);
    let image = 3 * 29 * 29;
    let without = weights.tensors().iter().filter(|tensor| tensor.name != "visual_projection.weight").cloned();
    let without = StateDict::new(without.collect());
    for (activation, weights) in [(Activation::QuickGelu, &weights), (Activation::Gelu, &without)] {
        let config = ClipVitConfig { hidden_act: activation, ..odd.clone() };
        let device = Device::flex().autodiff();
        let mut model = ClipVit::new(&config, &device).unwrap();
        model.load(weights).unwrap();
        // More images than pass at once, and two passages that do not have the same number.
        let tower = TracedClipVit::new(&config, weights).unwrap();
        let n = tower.images() + 3;
        let batch = TensorData::new(pixels[..n * image].to_vec(), [n, 3, 29, 29]);
        let features = model.differentiable_features(Tensor::from_data(batch, &device));
        let wave = |at: usize| (at as f32 * 0.9).cos();
        let over: Vec<f32> = (0..n * model.feature_dim()).map(wave).collect();
        let along = Tensor::<2>::from_data(TensorData::new(over.clone(), features.dims()), &device);
        let want = model.gradients(&(features.clone() * along).sum().backward()).unwrap();

        let (mut slope, mut got, mut rest) = (tower.zero(Some(want.clone())), Vec::new(), over.as_slice());
        for pixels in pixels[..n * image].chunks(tower.images() * image) {
            let passage = tower.pass(pixels.to_vec(), [3, 29, 29]);
            got.extend_from_slice(passage.features());
            let (own, others) = rest.split_at(passage.features().len());
            tower.back(passage, own, &mut slope);
            rest = others;
        }
        assert_close(&got, &values(features), 1e-5, "features");
        let slope = tower.named(slope);
        assert_eq!(slope.tensors().len(), want.tensors().len());
        for (got, want) in slope.tensors().iter().zip(want.tensors()) {
            assert_eq!((&got.name, &got.shape), (&want.name, &want.shape));
            let (got_values, want_values) = (got.values().unwrap(), want.values().unwrap());
            if got.name.ends_with("k_proj.bias") {
                // No loss depends on it; what there is, is rounding.
                assert!(got_values.iter().all(|x| x.abs() < 1e-3), "{}", got.name);
            } else {
                assert_close(got_values, want_values, 2e-4, &got.name);
            }
        }
    }
}
