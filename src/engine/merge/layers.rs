//! Which part of a model a tensor belongs to, read off its name: no list of architectures is needed.

use crate::weights::TensorInfo;
use std::collections::BTreeMap;

/// Where a tensor is, in the order in which a model computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Embeddings and what comes before the layers.
    Before,
    Layer {
        /// The name up to the layer's number: what counts its layers.
        stack: String,
        index: usize,
        /// The name after the number.
        rest: String,
    },
    /// Final norms, heads.
    After,
}

/// What stands before the number of a layer.
const WORDS: [&str; 7] = ["layers", "layer", "h", "block", "blocks", "resblocks", "layers_list"];

/// Parts of names of what comes after the layers.
const AFTER: [&str; 14] = [
    "lm_head",
    "ln_f",
    "ln_final",
    "ln_post",
    "final_layer_norm",
    "final_layernorm",
    "post_layernorm",
    "projection",
    "score",
    "classifier",
    "embed_out",
    "pooler",
    "proj_out",
    "cls.",
];

/// Where the tensor of that name is.
pub(super) fn place(name: &str) -> Place {
    let parts: Vec<&str> = name.split('.').collect();
    let number = |at: usize| parts.get(at).and_then(|part| part.parse::<usize>().ok());
    let named = (0..parts.len()).find(|&at| WORDS.contains(&parts[at]) && number(at + 1).is_some()).map(|at| at + 1);
    let Some(at) = named.or_else(|| (1..parts.len()).find(|&at| number(at).is_some())) else {
        return outside(name, &parts);
    };
    let Some(index) = number(at) else { return outside(name, &parts) };
    Place::Layer { stack: parts[..at].join("."), index, rest: parts[at + 1..].join(".") }
}

fn outside(name: &str, parts: &[&str]) -> Place {
    // `norm` alone is the last one; those of embeddings are called after them.
    let norm = parts.iter().any(|part| matches!(*part, "norm" | "output" | "head"));
    if norm || AFTER.iter().any(|mark| name.contains(mark)) { Place::After } else { Place::Before }
}

/// The number of layers of every stack.
pub(super) fn stacks<'a>(tensors: impl IntoIterator<Item = &'a TensorInfo>) -> BTreeMap<String, usize> {
    let mut stacks = BTreeMap::new();
    for info in tensors {
        if let Place::Layer { stack, index, .. } = place(&info.name) {
            let layers = stacks.entry(stack).or_insert(0);
            *layers = (*layers).max(index + 1);
        }
    }
    stacks
}

/// What a module of a model of several is called, and how the names of its tensors begin.
const MODULES: [(&str, &[&str]); 5] = [
    (
        "vision_tower",
        &["vision_tower.", "vision_model.", "visual.", "model.visual.", "model.vision_tower.", "model.vision_model."],
    ),
    (
        "vision_model",
        &["vision_model.", "vision_tower.", "visual.", "model.visual.", "model.vision_model.", "model.vision_tower."],
    ),
    (
        "multi_modal_projector",
        &[
            "multi_modal_projector.",
            "model.multi_modal_projector.",
            "visual.merger.",
            "model.visual.merger.",
            "connector.",
            "model.connector.",
        ],
    ),
    ("encoder", &["encoder.", "model.encoder."]),
    ("shared", &["shared."]),
];

/// Modules that everything else belongs to.
const REST: [&str; 3] = ["default", "text_decoder", "decoder"];

/// Which of the modules that a recipe names a tensor belongs to; the error is what it belongs to and is not named.
pub(super) fn module_of(name: &str, modules: &[&str]) -> Result<usize, String> {
    let begins = |module: &str| -> Option<usize> {
        let own = [format!("{module}."), format!("model.{module}.")];
        let known = MODULES.iter().find(|(known, _)| *known == module).map_or(&[][..], |(_, begins)| begins);
        let all = own.iter().map(String::as_str).chain(known.iter().copied());
        all.filter(|start| name.starts_with(start)).map(str::len).max()
    };
    let longest = |names: &mut dyn Iterator<Item = &str>| -> Option<(usize, String)> {
        names.filter_map(|module| Some((begins(module)?, module.to_owned()))).max_by_key(|(length, _)| *length)
    };
    let named = modules
        .iter()
        .enumerate()
        .filter_map(|(at, module)| Some((begins(module)?, at)))
        .max_by_key(|(length, _)| *length);
    // The first of those that fit equally well.
    let known = longest(&mut MODULES.iter().rev().map(|(module, _)| *module));
    match (named, known) {
        (Some((length, at)), known) if known.as_ref().is_none_or(|(longer, _)| *longer <= length) => Ok(at),
        (_, Some((_, module))) if !modules.contains(&"default") => Err(module),
        _ => modules.iter().position(|module| REST.contains(module)).ok_or_else(|| "text_decoder".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_where_a_tensor_is() {
        let layer = |stack: &str, index, rest: &str| Place::Layer { stack: stack.into(), index, rest: rest.into() };
        for (name, expected) in [
            ("model.layers.11.mlp.up_proj.weight", layer("model.layers", 11, "mlp.up_proj.weight")),
            (
                "model.layers.3.block_sparse_moe.experts.1.w1.weight",
                layer("model.layers", 3, "block_sparse_moe.experts.1.w1.weight"),
            ),
            (
                "encoder.block.0.layer.1.DenseReluDense.wo.weight",
                layer("encoder.block", 0, "layer.1.DenseReluDense.wo.weight"),
            ),
            ("transformer.h.2.ln_1.bias", layer("transformer.h", 2, "ln_1.bias")),
            ("stage.4.conv.weight", layer("stage", 4, "conv.weight")),
            ("model.embed_tokens.weight", Place::Before),
            ("embeddings.LayerNorm.weight", Place::Before),
            ("model.norm.weight", Place::After),
            ("lm_head.weight", Place::After),
            ("transformer.ln_f.bias", Place::After),
        ] {
            assert_eq!(place(name), expected, "{name}");
        }
    }

    #[test]
    fn modules_are_found_by_how_names_begin() {
        let modules = ["text_decoder", "vision_tower"];
        assert_eq!(module_of("model.layers.0.x", &modules), Ok(0));
        assert_eq!(module_of("visual.blocks.0.x", &modules), Ok(1));
        assert_eq!(module_of("visual.merger.0.x", &modules), Err("multi_modal_projector".into()));
        assert_eq!(module_of("encoder.block.0.x", &["encoder", "decoder", "shared"]), Ok(0));
        assert_eq!(module_of("lm_head.weight", &["encoder", "decoder", "shared"]), Ok(1));
        assert_eq!(module_of("vision_tower.x", &["text_decoder"]), Err("vision_tower".into()));
        assert_eq!(module_of("visual.x", &["default"]), Ok(0));
    }
}
