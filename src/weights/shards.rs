//! Sharded checkpoints: `model.safetensors.index.json` says which tensor lies in which file.

use super::WeightsError;
use super::header::Twice;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The index that Hugging Face's libraries write beside sharded files.
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// An index is text about names; a larger file is something else.
const LARGEST: u64 = 256 << 20;

#[derive(Debug, Deserialize)]
struct Parts {
    weight_map: BTreeMap<String, String>,
}

/// Tensor → file name, and the files in name order.
#[derive(Debug)]
pub(super) struct Index {
    pub path: PathBuf,
    pub of: BTreeMap<String, String>,
    pub files: Vec<String>,
}

/// Reads an index and checks that each of its files is there.
///
/// # Errors
/// An index that is no index, names tensors twice, or names files outside of its folder; missing shards.
pub(super) fn read(path: &Path) -> Result<Index, WeightsError> {
    let io = |source| WeightsError::Io { path: path.to_owned(), source };
    let malformed = |reason: String| WeightsError::Malformed { label: path.display().to_string(), reason };
    if fs::metadata(path).map_err(io)?.len() > LARGEST {
        return Err(malformed("larger than 256 MiB, so not an index".to_owned()));
    }
    let bytes = fs::read(path).map_err(io)?;
    let parts: Parts =
        serde_json::from_slice(&bytes).map_err(|error| malformed(format!("the index cannot be read: {error}")))?;
    if let Some(name) = duplicate_in_map(&bytes) {
        return Err(malformed(format!("tensor `{name}` stands twice in the index")));
    }
    let files: BTreeSet<&String> = parts.weight_map.values().collect();
    let outside = |name: &str| Path::new(name).components().count() != 1 || name.contains(['/', '\\']) || name == "..";
    if let Some(file) = files.iter().find(|file| outside(file)) {
        return Err(malformed(format!("the index names `{file}`, which is not a file of its own folder")));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let missing: Vec<&str> =
        files.iter().filter(|file| !folder.join(file).exists()).map(|file| file.as_str()).collect();
    if let Some(first) = missing.first() {
        let tensors = parts.weight_map.values().filter(|file| missing.contains(&file.as_str())).count();
        return Err(WeightsError::MissingShard {
            path: folder.join(first),
            missing: missing.len(),
            shards: files.len(),
            tensors,
        });
    }
    let files = files.into_iter().cloned().collect();
    Ok(Index { path: path.to_owned(), of: parts.weight_map, files })
}

fn duplicate_in_map(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Names {
        weight_map: Twice,
    }
    serde_json::from_slice::<Names>(bytes).ok()?.weight_map.0
}
