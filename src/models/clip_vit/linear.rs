//! The linear layers of a tower, by what they are given.

use super::ClipVit;

/// Linear layers that are given the same inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Linear {
    /// Query, key and value of a block.
    Attention {
        layer: usize,
    },
    /// What attention ends in.
    Out {
        layer: usize,
    },
    Fc1 {
        layer: usize,
    },
    Fc2 {
        layer: usize,
    },
    /// What the tower ends in, where it does.
    Projection,
}

impl Linear {
    /// The names of the weights, `[out, in]` in a checkpoint.
    #[must_use]
    pub fn weights(self) -> Vec<String> {
        let of = |layer: usize, parts: &[&str]| {
            parts.iter().map(|part| format!("vision_model.encoder.layers.{layer}.{part}.weight")).collect()
        };
        match self {
            Self::Attention { layer } => of(layer, &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
            Self::Out { layer } => of(layer, &["self_attn.out_proj"]),
            Self::Fc1 { layer } => of(layer, &["mlp.fc1"]),
            Self::Fc2 { layer } => of(layer, &["mlp.fc2"]),
            Self::Projection => vec!["visual_projection.weight".to_owned()],
        }
    }
}

impl ClipVit {
    /// All of the tower's linear layers, in the order in which they are reached.
    #[must_use]
    pub fn linears(&self) -> Vec<Linear> {
        let block =
            |layer| [Linear::Attention { layer }, Linear::Out { layer }, Linear::Fc1 { layer }, Linear::Fc2 { layer }];
        let blocks = (0..self.config().num_hidden_layers).flat_map(block);
        blocks.chain(self.projection().map(|_| Linear::Projection)).collect()
    }
}
