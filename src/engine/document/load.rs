//! From a file to documents, whatever it was written for.

use super::error::{DocumentError, Fault};
use super::node::Node;
use super::{Document, fusionbench, mixture, recipe, schema, toml, yaml};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// No document is longer; whoever names a checkpoint by mistake gets a message instead of a wait.
const LONGEST: u64 = 1 << 20;

/// What a file was written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Mergekit,
    FusionBench,
    /// Our own, in TOML.
    Recipe,
}

/// What a file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub label: String,
    pub dialect: Dialect,
    /// In an order in which none needs a later one; the last gives the result.
    pub documents: Vec<Document>,
    /// What was read and has no effect here.
    pub notes: Vec<String>,
}

impl Loaded {
    /// Whether a path looks like a document's.
    #[must_use]
    pub fn is_document(path: &Path) -> bool {
        path.extension()
            .is_some_and(|extension| ["yml", "yaml"].iter().any(|yaml| extension.eq_ignore_ascii_case(yaml)))
    }

    /// Reads YAML or TOML, by the file's ending; a FusionBench method may need its `pool` from another file.
    ///
    /// # Errors
    /// A file that cannot be read; whatever is wrong in it, with its line.
    pub fn load(path: &Path, pool: Option<&Path>) -> Result<Self, DocumentError> {
        let text = text(path)?;
        let label = path.display().to_string();
        if let Some(pool_path) = pool {
            let pool_label = pool_path.display().to_string();
            let pool = self::text(pool_path)?;
            let root = fusionbench::Files::beside(pool_path);
            return Self::fusionbench(&text, &label, Some((&pool, &pool_label)), &root);
        }
        Self::parse_beside(&text, &label, &fusionbench::Files::beside(path))
    }

    /// Reads text; `label` names it in messages, and its ending tells TOML from YAML.
    ///
    /// # Errors
    /// As [`Loaded::load`].
    pub fn parse(text: &str, label: &str) -> Result<Self, DocumentError> {
        Self::parse_beside(text, label, &fusionbench::Files::none())
    }

    fn parse_beside(text: &str, label: &str, files: &fusionbench::Files) -> Result<Self, DocumentError> {
        if text.len() as u64 > LONGEST {
            return Err(too_long().within(label));
        }
        let mut notes = Vec::new();
        if label.ends_with(".toml") {
            let documents = toml::read(text).and_then(|node| recipe::read(&node, &mut notes)).and_then(in_order);
            let documents = documents.map_err(|fault| fault.within(label))?;
            return Ok(Self { label: label.to_owned(), dialect: Dialect::Recipe, documents, notes });
        }
        let nodes = yaml::read(text).map_err(|fault| fault.within(label))?;
        match kind(&nodes).map_err(|fault| fault.within(label))? {
            Dialect::FusionBench => Self::fusionbench(text, label, None, files),
            dialect => {
                let read = |node: &Node| {
                    if is_mixture(node) {
                        mixture::read_mergekit(node, &mut notes)
                    } else {
                        schema::read(node, false, &mut notes)
                    }
                };
                let documents: Result<Vec<Document>, Fault> = nodes.iter().map(read).collect();
                let documents = documents.and_then(in_order).map_err(|fault| fault.within(label))?;
                Ok(Self { label: label.to_owned(), dialect, documents, notes })
            }
        }
    }

    fn fusionbench(
        text: &str,
        label: &str,
        pool: Option<(&str, &str)>,
        files: &fusionbench::Files,
    ) -> Result<Self, DocumentError> {
        let (document, notes) = fusionbench::read((text, label), pool, files)?;
        Ok(Self { label: label.to_owned(), dialect: Dialect::FusionBench, documents: vec![document], notes })
    }

    /// The documents as a recipe in TOML.
    #[must_use]
    pub fn to_recipe(&self) -> String {
        recipe::write(&self.documents)
    }
}

/// Reads a model pool of FusionBench alone, with what was read and has no effect.
///
/// # Errors
/// A file that cannot be read; whatever is wrong in it, with its line.
pub fn read_pool(path: &Path) -> Result<(fusionbench::Pool, Vec<String>), DocumentError> {
    fusionbench::read_pool(&text(path)?, path)
}

fn text(path: &Path) -> Result<String, DocumentError> {
    let label = path.display().to_string();
    let unreadable = |error: std::io::Error| Fault::nowhere(format!("cannot be read: {error}")).within(&label);
    let meta = fs::metadata(path).map_err(unreadable)?;
    if meta.len() > LONGEST {
        return Err(too_long().within(&label));
    }
    fs::read_to_string(path).map_err(unreadable)
}

fn too_long() -> Fault {
    Fault::nowhere("larger than 1 MiB, so not a recipe")
        .hint("models are named in a recipe, or given with --base and --expert")
}

fn kind(nodes: &[Node]) -> Result<Dialect, Fault> {
    let Some(first) = nodes.first() else { return Err(Fault::nowhere("the file is empty")) };
    let maps: Vec<_> = nodes.iter().map(|node| node.map("the document")).collect::<Result<_, _>>()?;
    if maps.iter().any(|map| map.has("merge_method")) || nodes.iter().any(is_mixture) {
        return Ok(Dialect::Mergekit);
    }
    if maps
        .iter()
        .any(|map| ["_target_", "method", "modelpool", "defaults", "type", "name"].iter().any(|key| map.has(key)))
    {
        return Ok(Dialect::FusionBench);
    }
    Err(first
        .fault("neither mergekit's (`merge_method`) nor FusionBench's (`method`, `modelpool`)")
        .hint("see `fusebench import --help` for what is read"))
}

/// Whether a document is one of mergekit-moe.
fn is_mixture(node: &Node) -> bool {
    let has = |key: &str| node.map("the document").is_ok_and(|map| map.has(key));
    has("experts") && !["merge_method", "_target_", "method", "modelpool"].into_iter().any(has)
}

/// Orders documents so that none needs a later one; the last is the one without a name, or the only one nobody needs.
fn in_order(documents: Vec<Document>) -> Result<Vec<Document>, Fault> {
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut unnamed = None;
    for (at, document) in documents.iter().enumerate() {
        match &document.name {
            Some(name) if !is_name(name) => {
                return Err(Fault::nowhere(format!("`{name}` cannot be the name of a merge"))
                    .hint("use letters, digits, `-`, `_` and `.`: it becomes a folder"));
            }
            Some(name) if names.insert(name.clone(), at).is_some() => {
                return Err(Fault::nowhere(format!("two merges are called `{name}`")));
            }
            Some(_) => {}
            None if unnamed.replace(at).is_some() => {
                return Err(Fault::nowhere("two merges have no `name`")
                    .hint("all but the last one need a name, by which others use them"));
            }
            None => {}
        }
    }
    let used = |document: &Document| -> Vec<usize> {
        document.references().iter().filter_map(|reference| names.get(part(reference)).copied()).collect()
    };
    let needs: Vec<Vec<usize>> = documents.iter().map(used).collect();
    let last = match unnamed {
        Some(at) => at,
        None => {
            let free: Vec<usize> = (0..documents.len()).filter(|at| needs.iter().all(|of| !of.contains(at))).collect();
            match free[..] {
                [one] => one,
                _ => {
                    return Err(Fault::nowhere(
                        "no merge is the last: leave the `name` out of the one that gives the result",
                    ));
                }
            }
        }
    };
    let mut order = Vec::new();
    let mut state = vec![0u8; documents.len()];
    visit(last, &needs, &mut state, &mut order).map_err(|at| {
        let name = documents[at].name.clone().unwrap_or_default();
        Fault::nowhere(format!("the merge `{name}` needs itself"))
    })?;
    if let Some(idle) = (0..documents.len()).find(|at| !order.contains(at)) {
        let name = documents[idle].name.clone().unwrap_or_default();
        return Err(Fault::nowhere(format!("nothing uses the merge `{name}`"))
            .hint("leave it out, or give it a file of its own"));
    }
    let mut documents: Vec<Option<Document>> = documents.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| documents[at].take()).collect())
}

/// Depth first; the error is a document that needs itself.
fn visit(at: usize, needs: &[Vec<usize>], state: &mut [u8], order: &mut Vec<usize>) -> Result<(), usize> {
    match state[at] {
        2 => return Ok(()),
        1 => return Err(at),
        _ => state[at] = 1,
    }
    for &other in &needs[at] {
        visit(other, needs, state, order)?;
    }
    state[at] = 2;
    order.push(at);
    Ok(())
}

/// A reference without its adapter.
fn part(reference: &str) -> &str {
    reference.split('+').next().unwrap_or(reference)
}

fn is_name(name: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.chars().all(safe)
}
