//! From a path to the files of a checkpoint: one file, a Hugging Face folder, a sharded folder.

use super::header;
use super::shards::{self, INDEX};
use super::{Checkpoint, Source, TensorInfo, WeightsError};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One file of a checkpoint.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// Nothing for bytes that never were a file.
    pub path: Option<PathBuf>,
    pub source: Source,
    pub stamp: Option<Stamp>,
}

/// What a file system tells of a file that changes when its contents do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified: (i64, i64),
    inode: (u64, u64),
}

impl Stamp {
    fn of(path: &Path) -> std::io::Result<Self> {
        let meta = fs::metadata(path)?;
        Ok(Self { bytes: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()), inode: (meta.dev(), meta.ino()) })
    }
}

impl File {
    pub(super) fn map(path: &Path) -> Result<Self, WeightsError> {
        let stamp = Stamp::of(path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })?;
        Ok(Self { path: Some(path.to_owned()), source: Source::map(path)?, stamp: Some(stamp) })
    }
}

impl Checkpoint {
    /// Whether its files are those that were opened: neither written to nor replaced since.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check_unchanged(&self) -> Result<(), WeightsError> {
        for (path, stamp) in self.stamps() {
            if Stamp::of(path).ok().as_ref() != Some(stamp) {
                return Err(WeightsError::Changed { path: path.to_owned() });
            }
        }
        Ok(())
    }

    /// Its files' names, sizes and times as text: equal as long as the files are the same.
    #[must_use]
    pub fn identity(&self) -> String {
        self.stamps().map(|(path, stamp)| format!("{} {stamp:?}\n", path.display())).collect()
    }
}

/// Opens what lies at `path`; see [`Checkpoint::open`].
pub(super) fn open(path: &Path) -> Result<Checkpoint, WeightsError> {
    let label = path.display().to_string();
    if !path.is_dir() {
        return single(label, path);
    }
    let (whole, index) = (path.join("model.safetensors"), path.join(INDEX));
    if whole.exists() {
        return single(label, &whole);
    }
    if index.exists() {
        return sharded(label, path, &shards::read(&index)?);
    }
    single(label, &only_file(path)?)
}

fn single(label: String, path: &Path) -> Result<Checkpoint, WeightsError> {
    let file = File::map(path)?;
    let (tensors, metadata) = header::read(&path.display().to_string(), file.source.bytes(), 0)?;
    Ok(Checkpoint::assemble(label, vec![file], tensors, metadata))
}

fn sharded(label: String, folder: &Path, index: &shards::Index) -> Result<Checkpoint, WeightsError> {
    let malformed = |reason: String| WeightsError::Malformed { label: index.path.display().to_string(), reason };
    let (mut files, mut tensors, mut metadata) = (Vec::new(), Vec::<TensorInfo>::new(), BTreeMap::new());
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (at, name) in index.files.iter().enumerate() {
        let path = folder.join(name);
        let file = File::map(&path)?;
        let (infos, more) = header::read(&path.display().to_string(), file.source.bytes(), at)?;
        for info in &infos {
            if let Some(other) = seen.insert(info.name.clone(), at) {
                let other = &index.files[other];
                return Err(malformed(format!("tensor `{}` is in both {other} and {name}", info.name)));
            }
        }
        tensors.extend(infos);
        metadata.extend(more);
        files.push(file);
    }
    for (tensor, file) in &index.of {
        let found = seen.get(tensor).map(|&at| &index.files[at]);
        if found != Some(file) {
            let where_else = found.map_or_else(|| "in none".to_owned(), |other| format!("in {other}"));
            return Err(malformed(format!("tensor `{tensor}` should be in {file} but is {where_else}")));
        }
    }
    Ok(Checkpoint::assemble(label, files, tensors, metadata))
}

/// The safetensors file of a folder that has only one, whatever its name.
fn only_file(folder: &Path) -> Result<PathBuf, WeightsError> {
    let refuse = |reason: String| WeightsError::Folder { path: folder.to_owned(), reason };
    let entries = fs::read_dir(folder).map_err(|source| WeightsError::Io { path: folder.to_owned(), source })?;
    let mut names: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    names.sort();
    let ending = |path: &PathBuf, end: &str| path.extension().is_some_and(|extension| extension == end);
    let tensors: Vec<&PathBuf> = names.iter().filter(|path| ending(path, "safetensors")).collect();
    match tensors[..] {
        [one] if one.file_name().is_some_and(|name| name == "adapter_model.safetensors") => {
            Err(WeightsError::Adapter { path: folder.to_owned() })
        }
        [one] => Ok(one.clone()),
        [] => match names.iter().find(|path| ["bin", "pt", "pth", "ckpt"].iter().any(|end| ending(path, end))) {
            Some(pickle) => Err(WeightsError::Pickle { path: pickle.clone() }),
            None => Err(refuse("no model.safetensors in this folder".to_owned())),
        },
        _ => Err(refuse(format!(
            "{} safetensors files and no {INDEX} that says how they belong together",
            tensors.len()
        ))),
    }
}
