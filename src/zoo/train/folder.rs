//! The folder that a zoo is trained into, and what in it is finished.

use super::options::{AddOptions, Recipe};
use crate::files::write_bytes;
use crate::models::clip_vit::ClipVitConfig;
use crate::tasks::{Images, Split, Task};
use crate::weights::{Checkpoint, DType, Data, StateDict, Tensor, WeightsError, write_safetensors};
use crate::zoo::files::{self, Files};
use crate::zoo::{Head, Scores, Zoo, ZooError, images};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Beside the checkpoints: the options that they were made with.
const OPTIONS: &str = "training.json";

pub(super) struct Folder {
    data: Files,
    out: PathBuf,
    config: ClipVitConfig,
}

impl Folder {
    /// A folder for a zoo made of `data`. Stages that were finished with other options are removed.
    pub fn open(data: &Path, out: &Path, recipe: &Recipe) -> Result<Self, ZooError> {
        recipe.config.check()?;
        let config = recipe.config.clone();
        let folder = Self { data: Files::Folder(data.to_owned()), out: out.to_owned(), config };
        folder.begin(&json(&recipe.options)?, &[files::BASE, files::HEADS, files::SCORES])?;
        folder.write(files::CONFIG, &json(&folder.config)?)?;
        if out != data {
            folder.write(files::TASKS, &json(&folder.tasks()?)?)?;
            folder.copy_images()?;
        }
        Ok(folder)
    }

    /// A folder for all that `zoo` has and the tasks of `data`, of which stages that were finished with other options or
    /// beside another zoo are removed.
    pub fn beside(zoo: &Zoo, data: &Path, out: &Path, options: &AddOptions) -> Result<Self, ZooError> {
        let read = zoo.folder().into_iter().chain([data]);
        if let Some(path) = read.filter_map(|path| path.canonicalize().ok()).find(|path| is(out, path)) {
            return Err(ZooError::SameFolder { path });
        }
        let config = zoo.config().clone();
        let folder = Self { data: Files::Folder(data.to_owned()), out: out.to_owned(), config };
        let new = folder.tasks()?;
        if let Some(task) = new.iter().find(|task| zoo.task(&task.id).is_some()) {
            return Err(ZooError::TaskTaken { task: task.id.clone() });
        }
        let made_of = serde_json::json!({ "zoo": zoo.fingerprint(), "tasks": &new, "options": options });
        folder.begin(&json(&made_of)?, &[files::HEADS, files::SCORES])?;
        for name in zoo.file_names() {
            folder.copy(zoo.files(), &name)?;
        }
        folder.copy_images()?;
        folder.write(files::TASKS, &json(&zoo.tasks().iter().chain(&new).collect::<Vec<_>>())?)?;
        Ok(folder)
    }

    /// Removes what was made otherwise than it is `wanted` now.
    fn begin(&self, wanted: &str, stale: &[&str]) -> Result<(), ZooError> {
        if std::fs::read_to_string(self.out.join(OPTIONS)).ok().as_deref() != Some(wanted) {
            for stale in stale {
                remove(&self.out.join(stale))?;
            }
            for task in self.tasks()? {
                remove(&self.out.join(files::expert(&task.id)))?;
            }
        }
        self.write(OPTIONS, wanted)
    }

    /// What results are measured on, so that the new zoo can be explored by itself.
    fn copy_images(&self) -> Result<(), ZooError> {
        for task in self.tasks()? {
            for split in [Split::Validation, Split::Test] {
                self.copy(&self.data, &files::images(&task.id, split))?;
            }
        }
        Ok(())
    }

    fn copy(&self, from: &Files, name: &str) -> Result<(), ZooError> {
        let (path, file) = (self.out.join(name), from.get(name)?);
        if std::fs::read(&path).is_ok_and(|there| there == file.bytes()) {
            return Ok(());
        }
        write_bytes(&path, file.bytes()).map_err(|source| WeightsError::Write { path, source }.into())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), ZooError> {
        let path = self.out.join(name);
        write_bytes(&path, text.as_bytes()).map_err(|source| WeightsError::Write { path, source }.into())
    }

    pub fn tasks(&self) -> Result<Vec<Task>, ZooError> {
        self.data.tasks()
    }

    pub fn images(&self, task: &Task, split: Split) -> Result<Images, ZooError> {
        images::read(&self.data, &files::images(&task.id, split), task.len(split), task.classes.len())
    }

    pub fn has_base(&self) -> bool {
        self.out.join(files::BASE).exists()
    }

    pub fn has_heads(&self) -> bool {
        self.out.join(files::HEADS).exists()
    }

    pub fn has_expert(&self, task: &Task) -> bool {
        self.out.join(files::expert(&task.id)).exists()
    }

    pub fn base(&self) -> Result<StateDict, ZooError> {
        Ok(StateDict::load(&Checkpoint::open(&self.out.join(files::BASE))?))
    }

    pub fn write_base(&self, weights: &StateDict) -> Result<(), ZooError> {
        Ok(write_safetensors(&self.out.join(files::BASE), weights, &BTreeMap::new())?)
    }

    pub fn write_expert(&self, task: &Task, weights: &StateDict) -> Result<(), ZooError> {
        Ok(write_safetensors(&self.out.join(files::expert(&task.id)), weights, &BTreeMap::new())?)
    }

    /// In the order of the tasks.
    pub fn heads(&self) -> Result<Vec<Head>, ZooError> {
        let file = Checkpoint::open(&self.out.join(files::HEADS))?;
        let dim = self.config.projection_dim;
        self.tasks()?.iter().map(|task| Head::read(&file, &task.id, task.classes.len(), dim)).collect()
    }

    pub fn write_heads<'a>(
        &self,
        heads: impl Iterator<Item = (&'a Task, &'a Head)>,
        about: String,
    ) -> Result<(), ZooError> {
        let mut scale = 1.0;
        let tensor = |(task, head): (&Task, &Head)| {
            scale = head.scale;
            let data = Data::Float(head.rows.clone());
            Tensor { name: task.id.clone(), shape: vec![head.classes, head.dim], dtype: DType::F32, data }
        };
        let rows = StateDict::new(heads.map(tensor).collect());
        let metadata = BTreeMap::from([("scale".to_owned(), scale.to_string()), (files::ABOUT.to_owned(), about)]);
        Ok(write_safetensors(&self.out.join(files::HEADS), &rows, &metadata)?)
    }

    pub fn write_scores(&self, scores: &Scores) -> Result<(), ZooError> {
        self.write(files::SCORES, &json(scores)?)
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, ZooError> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n")
        .map_err(|error| ZooError::Damaged { file: OPTIONS.to_owned(), reason: error.to_string() })
}

/// Whether a folder, which need not exist, is the one at `path`.
fn is(folder: &Path, path: &Path) -> bool {
    folder.canonicalize().is_ok_and(|folder| folder == path)
}

fn remove(path: &Path) -> Result<(), ZooError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(ZooError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
