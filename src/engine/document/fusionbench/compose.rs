//! What Hydra does to a configuration before FusionBench sees it, as far as models and methods need it: `defaults` that
//! name other files, and `${…}` that name other keys.

use super::super::error::Fault;
use super::super::node::{Key, Kind, Map, Node};
use super::super::yaml;
use std::fs;
use std::path::{Path, PathBuf};

/// Files that name files that name files.
const DEEPEST: usize = 6;
/// Files that one configuration may be put together from.
const MOST: usize = 400;

/// Where files named in `defaults` are looked for.
#[derive(Debug, Clone, Default)]
pub(in crate::engine::document) struct Files {
    /// The folder of the file that is read.
    folder: Option<PathBuf>,
}

impl Files {
    /// For text that is not a file.
    pub fn none() -> Self {
        Self::default()
    }

    pub fn beside(path: &Path) -> Self {
        Self { folder: path.parent().map(Path::to_owned) }
    }

    /// The configuration with its defaults put in.
    pub(super) fn compose(&self, node: Node) -> Result<Node, Fault> {
        self.put_in(node, self.folder.as_deref(), DEEPEST, &mut 0)
    }

    fn put_in(&self, node: Node, folder: Option<&Path>, depth: usize, read: &mut usize) -> Result<Node, Fault> {
        let Kind::Map(fields) = &node.kind else { return Ok(node) };
        let Some((_, defaults)) = fields.iter().find(|(key, _)| key.text == "defaults") else { return Ok(node) };
        if depth == 0 {
            return Err(defaults.fault(format!("`defaults` go deeper than {DEEPEST} files")));
        }
        let own = Node {
            at: node.at,
            kind: Kind::Map(fields.iter().filter(|(key, _)| key.text != "defaults").cloned().collect()),
        };
        let mut all = Node { at: node.at, kind: Kind::Map(Vec::new()) };
        let mut own = Some(own);
        for entry in defaults.list("defaults")? {
            match &entry.kind {
                Kind::Scalar { text, .. } if text == "_self_" => all = merged(all, own.take()),
                Kind::Scalar { text, .. } => {
                    let found = self.file(entry, folder, None, text, depth, read)?;
                    all = merged(all, Some(found));
                }
                Kind::Map(pairs) => {
                    for (key, names) in pairs {
                        all = merged(all, self.group(key, names, folder, depth, read)?);
                    }
                }
                Kind::List(_) => return Err(entry.fault("an entry of `defaults` is a name, or a group with names")),
            }
        }
        Ok(merged(all, own))
    }

    /// What `group@package: names` puts in; nothing for packages that have no models.
    fn group(
        &self,
        key: &Key,
        names: &Node,
        folder: Option<&Path>,
        depth: usize,
        read: &mut usize,
    ) -> Result<Option<Node>, Fault> {
        let (group, package) = key.text.split_once('@').unwrap_or((&key.text, &key.text));
        let package = package.trim_start_matches("override ").trim();
        let group = group.trim_start_matches("override ").trim();
        if !matches!(package, "" | "_here_" | "models" | "method" | "modelpool") || names.is_null() {
            return Ok(None);
        }
        let names: Vec<&Node> = match &names.kind {
            Kind::List(items) => items.iter().collect(),
            _ => vec![names],
        };
        let mut all = Node { at: key.at, kind: Kind::Map(Vec::new()) };
        for name in names {
            all = merged(all, Some(self.file(name, folder, Some(group), name.text("defaults")?, depth, read)?));
        }
        if matches!(package, "" | "_here_") {
            return Ok(Some(all));
        }
        let key = Key { text: package.to_owned(), at: key.at };
        Ok(Some(Node { at: all.at, kind: Kind::Map(vec![(key, all)]) }))
    }

    fn file(
        &self,
        entry: &Node,
        folder: Option<&Path>,
        group: Option<&str>,
        name: &str,
        depth: usize,
        read: &mut usize,
    ) -> Result<Node, Fault> {
        let missing = || {
            entry.fault(format!("`{name}` of `defaults` is not found"))
                .hint("read the file where it lies in FusionBench's configuration folder, or print it put together: fusion_bench … --cfg job")
        };
        let plain =
            |text: &str| Path::new(text).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let folder = folder.ok_or_else(missing)?;
        let group = group.unwrap_or_default();
        let absolute = group.strip_prefix('/');
        if !plain(name) || !plain(absolute.unwrap_or(group)) {
            return Err(missing());
        }
        let places: Vec<PathBuf> = match absolute {
            // From the root of the configuration, which is some folder above.
            Some(group) => folder.ancestors().map(|root| root.join(group)).collect(),
            None => folder.ancestors().take(2).map(|root| root.join(group)).collect(),
        };
        let file = format!("{}.yaml", name.trim_end_matches(".yaml"));
        let path = places.iter().map(|place| place.join(&file)).find(|path| path.is_file()).ok_or_else(missing)?;
        *read += 1;
        if *read > MOST || fs::metadata(&path).map_or(0, |meta| meta.len()) > 1 << 20 {
            return Err(entry.fault(format!("{} is too much for `defaults`", path.display())));
        }
        let text = fs::read_to_string(&path).map_err(|error| entry.fault(format!("{}: {error}", path.display())))?;
        let nodes = yaml::read(&text).map_err(|fault| {
            let place = fault.at.map_or_else(String::new, |at| format!(":{at}"));
            entry.fault(format!("{}{place}: {fault}", path.display()))
        })?;
        let Some(node) = nodes.into_iter().next() else {
            return Ok(Node { at: entry.at, kind: Kind::Map(Vec::new()) });
        };
        self.put_in(node, path.parent(), depth - 1, read)
    }
}

/// `over` laid over `below`: maps field by field, everything else replaced.
fn merged(below: Node, over: Option<Node>) -> Node {
    let Some(over) = over else { return below };
    match (below.kind, over.kind) {
        (Kind::Map(mut fields), Kind::Map(more)) => {
            for (key, value) in more {
                match fields.iter_mut().find(|(known, _)| known.text == key.text) {
                    Some((_, known)) => {
                        let before = std::mem::replace(known, Node { at: value.at, kind: Kind::List(Vec::new()) });
                        *known = merged(before, Some(value));
                    }
                    None => fields.push((key, value)),
                }
            }
            Node { at: over.at, kind: Kind::Map(fields) }
        }
        (_, kind) => Node { at: over.at, kind },
    }
}

/// A configuration that has been put together.
pub(super) struct Tree {
    pub node: Node,
}

impl Tree {
    /// The text of a node with all `${…}` in it replaced; `path` are the keys from the root to it.
    pub fn text(&self, node: &Node, path: &[&str]) -> Result<String, Fault> {
        let Kind::Scalar { text, .. } = &node.kind else {
            return Err(node.wrong(path.last().unwrap_or(&"value"), "text"));
        };
        if text == "???" {
            return Err(node.fault(format!("`{}` is still to be filled in (`???`)", path.last().unwrap_or(&"value"))));
        }
        self.filled(node, text, path, 8)
    }

    fn filled(&self, node: &Node, text: &str, path: &[&str], depth: usize) -> Result<String, Fault> {
        let Some((before, rest)) = text.split_once("${") else { return Ok(text.to_owned()) };
        let unknown = |name: &str| node.fault(format!("`${{{name}}}` cannot be resolved")).hint("write the value out");
        let (name, after) = rest.split_once('}').ok_or_else(|| unknown(rest))?;
        if depth == 0 {
            return Err(unknown(name));
        }
        let dots = name.len() - name.trim_start_matches('.').len();
        // One dot is the map that the key stands in, each further one the map around that.
        let start = if dots == 0 { 0 } else { path.len().checked_sub(dots).ok_or_else(|| unknown(name))? };
        let keys: Vec<&str> = path[..start].iter().copied().chain(name.trim_start_matches('.').split('.')).collect();
        let mut found = &self.node;
        for key in &keys {
            found = found.map(key).ok().and_then(|map| map.get(key)).ok_or_else(|| unknown(name))?;
        }
        let Kind::Scalar { text: value, .. } = &found.kind else { return Err(unknown(name)) };
        let value = self.filled(found, value, &keys, depth - 1)?;
        let after = self.filled(node, after, path, depth - 1)?;
        Ok(format!("{before}{value}{after}"))
    }
}

/// The last word of a dotted name.
pub(super) fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The class or function that a map names.
pub(super) fn target(map: &Map<'_>) -> Result<Option<String>, Fault> {
    map.text("_target_")
}
