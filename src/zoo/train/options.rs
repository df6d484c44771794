//! Everything that decides what training results in.

use crate::models::clip_vit::ClipVitConfig;
use crate::zoo::Zoo;
use serde::{Deserialize, Serialize};

/// What is optimised, and how.
pub(super) struct Recipe {
    pub config: ClipVitConfig,
    /// Sizes are those of `config`.
    pub options: TrainOptions,
}

impl From<&TrainOptions> for Recipe {
    fn from(options: &TrainOptions) -> Self {
        Self { config: options.config(), options: options.clone() }
    }
}

/// How tasks are learned that a zoo is to have besides its own; the defaults are those of the zoo's own experts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddOptions {
    pub seed: u64,
    /// Steps that an expert is fine-tuned for.
    pub steps: usize,
    pub rate: f64,
    pub batch: usize,
    /// Training images a class that heads are averaged over.
    pub shots: usize,
}

impl Default for AddOptions {
    fn default() -> Self {
        let TrainOptions { seed, expert_steps, expert_rate, expert_batch, shots, .. } = TrainOptions::default();
        Self { seed, steps: expert_steps, rate: expert_rate, batch: expert_batch, shots }
    }
}

impl AddOptions {
    /// For towers as `zoo` has them. Heads are prototypes as they are: to a base that never saw a task they fit badly
    /// enough.
    pub(super) fn recipe(&self, zoo: &Zoo) -> Recipe {
        let config = zoo.config().clone();
        let usual = TrainOptions::default();
        let options = TrainOptions {
            seed: self.seed,
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            num_hidden_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            expert_steps: self.steps,
            expert_rate: self.rate,
            expert_batch: self.batch,
            shots: self.shots,
            noise: 0.0,
            scale: zoo.tasks().first().and_then(|task| zoo.head(&task.id)).map_or(usual.scale, |head| head.scale),
            ..usual
        };
        Recipe { config, options }
    }
}

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
