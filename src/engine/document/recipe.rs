//! Recipes in TOML: `[[merge]]`, once for each merge, with the methods and parameters of the registry.

use super::Document;
use super::error::Fault;
use super::node::Node;
use super::schema;
use crate::fusion::find;
use serde::Serialize;
use std::fmt::Write;

/// Reads the documents of a recipe.
pub(super) fn read(node: &Node, notes: &mut Vec<String>) -> Result<Vec<Document>, Fault> {
    let map = node.map("a recipe")?;
    map.only(&["merge"])?;
    map.require("merge")?.list("merge")?.iter().map(|node| schema::read(node, true, notes)).collect()
}

/// Documents as a recipe, everything spelled out: it must mean the same when defaults have changed.
pub(super) fn write(documents: &[Document]) -> String {
    #[derive(Serialize)]
    struct Recipe<'a> {
        merge: &'a [Document],
    }
    let mut text = String::new();
    for document in documents {
        if let Ok(method) = find(&document.method) {
            let _ = writeln!(text, "# {}: {}", method.name, method.formula);
        }
    }
    // Strings, numbers and lists of them under fixed keys: nothing here that TOML could not express.
    text + &toml::to_string(&Recipe { merge: documents }).unwrap_or_default()
}
