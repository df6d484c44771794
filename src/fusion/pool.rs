//! The models that are fused: a base and experts fine-tuned from it, checked to fit together.

use super::FusionError;
use crate::weights::{Checkpoint, TensorInfo};
use std::collections::HashMap;
use std::sync::Arc;

/// A base model and its experts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool {
    base: Option<Checkpoint>,
    experts: Vec<(String, Checkpoint)>,
    groups: Arc<Groups>,
    /// All of the models, where this pool shows only some of their tensors.
    whole: Option<Arc<Pool>>,
}

impl Pool {
    /// Puts a pool together; names are those that recipes and charts use.
    ///
    /// # Errors
    /// When the models' tensors differ in names or shapes, or one is a float and the other an integer buffer. Float
    /// dtypes may differ.
    pub fn new(base: Option<Checkpoint>, experts: Vec<(String, Checkpoint)>) -> Result<Self, FusionError> {
        let Some(reference) = base.as_ref().or_else(|| experts.first().map(|(_, first)| first)) else {
            return Ok(Self { base, experts, groups: Arc::default(), whole: None });
        };
        for (name, expert) in &experts {
            for info in reference.tensors() {
                let tensor = info.name.clone();
                let Some(other) = expert.get(&info.name) else {
                    return Err(FusionError::MissingTensor { model: name.clone(), tensor });
                };
                if other.info.shape != info.shape {
                    let (got, expected) = (other.info.shape.clone(), info.shape.clone());
                    return Err(FusionError::ShapeMismatch { model: name.clone(), tensor, got, expected });
                }
                if other.info.dtype.is_float() != info.dtype.is_float() {
                    let (got, expected) = (other.info.dtype, info.dtype);
                    return Err(FusionError::KindMismatch { model: name.clone(), tensor, got, expected });
                }
            }
            if let Some(extra) = expert.tensors().iter().find(|info| reference.get(&info.name).is_none()) {
                return Err(FusionError::ExtraTensor { model: name.clone(), tensor: extra.name.clone() });
            }
        }
        let groups = Arc::new(Groups::of(reference.tensors()));
        Ok(Self { base, experts, groups, whole: None })
    }

    #[must_use]
    pub fn base(&self) -> Option<&Checkpoint> {
        self.base.as_ref()
    }

    /// Experts by name, in pool order.
    #[must_use]
    pub fn experts(&self) -> &[(String, Checkpoint)] {
        &self.experts
    }

    /// The blocks that layer-wise coefficients speak of.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The checkpoint whose tensors, shapes, dtypes and order the fused model takes: the base, or the first expert.
    #[must_use]
    pub fn reference(&self) -> Option<&Checkpoint> {
        self.base.as_ref().or_else(|| self.experts.first().map(|(_, first)| first))
    }

    /// Whether both pools hold the very same opened checkpoints in the same order.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |a: &Checkpoint, b: &Checkpoint| a.is_same(b);
        let bases = match (&self.base, &other.base) {
            (Some(a), Some(b)) => same(a, b),
            (None, None) => true,
            _ => false,
        };
        bases
            && self.experts.len() == other.experts.len()
            && self.experts.iter().zip(&other.experts).all(|((_, a), (_, b))| same(a, b))
    }

    /// A window on some tensors of the same models, in the order given: what a method is handed piece by piece when the
    /// models are too large to be fused at once. Blocks stay those of the whole model.
    #[must_use]
    pub fn window<'a>(&self, tensors: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        let experts = self.experts.iter().map(|(name, expert)| (name.clone(), expert.subset(tensors.clone())));
        Self {
            base: self.base.as_ref().map(|base| base.subset(tensors.clone())),
            experts: experts.collect(),
            groups: Arc::clone(&self.groups),
            whole: Some(self.whole.clone().unwrap_or_else(|| Arc::new(self.clone()))),
        }
    }

    /// All of the models, for what a method has to know of the whole; the pool itself unless it is a window.
    #[must_use]
    pub fn whole(&self) -> &Self {
        self.whole.as_deref().unwrap_or(self)
    }

    /// Whether the pool shows only some of the models' tensors.
    #[must_use]
    pub fn is_window(&self) -> bool {
        self.whole.is_some()
    }

    /// The same base with only the named experts, in the order given.
    ///
    /// # Errors
    /// The first name that is not in the pool.
    pub fn select(&self, names: &[String]) -> Result<Self, String> {
        let find =
            |name: &String| self.experts.iter().find(|(expert, _)| expert == name).cloned().ok_or_else(|| name.clone());
        let experts = names.iter().map(find).collect::<Result<_, _>>()?;
        Ok(Self { base: self.base.clone(), experts, groups: Arc::clone(&self.groups), whole: None })
    }
}

/// Tensors by block: embeddings, layer 0, layer 1, …, and what comes after the layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    names: Vec<String>,
    of: HashMap<String, usize>,
}

/// Comes before a layer's number in the name of its block.
const LAYER: &str = "layer ";

impl Groups {
    /// Sorts tensors into blocks by the layer number in their names; the rest goes before or after the layers,
    /// depending on where it stands in the checkpoint's own order of names.
    #[must_use]
    pub fn of(tensors: &[TensorInfo]) -> Self {
        let layers: std::collections::BTreeSet<usize> =
            tensors.iter().filter_map(|info| layer_number(&info.name)).collect();
        let mut names = vec!["embeddings".to_owned()];
        names.extend(layers.iter().map(|layer| format!("{LAYER}{layer}")));
        names.push("head".to_owned());
        let last = names.len() - 1;
        let group = |name: &str| match layer_number(name) {
            Some(layer) => 1 + layers.iter().position(|&known| known == layer).unwrap_or(0),
            None if is_after_layers(name) => last,
            None => 0,
        };
        let of = tensors.iter().map(|info| (info.name.clone(), group(&info.name))).collect();
        Self { names, of }
    }

    /// Every tensor a block of its own, named after it, in the order given.
    #[must_use]
    pub fn per_tensor(tensors: &[TensorInfo]) -> Self {
        let names: Vec<String> = tensors.iter().map(|info| info.name.clone()).collect();
        let of = names.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
        Self { names, of }
    }

    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A block's name where there is little room: of a layer its number.
    #[must_use]
    pub fn short(name: &str) -> &str {
        name.strip_prefix(LAYER).unwrap_or(name)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The block of a tensor; unknown tensors belong to the first.
    #[must_use]
    pub fn index(&self, tensor: &str) -> usize {
        self.of.get(tensor).copied().unwrap_or(0)
    }
}

/// The path before a layer's number, the number, and what follows it: `encoder.block`, 3 and `fc.weight` of
/// `encoder.block.3.fc.weight`.
#[must_use]
pub fn layer(name: &str) -> Option<(&str, usize, &str)> {
    let (start, number) = layer_part(name)?;
    let rest = &name[start + number.len()..];
    Some((&name[..start - 1], number.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}

fn layer_number(name: &str) -> Option<usize> {
    layer(name).map(|(_, number, _)| number)
}

/// The layer's number, and the name with a star in its place, which tensors of other layers share.
pub(super) fn split_layer(name: &str) -> Option<(usize, String)> {
    let (start, number) = layer_part(name)?;
    let layer = number.parse().ok()?;
    Some((layer, format!("{}*{}", &name[..start], &name[start + number.len()..])))
}

/// What stands after `layers`, `layer`, `h`, `block`, `blocks` or `resblocks` in a dotted name, and where it begins.
fn layer_part(name: &str) -> Option<(usize, &str)> {
    let mut start = 0;
    let mut after_mark = false;
    for part in name.split('.') {
        if after_mark {
            return Some((start, part));
        }
        after_mark = matches!(part, "layers" | "layer" | "h" | "block" | "blocks" | "resblocks");
        start += part.len() + 1;
    }
    None
}

fn is_after_layers(name: &str) -> bool {
    ["post_layernorm", "ln_f", "ln_final", "final_layer_norm", "projection", "lm_head", "score", "classifier", "head"]
        .iter()
        .any(|mark| name.contains(mark))
        || name.starts_with("norm.")
        || name.starts_with("model.norm.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_numbers_are_found_in_the_usual_namings() {
        assert_eq!(layer_number("vision_model.encoder.layers.11.mlp.fc1.weight"), Some(11));
        assert_eq!(layer_number("transformer.h.3.ln_1.bias"), Some(3));
        assert_eq!(layer_number("vision_model.embeddings.class_embedding"), None);
        assert_eq!(layer_number("encoder.layers"), None);
        assert_eq!(split_layer("a.layers.11.fc.weight"), Some((11, "a.layers.*.fc.weight".to_owned())));
        assert_eq!(split_layer("a.layers.x.fc"), None);
    }
}
