//! The sizes of a CLIP vision tower, as `config.json` gives them.

use crate::models::ModelError;
use serde::{Deserialize, Serialize};

/// The non-linearity between the two halves of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x · σ(1.702 x)
    #[default]
    QuickGelu,
    /// x · Φ(x)
    Gelu,
}

/// `CLIPVisionConfig`; keys that do not change the forward pass are ignored, missing ones take CLIP-ViT-B/32's values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipVitConfig {
    pub architectures: Vec<String>,
    pub model_type: String,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub projection_dim: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_channels: usize,
    /// Side of the square input image, in pixels.
    pub image_size: usize,
    /// Side of a square patch, in pixels.
    pub patch_size: usize,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
}

impl Default for ClipVitConfig {
    fn default() -> Self {
        Self {
            architectures: vec!["CLIPVisionModel".to_owned()],
            model_type: "clip_vision_model".to_owned(),
            hidden_size: 768,
            intermediate_size: 3072,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl ClipVitConfig {
    /// Reads a `config.json`: a vision tower's own, or a whole CLIP's, whose `vision_config` is taken.
    ///
    /// # Errors
    /// Malformed JSON, unknown activations, sizes that do not fit together.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let config_error = |error: serde_json::Error| ModelError::Config { reason: error.to_string() };
        let mut value: serde_json::Value = serde_json::from_str(text).map_err(config_error)?;
        if let Some(vision) = value.get_mut("vision_config") {
            value = vision.take();
        }
        let config: Self = serde_json::from_value(value).map_err(config_error)?;
        config.check()?;
        Ok(config)
    }

    /// # Errors
    /// The first size that makes no model.
    pub fn check(&self) -> Result<(), ModelError> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_channels", self.num_channels),
            ("patch_size", self.patch_size),
            ("image_size", self.image_size),
            ("projection_dim", self.projection_dim),
        ];
        // Far beyond any model there is, and small enough that no product of sizes overflows.
        if let Some((name, value)) = sizes.iter().find(|(_, value)| !(1..=1 << 16).contains(value)) {
            return Err(ModelError::Config { reason: format!("{name} is {value}, outside 1 to 65536") });
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
            let reason = format!("hidden_size {hidden} cannot be split over {heads} attention heads");
            return Err(ModelError::Config { reason });
        }
        if self.image_size < self.patch_size {
            let reason = format!("patch_size {} is larger than image_size {}", self.patch_size, self.image_size);
            return Err(ModelError::Config { reason });
        }
        Ok(())
    }

    /// Patches along one side of the image; pixels beyond the last whole patch are not looked at.
    #[must_use]
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Length of the token sequence: the class token and one token a patch.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.grid() * self.grid() + 1
    }

    /// Values in one patch.
    #[must_use]
    pub fn patch_len(&self) -> usize {
        self.num_channels * self.patch_size * self.patch_size
    }

    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Whether the architecture that the configuration names ends in a projection.
    #[must_use]
    pub fn names_projection(&self) -> bool {
        !self.architectures.iter().any(|name| name == "CLIPVisionModel")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_clip_gives_its_vision_tower() {
        let text = r#"{"projection_dim": 9, "vision_config": {"hidden_size": 32, "num_attention_heads": 4, "hidden_act": "gelu"}}"#;
        let config = ClipVitConfig::from_json(text).unwrap();
        assert_eq!((config.hidden_size, config.hidden_act, config.tokens()), (32, Activation::Gelu, 50));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let error = |text: &str| ClipVitConfig::from_json(text).unwrap_err().to_string();
        assert!(error(r#"{"hidden_size": 30, "num_attention_heads": 4}"#).contains("4 attention heads"));
        assert!(error(r#"{"num_hidden_layers": 0}"#).contains("num_hidden_layers is 0"));
        assert!(error(r#"{"hidden_act": "mish"}"#).contains("mish"));
        assert!(error(r#"{"image_size": 8}"#).contains("larger than image_size"));
    }
}
