//! Checkpoints as named tensors.
//!
//! A [`Location`] is where a checkpoint lies: a path, or a Hugging Face id in the local cache. A [`Checkpoint`] is opened,
//! not loaded: names, shapes and dtypes at once, bytes through mmap when asked for. Values are handed out as f32, chunk by
//! chunk; a [`StateDict`] holds fused values in memory and remembers the dtype each tensor is to be written in; a [`Draft`]
//! is written piece by piece, survives a crash and appears whole.

mod adapter;
mod align;
mod checkpoint;
mod digest;
mod draft;
mod dtype;
mod error;
#[cfg(test)]
mod folders;
mod header;
#[cfg(test)]
mod hostile;
mod hub;
mod layout;
mod low_rank;
mod open;
mod shards;
mod source;
mod state_dict;
mod stats;
mod view;
mod wide;
mod writer;

pub use adapter::{adapter_base, is_adapter};
pub use align::{Tie, Tied, align, ties};
pub use checkpoint::{Checkpoint, TensorInfo, TensorRef};
pub use digest::{Digest, fingerprint};
pub use draft::{Draft, free_space, tidy_journal};
pub use dtype::DType;
pub use error::WeightsError;
pub use hub::Location;
pub use layout::{Layout, Part, Slot};
pub use source::Source;
pub use state_dict::{Data, StateDict, Tensor};
pub use stats::Stats;
pub(crate) use wide::wide;
pub use writer::write_safetensors;
