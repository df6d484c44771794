//! Checkpoints as named tensors.
//!
//! A [`Checkpoint`] is opened, not loaded: names, shapes and dtypes at once, bytes through mmap when asked for. Values
//! are handed out as f32, chunk by chunk; a [`StateDict`] holds fused values in memory and remembers the dtype each
//! tensor is to be written in.

mod checkpoint;
mod dtype;
mod error;
#[cfg(test)]
mod hostile;
mod source;
mod state_dict;
mod writer;

pub use checkpoint::{Checkpoint, TensorInfo, TensorRef};
pub use dtype::DType;
pub use error::WeightsError;
pub use source::Source;
pub use state_dict::{Data, StateDict, Tensor};
pub use writer::write_safetensors;
