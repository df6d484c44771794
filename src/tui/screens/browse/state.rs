//! What the Browse screen remembers, and what it asks for.

use crate::fusion::Similarity;
use crate::tasks::{Images, Split};
use crate::tui::catalog::Catalog;
use crate::tui::effect::Effect;
use crate::tui::filter;
use crate::tui::model::Model;
use crate::tui::widgets::tree;
use std::sync::Arc;

/// What takes the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pane {
    #[default]
    Tasks,
    Checkpoints,
    Detail,
}

impl Pane {
    pub const ALL: [Self; 3] = [Self::Tasks, Self::Checkpoints, Self::Detail];
}

/// What the details are about: an entry of the list that had the focus last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subject {
    #[default]
    Task,
    Checkpoint,
}

/// What of a checkpoint is looked at where there is no room for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    #[default]
    Geometry,
    Layers,
}

/// One task's pictures, at most one split of one task at a time.
#[derive(Debug, Default)]
pub struct Samples {
    task: String,
    split: Split,
    images: Option<Result<Arc<Images>, String>>,
    /// Images by class, in data-set order; counts for the class list.
    by_class: Vec<Vec<usize>>,
}

impl Samples {
    #[must_use]
    pub fn is_for(&self, task: &str, split: Split) -> bool {
        self.task == task && self.split == split
    }

    /// The pictures, why there are none, or nothing while they are on their way.
    #[must_use]
    pub fn images(&self) -> Option<&Result<Arc<Images>, String>> {
        self.images.as_ref()
    }

    pub fn arrived(&mut self, images: Result<Arc<Images>, String>) {
        self.by_class.clear();
        if let Ok(images) = &images {
            for (at, &label) in images.labels.iter().enumerate() {
                let class = usize::from(label);
                if self.by_class.len() <= class {
                    self.by_class.resize(class + 1, Vec::new());
                }
                self.by_class[class].push(at);
            }
        }
        self.images = Some(images);
    }

    /// How many pictures a class has; nothing while that is not known.
    #[must_use]
    pub fn count(&self, class: usize) -> Option<usize> {
        matches!(self.images, Some(Ok(_))).then(|| self.by_class.get(class).map_or(0, Vec::len))
    }

    /// Indices of the pictures to page through: of one class, or of all in data-set order.
    #[must_use]
    pub fn of_class(&self, class: Option<usize>) -> Vec<usize> {
        match (class, &self.images) {
            (_, None | Some(Err(_))) => Vec::new(),
            (None, Some(Ok(images))) => (0..images.len()).collect(),
            (Some(class), _) => self.by_class.get(class).cloned().unwrap_or_default(),
        }
    }
}

/// The geometry of the task vectors.
#[derive(Debug, Default)]
pub enum Geometry {
    #[default]
    Unasked,
    Asked,
    Here(Arc<Similarity>),
    Failed(String),
}

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    pub focus: Pane,
    pub subject: Subject,
    /// Index into the catalogue's tasks.
    pub task: usize,
    /// Index into the catalogue's checkpoints.
    pub checkpoint: usize,
    pub task_filter: String,
    pub checkpoint_filter: String,
    pub split: Split,
    /// Shows only this class's pictures.
    pub class: Option<usize>,
    /// First picture shown.
    pub first: usize,
    /// Width of a picture in cells: one of `SIZES`.
    pub size: usize,
    pub samples: Samples,
    pub geometry: Geometry,
    pub part: Part,
    pub open: tree::Open,
    /// Path of the tree's selected line.
    pub line: Option<String>,
}

/// Widths of a picture in cells, from many small ones to few large ones.
pub const SIZES: [u16; 4] = [8, 14, 20, 28];

impl State {
    #[must_use]
    pub fn new(catalog: &Catalog) -> Self {
        // The topmost branches are open: one closed line would say nothing.
        let tensors = catalog.checkpoints.first().map_or(&[][..], |first| &first.tensors);
        let open = tree::lines(tensors, &tree::Open::new()).into_iter().map(|line| line.path).collect();
        Self { size: 1, open, ..Self::default() }
    }

    /// Gives a pane the keys; a list also becomes what the details are about.
    pub fn set_focus(&mut self, pane: Pane) {
        self.focus = pane;
        match pane {
            Pane::Tasks => self.subject = Subject::Task,
            Pane::Checkpoints => self.subject = Subject::Checkpoint,
            Pane::Detail => {}
        }
    }

    /// Tasks that pass the filter.
    #[must_use]
    pub fn shown_tasks(&self, catalog: &Catalog) -> Vec<usize> {
        filter::matching(&self.task_filter, catalog.tasks.iter().map(|task| format!("{}\n{}", task.id, task.title)))
    }

    /// Checkpoints that pass the filter.
    #[must_use]
    pub fn shown_checkpoints(&self, catalog: &Catalog) -> Vec<usize> {
        filter::matching(&self.checkpoint_filter, catalog.checkpoints.iter().map(|facts| facts.name.as_str()))
    }

    /// Chooses a task; its pictures are looked at from the beginning.
    pub fn choose_task(&mut self, task: usize) {
        if self.task != task {
            self.task = task;
            self.class = None;
            self.first = 0;
        }
    }
}

/// Asks for what the details need and nobody has asked for yet.
pub fn ask(model: &mut Model, fx: &mut Vec<Effect>) {
    let browse = &mut model.browse;
    match browse.subject {
        Subject::Task => {
            let Some(task) = model.catalog.tasks.get(browse.task) else { return };
            if !browse.samples.is_for(&task.id, browse.split) {
                browse.samples = Samples { task: task.id.clone(), split: browse.split, ..Samples::default() };
                fx.push(Effect::LoadSamples { task: task.id.clone(), split: browse.split });
            }
        }
        Subject::Checkpoint => {
            if matches!(browse.geometry, Geometry::Unasked) {
                browse.geometry = Geometry::Asked;
                fx.push(Effect::LoadSimilarity);
            }
        }
    }
}
