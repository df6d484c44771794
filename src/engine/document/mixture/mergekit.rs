//! mergekit-moe's own form of a document (mergekit 0.1.5): a base model, experts with prompts, a way to make routers.

use super::super::error::Fault;
use super::super::node::{Key, Map, Node};
use super::super::{Document, Source, reference, schema};
use super::{MOST_EXPERTS, Mixture, Router};

/// Reads a document; `notes` say what of it has no effect here.
///
/// # Errors
/// What is not of this form; routers that need a tokenizer or a forward pass, scaled or disturbed experts, other
/// architectures than Mixtral.
pub(in super::super) fn read(node: &Node, notes: &mut Vec<String>) -> Result<Document, Fault> {
    let map = node.map("the document")?;
    map.only(&["base_model", "experts", "gate_mode", "dtype", "experts_per_token", "shared_experts", "architecture"])?;
    if let Some(shared) = map.get("shared_experts").filter(|node| !is_empty(node)) {
        return Err(shared.fault("Mixtral has no shared experts"));
    }
    if let Some(other) = map.get("architecture")
        && !other.text("architecture")?.eq_ignore_ascii_case("mixtral")
    {
        return Err(other
            .fault("only `mixtral` is written")
            .hint("models built like Llama and Mistral become Mixtral"));
    }
    let experts = map.require("experts")?;
    let models = experts.list("experts")?.iter().map(|node| expert(node, notes)).collect::<Result<Vec<_>, _>>()?;
    let per_token = map.get("experts_per_token").map_or(Ok(2), |node| node.count("experts_per_token", MOST_EXPERTS))?;
    let mixture = Mixture { router: router(&map)?, ..Mixture::new(1, per_token) };
    let document = Document {
        method: "passthrough".to_owned(),
        base_model: Some(reference::read(map.require("base_model")?, "base_model")?),
        dtype: schema::dtype(map.get("dtype"))?,
        mixture: Some(mixture),
        models,
        ..Document::default()
    };
    document.check_mixture(mixture, &map)?;
    Ok(document)
}

fn expert(node: &Node, notes: &mut Vec<String>) -> Result<Source, Fault> {
    const PROMPTS: [&str; 2] = ["positive_prompts", "negative_prompts"];
    let map = node.map("an expert")?;
    map.only(&["source_model", PROMPTS[0], PROMPTS[1], "noise_scale", "residual_scale"])?;
    for (key, neutral) in [("noise_scale", 0.0), ("residual_scale", 1.0)] {
        if let Some(node) = map.get(key)
            && node.number(key)?.to_bits() != f64::to_bits(neutral)
        {
            return Err(node.fault(format!("`{key}` is only read at {neutral}: experts are taken as they are")));
        }
    }
    for Key { text, at, .. } in map.fields.iter().map(|(key, _)| key).filter(|key| PROMPTS.contains(&&*key.text)) {
        notes.push(format!("line {}: `{text}` has no effect on routers that are made at random", at.line));
    }
    let model = reference::read(map.require("source_model")?, "source_model")?;
    Ok(Source { model, ..Source::default() })
}

/// `gate_mode`, which is `hidden` where it is missing.
fn router(map: &Map<'_>) -> Result<Router, Fault> {
    let (text, at) = match map.get("gate_mode") {
        Some(node) => (node.text("gate_mode")?, node.at),
        None => ("hidden", map.at),
    };
    match text {
        "random" => Ok(Router::Normal),
        "uniform_random" => Ok(Router::Uniform),
        "hidden" | "hidden_avg" | "hidden_last" | "cheap_embed" => Err(Fault::at(
            at,
            format!("`gate_mode: {text}`, which prompts decide, is not read: nothing here runs them through the model"),
        )
        .hint("set `gate_mode: random` (or uniform_random) and train the routers, or let mergekit-moe make them")),
        _ => Err(Fault::at(at, format!("`gate_mode` cannot be `{}`", super::super::node::shortened(text)))
            .hint("random or uniform_random")),
    }
}

fn is_empty(node: &Node) -> bool {
    node.list("shared_experts").is_ok_and(<[Node]>::is_empty)
}
