//! The tensors of a model by block: the numbered layers of each of its stacks, and what lies before, after and between.

use crate::fusion::{Groups, layer};
use crate::weights::TensorInfo;
use std::collections::{BTreeMap, BTreeSet};

/// Blocks in network order, and which one each tensor belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blocks {
    names: Vec<String>,
    /// Tensors by block, as indices, in their own order; no block is empty.
    members: Vec<Vec<usize>>,
}

impl Blocks {
    /// Models of one stack have the blocks that layer-wise coefficients speak of ([`Groups`]): embeddings, layers, head. Of
    /// models with several stacks (encoder and decoder, two towers) every stack has layers of its own; models without
    /// numbered layers are divided by the first part of the names.
    #[must_use]
    pub fn of(tensors: &[TensorInfo]) -> Self {
        let stacks: BTreeSet<&str> = tensors.iter().filter_map(|info| Some(layer(&info.name)?.0)).collect();
        if stacks.len() == 1 {
            let groups = Groups::of(tensors);
            return Self::by(tensors, groups.names().to_vec(), |name| groups.index(name));
        }
        let label = |name: &str| match layer(name) {
            Some((stack, number, _)) if !stacks.is_empty() => (short(stack, &stacks), Some(number)),
            _ => (top(name, &stacks).to_owned(), None),
        };
        // By stack in the order of first appearance; within it first what has no number, then the layers.
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (at, info) in tensors.iter().enumerate() {
            let (stack, number) = label(&info.name);
            first.entry(stack.clone()).or_insert(at);
            seen.insert((stack, number));
        }
        let mut keys: Vec<(String, Option<usize>)> = seen.into_iter().collect();
        keys.sort_by_key(|(stack, number)| (first.get(stack).copied(), *number));
        let index: BTreeMap<_, _> = keys.iter().cloned().enumerate().map(|(at, key)| (key, at)).collect();
        let name = |(stack, number): &(String, Option<usize>)| match number {
            Some(number) => format!("{stack} layer {number}"),
            None => stack.clone(),
        };
        Self::by(tensors, keys.iter().map(name).collect(), |name| index.get(&label(name)).copied().unwrap_or(0))
    }

    fn by(tensors: &[TensorInfo], names: Vec<String>, of: impl Fn(&str) -> usize) -> Self {
        let mut members = vec![Vec::new(); names.len()];
        tensors.iter().enumerate().for_each(|(at, info)| members[of(&info.name)].push(at));
        let (names, members) =
            names.into_iter().zip(members).filter(|(_, members): &(_, Vec<usize>)| !members.is_empty()).unzip();
        Self { names, members }
    }

    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Blocks with the indices of their tensors.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.names.iter().map(String::as_str).zip(self.members.iter().map(Vec::as_slice))
    }
}

/// What tells a stack from the others: the first part of its path in which not all agree.
fn short(stack: &str, stacks: &BTreeSet<&str>) -> String {
    let parts: Vec<Vec<&str>> = stacks.iter().map(|stack| stack.split('.').collect()).collect();
    let own: Vec<&str> = stack.split('.').collect();
    let at = (0..own.len()).find(|&at| parts.iter().any(|other| other.get(at) != own.get(at)));
    at.and_then(|at| own.get(at)).map_or_else(|| stack.to_owned(), |part| (*part).to_owned())
}

/// The stack that a tensor without a number belongs to, or the first part of its name.
fn top<'a>(name: &'a str, stacks: &BTreeSet<&str>) -> &'a str {
    // ONNX and TensorFlow put slashes between the parts.
    let parts = || name.split(['.', '/']);
    parts()
        .find(|part| stacks.iter().any(|stack| short(stack, stacks) == *part))
        .or_else(|| parts().next())
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Checkpoint, DType, Data, Source, Tensor};

    fn blocks(names: &[&str]) -> Vec<String> {
        let tensor = |name: &&str| Tensor {
            name: (*name).to_owned(),
            shape: vec![1],
            dtype: DType::F32,
            data: Data::Float(vec![0.0]),
        };
        let tensors: Vec<Tensor> = names.iter().map(tensor).collect();
        let bytes = safetensors::serialize(tensors.iter().map(|t| (t.name.as_str(), t)), None).unwrap();
        let checkpoint = Checkpoint::from_source("test", Source::Owned(bytes.into())).unwrap();
        let blocks = Blocks::of(checkpoint.tensors());
        assert_eq!(blocks.iter().map(|(_, members)| members.len()).sum::<usize>(), names.len());
        blocks.iter().map(|(name, members)| format!("{name} {}", members.len())).collect()
    }

    #[test]
    fn one_stack_has_the_blocks_of_the_sliders() {
        let names = ["emb.weight", "h.10.fc.bias", "h.2.fc.bias", "h.2.fc.weight", "ln_f.weight"];
        assert_eq!(blocks(&names), ["embeddings 1", "layer 2 2", "layer 10 1", "head 1"]);
    }

    #[test]
    fn stacks_are_kept_apart() {
        let t5 = [
            "decoder.block.0.a",
            "decoder.final_layer_norm.a",
            "encoder.block.0.a",
            "encoder.block.1.a",
            "shared.weight",
        ];
        assert_eq!(
            blocks(&t5),
            ["decoder 1", "decoder layer 0 1", "encoder layer 0 1", "encoder layer 1 1", "shared 1"]
        );
        let clip =
            ["logit_scale", "text_model.encoder.layers.0.a", "vision_model.encoder.layers.0.a", "vision_model.post.a"];
        assert_eq!(
            blocks(&clip),
            ["logit_scale 1", "text_model layer 0 1", "vision_model 1", "vision_model layer 0 1"]
        );
    }

    #[test]
    fn without_layers_the_first_part_of_the_name_decides() {
        assert_eq!(blocks(&["conv1.weight", "fc.bias", "fc.weight"]), ["conv1 1", "fc 2"]);
        assert_eq!(blocks(&[]), Vec::<String>::new());
        assert_eq!(layer("x.layers.y"), None);
        assert_eq!(layer("layers.12.a"), Some(("layers", 12, "a")));
        assert_eq!(layer("h.0"), Some(("h", 0, "")));
    }
}
