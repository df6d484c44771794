//! References to models: `PATH[@REVISION][+ADAPTER[@REVISION]]`, as text or spelled out as a map.

use super::error::Fault;
use super::node::{Kind, Node};

/// Longest reference.
const LONGEST: usize = 4096;

/// Reads a reference; the text is what `fusebench merge --expert` takes.
pub(super) fn read(node: &Node, what: &str) -> Result<String, Fault> {
    let Kind::Map(_) = &node.kind else { return text(node, what) };
    let map = node.map(what)?;
    map.only(&["model", "lora", "override_architecture"])?;
    if let Some(architecture) = map.get("override_architecture") {
        return Err(architecture
            .fault("`override_architecture` means nothing here: tensors are matched by name")
            .hint("leave it out"));
    }
    let model = part(map.require("model")?, "model")?;
    let adapter = map.get("lora").map(|lora| part(lora, "lora")).transpose()?;
    Ok(adapter.map_or_else(|| model.clone(), |adapter| format!("{model}+{adapter}")))
}

/// `PATH[@REVISION]`, or `{path, revision}`.
fn part(node: &Node, what: &str) -> Result<String, Fault> {
    let Kind::Map(_) = &node.kind else { return text(node, what) };
    let map = node.map(what)?;
    map.only(&["path", "revision"])?;
    let path = text(map.require("path")?, "path")?;
    Ok(map.text("revision")?.map_or_else(|| path.clone(), |revision| format!("{path}@{revision}")))
}

fn text(node: &Node, what: &str) -> Result<String, Fault> {
    let text = node.text(what).map_err(|_| node.wrong(what, "a path, a hub id, or a map with `model` and `lora`"))?;
    checked(node, what, text)
}

/// A reference, as it is used; `node` is where it stands.
pub(super) fn checked(node: &Node, what: &str, text: &str) -> Result<String, Fault> {
    let text = text.trim();
    if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
        return Err(node.wrong(what, "a path or a hub id"));
    }
    if text.matches('+').count() > 1 && !std::path::Path::new(text).exists() {
        return Err(node.fault(format!("`{text}` has more than one `+`")).hint("one adapter at a time: MODEL+ADAPTER"));
    }
    Ok(text.to_owned())
}
