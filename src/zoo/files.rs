//! Where the zoo's files come from: the binary itself, or a folder of the same layout.

use super::ZooError;
use crate::tasks::{Split, Task};
use crate::weights::Source;
use std::path::{Path, PathBuf};

pub(super) const TASKS: &str = "data/tasks.json";
pub(super) const CONFIG: &str = "config.json";
pub(super) const SCORES: &str = "scores.json";
pub(super) const HEADS: &str = "heads.safetensors";
pub(super) const BASE: &str = "base.safetensors";
/// In the metadata of the heads: how they were made.
pub(super) const ABOUT: &str = "about";

pub(super) fn expert(task: &str) -> String {
    format!("experts/{task}.safetensors")
}

pub(super) fn images(task: &str, split: Split) -> String {
    format!("data/{task}/{split}.safetensors.gz")
}

macro_rules! embed {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/zoo/", $name)))),*]
    };
}

/// Everything but the training data.
static EMBEDDED: &[(&str, &[u8])] = embed![
    "data/tasks.json",
    "config.json",
    "scores.json",
    "heads.safetensors",
    "base.safetensors",
    "experts/mnist.safetensors",
    "experts/letters.safetensors",
    "experts/fashion.safetensors",
    "experts/emoji.safetensors",
    "experts/optdigits.safetensors",
    "experts/animals.safetensors",
    "experts/scripts.safetensors",
    "experts/clipart.safetensors",
    "data/mnist/validation.safetensors.gz",
    "data/letters/validation.safetensors.gz",
    "data/fashion/validation.safetensors.gz",
    "data/emoji/validation.safetensors.gz",
    "data/optdigits/validation.safetensors.gz",
    "data/animals/validation.safetensors.gz",
    "data/scripts/validation.safetensors.gz",
    "data/clipart/validation.safetensors.gz",
    "data/mnist/test.safetensors.gz",
    "data/letters/test.safetensors.gz",
    "data/fashion/test.safetensors.gz",
    "data/emoji/test.safetensors.gz",
    "data/optdigits/test.safetensors.gz",
    "data/animals/test.safetensors.gz",
    "data/scripts/test.safetensors.gz",
    "data/clipart/test.safetensors.gz",
];

/// A set of files by name, `/`-separated.
#[derive(Debug, Clone)]
pub(super) enum Files {
    Embedded,
    Folder(PathBuf),
}

impl Files {
    /// A file's bytes: embedded ones as they lie in the binary, others mapped.
    pub fn get(&self, name: &str) -> Result<Source, ZooError> {
        match self {
            Self::Embedded => match EMBEDDED.iter().find(|(known, _)| *known == name) {
                Some((_, bytes)) => Ok(Source::Static(bytes)),
                None if name.contains("/train.") => Err(ZooError::NotEmbedded { file: name.to_owned() }),
                None => Err(ZooError::Missing { file: name.to_owned(), dir: None }),
            },
            Self::Folder(dir) => {
                let path = dir.join(name);
                if !path.is_file() {
                    return Err(ZooError::Missing { file: name.to_owned(), dir: Some(dir.clone()) });
                }
                Ok(Source::map(&path)?)
            }
        }
    }

    /// A text file, parsed from JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, ZooError> {
        serde_json::from_slice(self.get(name)?.bytes())
            .map_err(|error| ZooError::Damaged { file: name.to_owned(), reason: error.to_string() })
    }

    /// The list of tasks. Their ids become names of files, tensors and models.
    pub fn tasks(&self) -> Result<Vec<Task>, ZooError> {
        let tasks: Vec<Task> = self.json(TASKS)?;
        let damaged = |reason: String| ZooError::Damaged { file: TASKS.to_owned(), reason };
        let plain = |id: &str| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !id.is_empty() && id.bytes().all(letter) && id != "base"
        };
        if tasks.is_empty() {
            return Err(damaged("it lists no task".to_owned()));
        }
        for (at, task) in tasks.iter().enumerate() {
            let id = &task.id;
            if !plain(id) {
                return Err(damaged(format!(
                    "`{id}` cannot be the id of a task: it takes letters, digits, - and _, and is not `base`"
                )));
            }
            if tasks[..at].iter().any(|before| before.id == *id) {
                return Err(damaged(format!("two tasks have the id `{id}`")));
            }
        }
        Ok(tasks)
    }

    /// How messages name a file.
    pub fn label(&self, name: &str) -> String {
        match self {
            Self::Embedded => format!("zoo:{name}"),
            Self::Folder(dir) => dir.join(Path::new(name)).display().to_string(),
        }
    }
}
