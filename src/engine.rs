//! A preset becomes a plan, a plan becomes jobs, jobs become events.
//!
//! One OS thread owns the device and every tensor on it; commands go in, serialisable events come out.

mod cache;
pub mod calibration;
mod device;
pub mod document;
mod error;
mod evaluate;
mod event;
mod execution;
mod export;
mod fusing;
mod generalization;
mod handle;
pub mod inspect;
mod job;
mod lanes;
mod learned;
mod memory;
pub mod merge;
mod news;
mod order;
mod plan;
mod predictor;
mod preset;
mod probe;
mod score;
mod self_test;
mod worker;

pub use device::{DeviceInfo, DeviceRequest, devices};
pub use error::EngineError;
pub use event::{Event, JobKind, MixtureReport, PerTaskReport, Report, RunId, TaskReport};
pub use export::write_checkpoint;
pub use generalization::Generalization;
pub use handle::Engine;
pub use job::{FITTED, Job, Recipe, TRANSDUCTIVE, is_fitted};
pub use learned::Lessons;
pub use plan::default_job;
pub use preset::{BUILTIN, Builtin, Models, Position, Preset, PresetError, Problem, preset_schema};
pub use probe::{ProbeReport, probe};

use plan::Plan;
