//! FusionBench's YAML: a method's configuration and a model pool, in one file with `method` and `modelpool`, or in two.

mod compose;
mod methods;
mod pool;
mod table;

pub(super) use compose::Files;
pub use pool::Pool;

use super::error::{DocumentError, Fault};
use super::node::Node;
use super::{Document, yaml};
use compose::Tree;
use std::path::Path;

/// Reads a method and a pool; `pool` is the second file where they stand in two.
pub(super) fn read(
    (text, label): (&str, &str),
    pool: Option<(&str, &str)>,
    files: &Files,
) -> Result<(Document, Vec<String>), DocumentError> {
    let mut notes = Vec::new();
    let tree = open(text, label, files)?;
    let root = tree.node.map("the document").map_err(|fault| fault.within(label))?;
    let method = root.get("method").map_or(&tree.node, |node| node);
    let whole = root.get("method").is_some();
    if pool.is_none() && !whole && (root.get("models").is_some() || root.get("modelpool").is_some()) {
        return Err(Fault::nowhere("this is a model pool without a method")
            .hint("name the method: fusebench merge METHOD --pool FILE")
            .within(label));
    }
    let read = methods::read(method, &tree, &mut notes).map_err(|fault| fault.within(label))?;
    let pool = match (pool, root.get("modelpool")) {
        (Some((text, label)), _) => {
            let tree = open(text, label, files)?;
            let root = tree.node.map("the document").map_err(|fault| fault.within(label))?;
            let node = root.get("modelpool").unwrap_or(&tree.node);
            pool::read(node, &tree, &mut notes).map_err(|fault| fault.within(label))?
        }
        (None, Some(node)) => pool::read(node, &tree, &mut notes).map_err(|fault| fault.within(label))?,
        (None, None) => {
            return Err(Fault::nowhere("this names a method and no models")
                .hint("give the model pool too: fusebench merge METHOD.yaml --pool POOL.yaml")
                .within(label));
        }
    };
    let document = read.with(pool).map_err(|fault| fault.within(label))?;
    Ok((document, notes))
}

/// Reads a pool alone.
///
/// # Errors
/// A file that cannot be read, or is no pool.
pub(super) fn read_pool(text: &str, path: &Path) -> Result<(Pool, Vec<String>), DocumentError> {
    let label = path.display().to_string();
    let mut notes = Vec::new();
    let tree = open(text, &label, &Files::beside(path))?;
    let root = tree.node.map("the document").map_err(|fault| fault.within(&label))?;
    let node = root.get("modelpool").unwrap_or(&tree.node);
    let pool = pool::read(node, &tree, &mut notes).map_err(|fault| fault.within(&label))?;
    Ok((pool, notes))
}

/// A file with its `defaults` put in.
fn open(text: &str, label: &str, files: &Files) -> Result<Tree, DocumentError> {
    let nodes = yaml::read(text).map_err(|fault| fault.within(label))?;
    let node: Node = match <[Node; 1]>::try_from(nodes) {
        Ok([node]) => node,
        Err(nodes) if nodes.is_empty() => return Err(Fault::nowhere("the file is empty").within(label)),
        Err(nodes) => return Err(nodes[1].fault("FusionBench's files hold one document").within(label)),
    };
    files.compose(node).map(|node| Tree { node }).map_err(|fault| fault.within(label))
}
