//! Weights to start training from: normal noise of the widths that CLIP uses.

use super::ClipVitConfig;
use super::layout;
use crate::fusion::seeded::normal;
use crate::models::ModelError;
use crate::weights::{DType, Data, StateDict, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Untrained weights under Hugging Face's names, the same for the same seed on every machine.
///
/// # Errors
/// Sizes that make no model.
pub fn random_weights(config: &ClipVitConfig, seed: u64) -> Result<StateDict, ModelError> {
    config.check()?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let width = config.hidden_size as f32;
    let narrow = width.powf(-0.5);
    // Residual branches add up over two per layer; this keeps the sum's variance.
    let branch = narrow * (2.0 * config.num_hidden_layers as f32).powf(-0.5);
    let tensor = |entry: layout::Entry| {
        let name = entry.name.as_str();
        let deviation = match name {
            _ if name.ends_with("bias") => 0.0,
            "embeddings.class_embedding" | "visual_projection.weight" => narrow,
            _ if name.starts_with("embeddings.") => 0.02,
            _ if name.ends_with("out_proj.weight") => narrow,
            _ if name.contains("self_attn") || name.ends_with("fc2.weight") => branch,
            _ if name.ends_with("fc1.weight") => (2.0 * width).powf(-0.5),
            _ => 0.0,
        };
        let rest = if name.contains("norm") && name.ends_with("weight") || name.contains("layrnorm.weight") {
            1.0
        } else {
            0.0
        };
        let values = (0..entry.len()).map(|_| if deviation > 0.0 { normal(&mut rng) * deviation } else { rest });
        let data = Data::Float(values.collect());
        let prefix = if name.starts_with("visual_projection") { "" } else { "vision_model." };
        Tensor { name: format!("{prefix}{name}"), shape: entry.shape.clone(), dtype: DType::F32, data }
    };
    Ok(StateDict::new(layout::entries(config, config.names_projection()).into_iter().map(tensor).collect()))
}
