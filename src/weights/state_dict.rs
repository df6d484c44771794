//! Fused tensors in memory.

use super::{Checkpoint, DType, WeightsError};
use std::collections::HashMap;

/// A tensor's values: f32 for what fusion computes, bytes for what it passes through.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Float(Vec<f32>),
    Raw(Vec<u8>),
}

/// One named tensor and the dtype it is to be written in.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: DType,
    pub data: Data,
}

impl Tensor {
    /// The values, or nothing for an integer buffer.
    #[must_use]
    pub fn values(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Float(values) => Some(values),
            Data::Raw(_) => None,
        }
    }
}

/// Named tensors in the order of the checkpoint they came from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateDict {
    tensors: Vec<Tensor>,
    index: HashMap<String, usize>,
}

impl StateDict {
    #[must_use]
    pub fn new(tensors: Vec<Tensor>) -> Self {
        let index = tensors.iter().enumerate().map(|(at, tensor)| (tensor.name.clone(), at)).collect();
        Self { tensors, index }
    }

    /// All of a checkpoint, loaded.
    #[must_use]
    pub fn load(checkpoint: &Checkpoint) -> Self {
        let load = |tensor: super::TensorRef<'_>| Tensor {
            name: tensor.info.name.clone(),
            shape: tensor.info.shape.clone(),
            dtype: tensor.info.dtype.written(),
            data: if tensor.info.dtype.is_float() {
                Data::Float(tensor.to_vec())
            } else {
                Data::Raw(tensor.raw().to_vec())
            },
        };
        Self::new(checkpoint.iter().map(load).collect())
    }

    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensors, to be changed in place; names and shapes must stay as they are.
    pub fn tensors_mut(&mut self) -> &mut [Tensor] {
        &mut self.tensors
    }

    /// The tensors alone.
    #[must_use]
    pub fn into_tensors(self) -> Vec<Tensor> {
        self.tensors
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).map(|&at| &self.tensors[at])
    }

    /// The float values of a tensor that must be there.
    ///
    /// # Errors
    /// When it is missing or an integer buffer.
    pub fn require(&self, name: &str) -> Result<(&[usize], &[f32]), WeightsError> {
        let missing = || WeightsError::MissingTensor { label: "fused model".to_owned(), tensor: name.to_owned() };
        let tensor = self.get(name).ok_or_else(missing)?;
        Ok((&tensor.shape, tensor.values().ok_or_else(missing)?))
    }
}
