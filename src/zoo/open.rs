//! An opened zoo. Opening reads headers and small files only; data are decompressed when first asked for.

use super::files::{self, Files};
use super::{Head, Scores, ZooError, images};
use crate::fusion::Pool;
use crate::models::clip_vit::ClipVitConfig;
use crate::tasks::preprocess::InputShape;
use crate::tasks::{Images, Split, Task};
use crate::weights::{Checkpoint, align};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Base, experts, heads and data. Share it in an `Arc`.
#[derive(Debug)]
pub struct Zoo {
    files: Files,
    tasks: Vec<Task>,
    config: ClipVitConfig,
    pool: Pool,
    /// How many of the pool's experts are its own; guests come after them.
    own: usize,
    heads: Vec<Head>,
    about_heads: Option<String>,
    scores: Scores,
    /// Per task: train, validation, test.
    images: Vec<[Mutex<Option<Arc<Images>>>; 3]>,
    fingerprint: OnceLock<String>,
}

impl Zoo {
    /// The zoo in the binary: everything but the training data.
    ///
    /// # Errors
    /// Only in a binary that was built from damaged assets.
    pub fn embedded() -> Result<Self, ZooError> {
        Self::new(Files::Embedded)
    }

    /// A zoo in a folder laid out like `assets/zoo`.
    ///
    /// # Errors
    /// Missing and damaged files, models that do not fit together.
    pub fn open(dir: &Path) -> Result<Self, ZooError> {
        Self::new(Files::Folder(dir.to_owned()))
    }

    fn new(files: Files) -> Result<Self, ZooError> {
        let tasks = files.tasks()?;
        let config = files.get(files::CONFIG)?;
        let config = ClipVitConfig::from_json(&String::from_utf8_lossy(config.bytes()))?;
        let open = |name: &str| Ok::<_, ZooError>(Checkpoint::from_source(files.label(name), files.get(name)?)?);
        let expert = |task: &Task| Ok::<_, ZooError>((task.id.clone(), open(&files::expert(&task.id))?));
        let experts = tasks.iter().map(expert).collect::<Result<_, _>>()?;
        let pool = Pool::new(Some(open(files::BASE)?), experts)?;
        let heads = open(files::HEADS)?;
        let head = |task: &Task| Head::read(&heads, &task.id, task.classes.len(), config.projection_dim);
        let about_heads = heads.metadata().get(files::ABOUT).cloned();
        let heads = tasks.iter().map(head).collect::<Result<_, _>>()?;
        let scores = files.json(files::SCORES)?;
        let images = tasks.iter().map(|_| Default::default()).collect();
        let fingerprint = OnceLock::new();
        let own = tasks.len();
        Ok(Self { files, tasks, config, pool, own, heads, about_heads, scores, images, fingerprint })
    }

    /// Only the data of a zoo whose models are not there yet.
    pub(super) fn data_only(dir: &Path) -> Result<Self, ZooError> {
        let files = Files::Folder(dir.to_owned());
        let tasks = files.tasks()?;
        let images = tasks.iter().map(|_| Default::default()).collect();
        let (config, heads, scores) = (ClipVitConfig::default(), Vec::new(), Scores::default());
        let pool = Pool::new(None, Vec::new())?;
        let (own, about_heads, fingerprint) = (0, None, OnceLock::new());
        Ok(Self { files, tasks, config, pool, own, heads, about_heads, scores, images, fingerprint })
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// Where it lies, unless it is the one in the binary.
    pub(super) fn folder(&self) -> Option<&Path> {
        match &self.files {
            Files::Embedded => None,
            Files::Folder(dir) => Some(dir),
        }
    }

    /// Its models and what results are measured on: everything that does not list or describe its tasks.
    pub(super) fn file_names(&self) -> Vec<String> {
        let mut names = vec![files::CONFIG.to_owned(), files::BASE.to_owned()];
        for task in &self.tasks {
            let images = [Split::Validation, Split::Test].map(|split| files::images(&task.id, split));
            names.extend([files::expert(&task.id)].into_iter().chain(images));
        }
        names
    }

    #[must_use]
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    #[must_use]
    pub fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == id)
    }

    /// The base, one expert a task, named and ordered as the tasks, and the guests.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The experts that belong to it: what a recipe combines that does not say which.
    pub fn own_experts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.pool.experts()[..self.own].iter().map(|(name, _)| name.as_str())
    }

    /// The zoo with one more model to choose: merged elsewhere, or fine-tuned from the same base. Names of tensors may
    /// differ by what libraries put before them.
    ///
    /// # Errors
    /// A name that is taken; a model of another architecture.
    pub fn with_guest(self, name: String, guest: Checkpoint) -> Result<Self, ZooError> {
        if name == "base" || self.pool.experts().iter().any(|(known, _)| *known == name) {
            return Err(ZooError::NameTaken { name });
        }
        let mut models: Vec<Checkpoint> = self.pool.base().cloned().into_iter().chain([guest]).collect();
        align(&mut models);
        let base = self.pool.base().cloned();
        let mut experts = self.pool.experts().to_vec();
        experts.extend(models.pop().map(|guest| (name, guest)));
        let pool = Pool::new(base, experts).map_err(ZooError::Guest)?;
        Ok(Self { pool, fingerprint: OnceLock::new(), ..self })
    }

    #[must_use]
    pub fn config(&self) -> &ClipVitConfig {
        &self.config
    }

    /// What [`pixels`](crate::tasks::preprocess::pixels) is to make for the zoo's model.
    #[must_use]
    pub fn input(&self) -> InputShape {
        InputShape { channels: self.config.num_channels, side: self.config.image_size }
    }

    #[must_use]
    pub fn head(&self, task: &str) -> Option<&Head> {
        self.tasks.iter().position(|known| known.id == task).map(|at| &self.heads[at])
    }

    /// How the heads were made, where their file says so; untrusted text.
    #[must_use]
    pub fn about_heads(&self) -> Option<&str> {
        self.about_heads.as_deref()
    }

    /// The accuracies recorded when the zoo was built.
    #[must_use]
    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// A split's images; the first call decompresses them (milliseconds), later ones share them.
    ///
    /// # Errors
    /// Unknown tasks, damaged or missing data; training data of the embedded zoo.
    pub fn images(&self, task: &str, split: Split) -> Result<Arc<Images>, ZooError> {
        let Some(at) = self.tasks.iter().position(|known| known.id == task) else {
            return Err(ZooError::UnknownTask { task: task.to_owned() });
        };
        let slot = match split {
            Split::Train => 0,
            Split::Validation => 1,
            Split::Test => 2,
        };
        // A thread that panicked while it held the lock left the slot as it was.
        let mut slot = self.images[at][slot].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(images) = &*slot {
            return Ok(Arc::clone(images));
        }
        let task = &self.tasks[at];
        let name = files::images(&task.id, split);
        let images = Arc::new(images::read(&self.files, &name, task.len(split), task.classes.len())?);
        *slot = Some(Arc::clone(&images));
        Ok(images)
    }

    /// Names this zoo's weights and heads in caches and reports; hashed on the first call.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| {
            let mut hash = Sha256::new();
            let models = self.pool.base().into_iter().chain(self.pool.experts().iter().map(|(_, expert)| expert));
            models.for_each(|model| hash.update(model.fingerprint()));
            self.heads.iter().for_each(|head| hash.update(bytemuck::cast_slice::<f32, u8>(&head.rows)));
            hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
        })
    }
}
