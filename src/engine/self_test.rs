//! The fixed computation on which a device must agree with the CPU: a small vision tower forward, and the gradient of
//! an entropy by merging coefficients, ⟨∂L/∂θ, τ⟩, which is what coefficient learning asks of a device.

use super::EngineError;
use crate::models::clip_vit::{ClipVit, ClipVitConfig, random_weights};
use crate::weights::StateDict;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};

const EXPERTS: u64 = 2;
const COEFFICIENT: f32 = 0.3;
const IMAGES: usize = 4;

/// What a device computed.
pub(super) struct Answer {
    pub features: Vec<f32>,
    /// One per expert.
    pub gradient: Vec<f32>,
}

/// Runs the test on one device.
///
/// # Errors
/// When the device fails.
pub(super) fn run(device: &Device) -> Result<Answer, EngineError> {
    let config = config()?;
    let base = random_weights(&config, 1)?;
    let expert = |at| random_weights(&config, 2 + at);
    let experts = (0..EXPERTS).map(expert).collect::<Result<Vec<_>, _>>()?;
    let merged = merge(base.clone(), &experts);

    let pixels = pixels(config.image_size);
    let shape = [IMAGES, 3, config.image_size, config.image_size];
    let mut network = ClipVit::new(&config, device)?;
    network.load(&merged)?;
    let features = network.features(Tensor::<4>::from_data(TensorData::new(pixels.clone(), shape), device));

    let tracked = device.clone().autodiff();
    let mut network = ClipVit::new(&config, &tracked)?;
    network.load(&merged)?;
    let input = Tensor::<4>::from_data(TensorData::new(pixels, shape), &tracked);
    let shares = softmax(network.differentiable_features(input), 1);
    let entropy = (shares.clone() * shares.log()).sum().neg();
    let gradients = network.gradients(&entropy.backward())?;
    let gradient = experts.iter().map(|expert| inner_product(&gradients, expert, &base)).collect();
    Ok(Answer { features: read(features)?, gradient })
}

fn config() -> Result<ClipVitConfig, EngineError> {
    let json = serde_json::json!({
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "image_size": 16, "patch_size": 8, "num_channels": 3, "projection_dim": 16,
        "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
        "architectures": ["CLIPVisionModelWithProjection"],
    });
    serde_json::from_value(json).map_err(|error| EngineError::Panic(error.to_string()))
}

/// A fixed, uneven pattern in −1..1.
fn pixels(size: usize) -> Vec<f32> {
    (0..IMAGES * 3 * size * size).map(|at| ((at * 37 % 101) as f32 / 50.0) - 1.0).collect()
}

/// θ₀ + Σ λ(θᵢ − θ₀)
fn merge(mut merged: StateDict, experts: &[StateDict]) -> StateDict {
    let base = merged.clone();
    for expert in experts {
        for ((out, base), expert) in merged.tensors_mut().iter_mut().zip(base.tensors()).zip(expert.tensors()) {
            let crate::weights::Data::Float(out) = &mut out.data else { continue };
            let pairs = base.values().unwrap_or_default().iter().zip(expert.values().unwrap_or_default());
            out.iter_mut().zip(pairs).for_each(|(out, (base, expert))| *out += COEFFICIENT * (expert - base));
        }
    }
    merged
}

fn inner_product(gradients: &StateDict, expert: &StateDict, base: &StateDict) -> f32 {
    let mut sum = 0.0;
    for gradient in gradients.tensors() {
        let of =
            |weights: &StateDict| weights.get(&gradient.name).and_then(|tensor| tensor.values().map(<[f32]>::to_vec));
        let (Some(expert), Some(base)) = (of(expert), of(base)) else { continue };
        let values = gradient.values().unwrap_or_default();
        sum += values.iter().zip(expert.iter().zip(base)).map(|(g, (e, b))| f64::from(g * (e - b))).sum::<f64>();
    }
    sum as f32
}

fn read(tensor: Tensor<2>) -> Result<Vec<f32>, EngineError> {
    let data = tensor.try_into_data().map_err(|error| EngineError::Device(format!("{error:?}")))?;
    data.try_into_vec().map_err(|error| EngineError::Device(format!("{error:?}")))
}
