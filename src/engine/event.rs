//! What the engine says. The same events drive the explorer and are the NDJSON of `fusebench run --events`.

use super::Generalization;
use crate::fusion::{Mixture, PER_TASK, Pool, Storage};
use crate::params::ParamSet;
use crate::tasks::{Corruption, Data, Split};
use serde::{Deserialize, Serialize};

/// Identifies one execution of a recipe within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

/// Whether a job is a person's nudge (latest wins) or a run they asked for (first come, first served).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    Preview,
    Run,
}

/// Something happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The engine has a device; sent before any run, and again when it had to fall back. `reason` says why not the
    /// device that was asked for.
    Device {
        name: String,
        reason: Option<String>,
    },
    Queued {
        run: RunId,
        kind: JobKind,
        position: usize,
    },
    Started {
        run: RunId,
        kind: JobKind,
        device: String,
    },
    /// A new phase (`load`, `fuse`, `evaluate`); `total` is missing where it cannot be known.
    Phase {
        run: RunId,
        name: String,
        total: Option<u64>,
        unit: String,
    },
    Progress {
        run: RunId,
        done: u64,
    },
    /// Accuracy so far on one task with its 95 % Wilson interval, all as shares of 1.
    Estimate {
        run: RunId,
        task: String,
        correct: u64,
        seen: u64,
        total: u64,
        low: f64,
        high: f64,
    },
    TaskDone {
        run: RunId,
        task: String,
        accuracy: f64,
        loss: f64,
        n: u64,
    },
    /// Coefficients are being learned: where they stand after a step. `coefficients` are `[expert][block]`, means over a
    /// block's tensors unless `exact`; `loss` is the mean over `losses`, one a task, before the step. `masked`: a mask lies
    /// on the task vectors as well, so that no coefficients give the model.
    Adapted {
        run: RunId,
        step: u64,
        steps: u64,
        loss: f64,
        losses: Vec<f64>,
        blocks: Vec<String>,
        coefficients: Vec<Vec<f64>>,
        exact: bool,
        masked: bool,
    },
    /// Whom the routers of a mixture sent the task's images to so far: `weights` are `[place][expert]` means.
    Routing {
        run: RunId,
        task: String,
        places: Vec<String>,
        experts: Vec<String>,
        weights: Vec<Vec<f64>>,
    },
    /// The run turned out to be another one than was asked for, for instance because it was told to stop early: with
    /// these parameters its result comes out again.
    Settled {
        run: RunId,
        params: ParamSet,
    },
    Log {
        run: RunId,
        level: String,
        text: String,
    },
    Finished {
        run: RunId,
        report: Report,
    },
    Failed {
        run: RunId,
        error: String,
        hint: String,
        /// Whether what was asked for is wrong, not what came of it.
        input: bool,
    },
    Cancelled {
        run: RunId,
    },
}

impl Event {
    /// The run that the event belongs to.
    #[must_use]
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Device { .. } => None,
            Self::Queued { run, .. }
            | Self::Started { run, .. }
            | Self::Phase { run, .. }
            | Self::Progress { run, .. }
            | Self::Estimate { run, .. }
            | Self::TaskDone { run, .. }
            | Self::Adapted { run, .. }
            | Self::Routing { run, .. }
            | Self::Settled { run, .. }
            | Self::Log { run, .. }
            | Self::Finished { run, .. }
            | Self::Failed { run, .. }
            | Self::Cancelled { run } => Some(*run),
        }
    }

    /// Whether the run is over after this event.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Failed { .. } | Self::Cancelled { .. })
    }
}

/// One task's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    pub task: String,
    pub accuracy: f64,
    pub loss: f64,
    pub n: u64,
    pub correct: u64,
    /// Of a mixture: what the routers gave each expert, `[place][expert]`, means over the images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routing: Vec<Vec<f64>>,
    /// Per sample, in data-set order: was the answer right? For paired tests between runs.
    #[serde(skip)]
    pub outcomes: Vec<bool>,
}

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub tasks: Vec<TaskReport>,
    /// Unweighted mean over tasks.
    pub average: f64,
    /// The same over seen and unseen tasks, where there are both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generalization: Option<Generalization>,
    pub split: Split,
    /// What was done to the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corruption: Option<Corruption>,
    /// False when only a part of the split was evaluated (`--limit`).
    pub complete: bool,
    pub fuse_seconds: f64,
    pub evaluate_seconds: f64,
    /// The most memory in bytes that the process had while it fused, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuse_memory: Option<u64>,
    pub device: String,
    /// Taken from the result cache, nothing was computed.
    pub cached: bool,
    /// What the method learned it had learned for an earlier run of the same recipe; seconds and memory of fusing are what that
    /// took.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learned_before: bool,
    /// Where every task has a model of its own, so that the task must be known at test time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_task: Option<PerTaskReport>,
    /// Where the experts stay apart behind routers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixture: Option<Box<MixtureReport>>,
}

/// What there is to know of a mixture of experts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MixtureReport {
    /// In f32: the backbone, the routers, the experts' changes.
    #[serde(flatten)]
    pub storage: Storage,
    /// Layers with a router, in the order of the checkpoint: the rows of a task's routing.
    pub places: Vec<String>,
    /// Its columns.
    pub columns: Vec<String>,
}

/// A place's name as it is shown.
pub(super) fn short_name(name: &str) -> String {
    name.strip_prefix("vision_model.").unwrap_or(name).to_owned()
}

impl MixtureReport {
    #[must_use]
    pub fn new(mixture: &Mixture, pool: &Pool) -> Self {
        Self {
            storage: mixture.storage(pool),
            places: mixture.body.places.iter().map(|place| short_name(&place.name)).collect(),
            columns: mixture.body.experts.clone(),
        }
    }

    /// What is to be said beside the accuracies.
    #[must_use]
    pub fn summary(&self) -> String {
        let million = |bytes: u64| bytes as f64 / 4e6;
        let Storage { base, shared, own, .. } = self.storage;
        format!(
            "a mixture with {} routers: {:.2} M parameters ({:.2} M backbone, {:.2} M routers, {:.2} M experts)",
            self.places.len(),
            million(base + shared + own),
            million(base),
            million(shared),
            million(own)
        )
    }
}

impl Report {
    /// What it was evaluated on.
    #[must_use]
    pub fn data(&self) -> Data {
        Data { split: self.split, corruption: self.corruption }
    }
}

/// What there is to know of a result with one model per task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PerTaskReport {
    /// Bytes from which all tasks' models can be made.
    #[serde(flatten)]
    pub storage: Storage,
    /// Tasks that have no expert in the recipe: the base model answers for them, as the only model here that was not
    /// made for another task.
    pub without_expert: Vec<String>,
}

impl PerTaskReport {
    /// What is to be said beside the accuracies.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = format!("{PER_TASK}; stored in {:.0} % of the experts' bytes", 100.0 * self.storage.share());
        if !self.without_expert.is_empty() {
            text += &format!("; without an expert, so answered by the base: {}", self.without_expert.join(", "));
        }
        text
    }
}
