//! The folder that a zoo is trained into, and what in it is finished.

use super::TrainOptions;
use crate::files::write_bytes;
use crate::models::clip_vit::ClipVitConfig;
use crate::tasks::{Images, Split, Task};
use crate::weights::{Checkpoint, DType, Data, StateDict, Tensor, WeightsError, write_safetensors};
use crate::zoo::files::{self, Files};
use crate::zoo::{Head, Scores, ZooError, images};
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
    /// Stages that were finished with other options are removed.
    pub fn open(data: &Path, out: &Path, options: &TrainOptions) -> Result<Self, ZooError> {
        let config = options.config();
        config.check()?;
        let folder = Self { data: Files::Folder(data.to_owned()), out: out.to_owned(), config };
        let wanted = json(options)?;
        if std::fs::read_to_string(out.join(OPTIONS)).ok().as_deref() != Some(&wanted) {
            for stale in [files::BASE, files::HEADS, files::SCORES] {
                remove(&out.join(stale))?;
            }
            for task in folder.tasks()? {
                remove(&out.join(files::expert(&task.id)))?;
            }
        }
        folder.write(OPTIONS, &wanted)?;
        folder.write(files::CONFIG, &json(&folder.config)?)?;
        if out != data {
            folder.write(files::TASKS, &json(&folder.tasks()?)?)?;
            folder.copy_images()?;
        }
        Ok(folder)
    }

    /// What results are measured on, so that the new zoo can be explored by itself.
    fn copy_images(&self) -> Result<(), ZooError> {
        for task in self.tasks()? {
            for split in [Split::Validation, Split::Test] {
                let name = files::images(&task.id, split);
                let path = self.out.join(&name);
                if !path.exists() {
                    let bytes = self.data.get(&name)?;
                    write_bytes(&path, bytes.bytes()).map_err(|source| WeightsError::Write { path, source })?;
                }
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), ZooError> {
        let path = self.out.join(name);
        write_bytes(&path, text.as_bytes()).map_err(|source| WeightsError::Write { path, source }.into())
    }

    pub fn tasks(&self) -> Result<Vec<Task>, ZooError> {
        self.data.json(files::TASKS)
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

    pub fn write_heads(&self, heads: &[Head], about: String) -> Result<(), ZooError> {
        let tensor = |(task, head): (Task, &Head)| {
            let data = Data::Float(head.rows.clone());
            Tensor { name: task.id, shape: vec![head.classes, head.dim], dtype: DType::F32, data }
        };
        let scale = heads.first().map_or(1.0, |head| head.scale);
        let metadata = BTreeMap::from([("scale".to_owned(), scale.to_string()), (files::ABOUT.to_owned(), about)]);
        let rows = StateDict::new(self.tasks()?.into_iter().zip(heads).map(tensor).collect());
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

fn remove(path: &Path) -> Result<(), ZooError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(ZooError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
