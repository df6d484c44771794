//! A document in mergekit's words as YAML text.

use crate::engine::document::peer::Peer;
use crate::engine::document::setting::{Condition, Scalar, Setting};
use crate::engine::document::{Document, Settings, Slice, Source};
use serde_json::{Map, Value as Json, json};
use std::fmt::Write;

/// The YAML of a document whose meaning is mergekit's already.
pub(super) fn text(document: &Document, base: Option<&str>, peer: &Peer) -> String {
    let mut text = String::new();
    if let Some(name) = &document.name {
        let _ = writeln!(text, "name: {}", quoted(name));
    }
    let _ = writeln!(text, "merge_method: {}", peer.name);
    if let Some(base) = base {
        let _ = writeln!(text, "base_model: {}", quoted(base));
    }
    sources(&mut text, "", "models", &document.models, peer);
    slices(&mut text, "", &document.slices, peer);
    if !document.modules.is_empty() {
        text.push_str("modules:\n");
    }
    for module in &document.modules {
        let _ = writeln!(text, "  {}:", quoted(&module.name));
        parameters(&mut text, "    ", &module.parameters, peer);
        sources(&mut text, "    ", "models", &module.models, peer);
        slices(&mut text, "    ", &module.slices, peer);
    }
    parameters(&mut text, "", &document.parameters, peer);
    if let Some(dtype) = &document.dtype {
        let torch =
            crate::weights::DType::parse_float(dtype).and_then(crate::weights::DType::torch_name).unwrap_or("float32");
        // Computed in f32 and rounded once, as fusebench does.
        let _ = writeln!(text, "dtype: float32\nout_dtype: {torch}");
    }
    if let Some(tokenizer) = &document.tokenizer {
        let _ = writeln!(text, "tokenizer: {}", json!(tokenizer));
    }
    if let Some(template) = &document.chat_template {
        let _ = writeln!(text, "chat_template: {}", json!(template));
    }
    text
}

fn sources(text: &mut String, indent: &str, key: &str, sources: &[Source], peer: &Peer) {
    if sources.is_empty() {
        return;
    }
    let _ = writeln!(text, "{indent}{key}:");
    for source in sources {
        let _ = writeln!(text, "{indent}  - model: {}", quoted(&source.model));
        if let Some((start, end)) = source.layer_range {
            let _ = writeln!(text, "{indent}    layer_range: [{start}, {end}]");
        }
        parameters(text, &format!("{indent}    "), &source.parameters, peer);
    }
}

fn slices(text: &mut String, indent: &str, slices: &[Slice], peer: &Peer) {
    if slices.is_empty() {
        return;
    }
    let _ = writeln!(text, "{indent}slices:");
    for slice in slices {
        let mut inner = String::new();
        let inside = format!("{indent}    ");
        sources(&mut inner, &inside, "sources", &slice.sources, peer);
        if let Some(base) = &slice.base_model {
            let _ = writeln!(inner, "{inside}base_model: {}", quoted(base));
        }
        parameters(&mut inner, &inside, &slice.parameters, peer);
        // The first line carries the dash.
        let _ = write!(text, "{indent}  - {}", inner.trim_start());
    }
}

fn parameters(text: &mut String, indent: &str, settings: &Settings, peer: &Peer) {
    if settings.is_empty() {
        return;
    }
    let _ = writeln!(text, "{indent}parameters:");
    for (name, setting) in settings {
        let theirs = peer
            .parameters
            .iter()
            .find(|parameter| parameter.ours == name)
            .map_or(name.as_str(), |parameter| parameter.name);
        // JSON on one line is YAML too.
        let _ = writeln!(text, "{indent}  {theirs}: {}", flow(setting));
    }
}

/// A setting as JSON, whole numbers as such.
fn flow(setting: &Setting) -> Json {
    let scalar = |value: &Scalar| match value {
        Scalar::Flag(flag) => json!(flag),
        Scalar::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => json!(*number as i64),
        Scalar::Number(number) => json!(number),
        Scalar::Text(text) => json!(text),
    };
    match setting {
        Setting::One(value) => scalar(value),
        Setting::Gradient(values) => values.iter().map(scalar).collect(),
        Setting::Conditions(conditions) => {
            let condition = |condition: &Condition| {
                let mut map = Map::new();
                if let Some(filter) = &condition.filter {
                    map.insert("filter".to_owned(), json!(filter));
                }
                map.insert("value".to_owned(), flow(&condition.value));
                Json::Object(map)
            };
            conditions.iter().map(condition).collect()
        }
    }
}

/// Text that YAML reads as the same text.
fn quoted(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-@+".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let word = crate::engine::document::node::parse_flag(text).is_some() || matches!(text, "null" | "Null" | "NULL");
    if plain && !word { text.to_owned() } else { json!(text).to_string() }
}
