//! Everything that decides what training results in.

use crate::models::clip_vit::ClipVitConfig;
use serde::{Deserialize, Serialize};

/// The recipe's numbers; the defaults made the zoo that is shipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainOptions {
    pub seed: u64,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub base_steps: usize,
    /// Peak of the one-cycle schedule.
    pub base_rate: f64,
    pub base_batch: usize,
    pub expert_steps: usize,
    pub expert_rate: f64,
    pub expert_batch: usize,
    /// Training images a class that prototypes are averaged over.
    pub shots: usize,
    /// Length of the random vector that is added to a prototype of length 1.
    pub noise: f32,
    /// What cosines are multiplied with to become logits.
    pub scale: f32,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            hidden_size: 128,
            intermediate_size: 512,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            base_steps: 2500,
            base_rate: 2e-3,
            base_batch: 128,
            expert_steps: 250,
            expert_rate: 2e-4,
            expert_batch: 96,
            shots: 300,
            noise: 2.2,
            scale: 16.0,
        }
    }
}

impl TrainOptions {
    /// Towers of these sizes for the zoo's images; whether there can be such is for [`ClipVitConfig::check`].
    #[must_use]
    pub fn config(&self) -> ClipVitConfig {
        ClipVitConfig {
            architectures: vec!["CLIPVisionModelWithProjection".to_owned()],
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            projection_dim: 64,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            image_size: 28,
            patch_size: 7,
            ..ClipVitConfig::default()
        }
    }
}
