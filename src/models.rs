//! Architectures as burn modules: built from a `config.json`, filled from named tensors, run on any device.

pub mod clip_vit;
mod error;

pub use error::ModelError;
