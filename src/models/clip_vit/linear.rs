//! The linear layers of a tower, by what they are given.

use super::ClipVit;
use super::forward::Weights;

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
    /// Those of block `layer`, in the order in which they are reached.
    #[must_use]
    pub fn of_block(layer: usize) -> [Self; 4] {
        [Self::Attention { layer }, Self::Out { layer }, Self::Fc1 { layer }, Self::Fc2 { layer }]
    }

    /// The block that it is part of, counted from 0; none for what comes after them.
    #[must_use]
    pub fn block(self) -> Option<usize> {
        match self {
            Self::Attention { layer } | Self::Out { layer } | Self::Fc1 { layer } | Self::Fc2 { layer } => Some(layer),
            Self::Projection => None,
        }
    }

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

/// One linear layer, by block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    Query(usize),
    Key(usize),
    Value(usize),
    Out(usize),
    Fc1(usize),
    Fc2(usize),
    /// What the tower ends in, where it does.
    Projection,
}

impl Part {
    /// The name of the weight, without `vision_model.`
    #[must_use]
    pub fn weight(self) -> String {
        let (layer, part) = match self {
            Self::Query(layer) => (layer, "self_attn.q_proj"),
            Self::Key(layer) => (layer, "self_attn.k_proj"),
            Self::Value(layer) => (layer, "self_attn.v_proj"),
            Self::Out(layer) => (layer, "self_attn.out_proj"),
            Self::Fc1(layer) => (layer, "mlp.fc1"),
            Self::Fc2(layer) => (layer, "mlp.fc2"),
            Self::Projection => return "visual_projection.weight".to_owned(),
        };
        format!("encoder.layers.{layer}.{part}.weight")
    }
}

impl ClipVit {
    /// All of the tower's linear layers, one by one.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let block = |layer| {
            [Part::Query, Part::Key, Part::Value, Part::Out, Part::Fc1, Part::Fc2]
                .map(|part: fn(usize) -> Part| part(layer))
        };
        let blocks = (0..self.config().num_hidden_layers).flat_map(block);
        blocks.chain(self.projection().map(|_| Part::Projection)).collect()
    }

    /// A linear layer's weight and bias; nothing for a projection that the tower has not.
    pub(super) fn part(&self, part: Part) -> Option<Weights<'_>> {
        let some = |(weight, bias)| Some((weight, Some(bias)));
        match part {
            Part::Query(layer) => some(self.layer(layer).query),
            Part::Key(layer) => some(self.layer(layer).key),
            Part::Value(layer) => some(self.layer(layer).value),
            Part::Out(layer) => some(self.layer(layer).out),
            Part::Fc1(layer) => some(self.layer(layer).fc1),
            Part::Fc2(layer) => some(self.layer(layer).fc2),
            Part::Projection => self.projection().map(|weight| (weight, None)),
        }
    }

    /// All of the tower's linear layers, in the order in which they are reached.
    #[must_use]
    pub fn linears(&self) -> Vec<Linear> {
        let blocks = (0..self.config().num_hidden_layers).flat_map(Linear::of_block);
        blocks.chain(self.projection().map(|_| Linear::Projection)).collect()
    }
}
