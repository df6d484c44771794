//! The tower's tensors. Linear weights are kept `[in, out]` and contiguous, the transpose of a checkpoint's layout,
//! because that is what the matrix product reads fastest; loading transposes once.

use super::ClipVitConfig;
use super::layout::{self, Entry, Kept};
use crate::models::ModelError;
use crate::weights::{DType, Data, StateDict, Tensor as Named};
use burn::module::{Module, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use rayon::prelude::*;

/// Tensors that are made ready at once when a model is loaded: those of two blocks.
const LOADED: usize = 32;

/// A CLIP vision tower, `CLIPVisionModel` or `CLIPVisionModelWithProjection`.
#[derive(Module, Debug)]
pub struct ClipVit {
    vectors: Vec<Param<Tensor<1>>>,
    matrices: Vec<Param<Tensor<2>>>,
    #[module(skip)]
    config: ClipVitConfig,
    #[module(skip)]
    entries: Vec<Entry>,
}

/// The tensors of one block: weights `[in, out]`, then biases; norms as scale and shift.
pub(super) struct Layer<'a> {
    pub key: (&'a Param<Tensor<2>>, &'a Param<Tensor<1>>),
    pub value: (&'a Param<Tensor<2>>, &'a Param<Tensor<1>>),
    pub query: (&'a Param<Tensor<2>>, &'a Param<Tensor<1>>),
    pub out: (&'a Param<Tensor<2>>, &'a Param<Tensor<1>>),
    pub norm1: (&'a Param<Tensor<1>>, &'a Param<Tensor<1>>),
    pub fc1: (&'a Param<Tensor<2>>, &'a Param<Tensor<1>>),
    pub fc2: (&'a Param<Tensor<2>>, &'a Param<Tensor<1>>),
    pub norm2: (&'a Param<Tensor<1>>, &'a Param<Tensor<1>>),
}

impl ClipVit {
    /// A tower of the configured sizes with all weights zero, to be filled by [`load`](Self::load).
    ///
    /// # Errors
    /// Sizes that make no model.
    pub fn new(config: &ClipVitConfig, device: &Device) -> Result<Self, ModelError> {
        config.check()?;
        let entries = layout::entries(config, config.names_projection());
        let mut model = Self { vectors: Vec::new(), matrices: Vec::new(), config: config.clone(), entries };
        for entry in &model.entries {
            match entry.kept {
                Kept::Vector(_) => model.vectors.push(parameter(Tensor::zeros([entry.len()], device))),
                Kept::Matrix(_) => {
                    let (rows, columns) = entry.rows_columns();
                    model.matrices.push(parameter(Tensor::zeros([rows, columns], device)));
                }
                Kept::Transposed(_) => {
                    let (rows, columns) = entry.rows_columns();
                    model.matrices.push(parameter(Tensor::zeros([columns, rows], device)));
                }
            }
        }
        Ok(model)
    }

    #[must_use]
    pub fn config(&self) -> &ClipVitConfig {
        &self.config
    }

    /// Width of what [`features`](Self::features) returns.
    #[must_use]
    pub fn feature_dim(&self) -> usize {
        if self.projection().is_some() { self.config.projection_dim } else { self.config.hidden_size }
    }

    /// Where the weights are.
    #[must_use]
    pub fn device(&self) -> Device {
        self.matrices[layout::PATCH].val().device()
    }

    /// Swaps in all weights, in place. Names may have the prefix `vision_model.` or lack it (transformers ≥ 5);
    /// tensors that belong to other parts of a model are left alone. Whether there is a projection is for the weights
    /// to say, not for the configuration.
    ///
    /// # Errors
    /// Missing tensors and shapes that do not fit. Everything is checked before the first weight is changed.
    pub fn load(&mut self, weights: &StateDict) -> Result<(), ModelError> {
        let (entries, found) = find(&self.config, weights)?;
        self.fit_projection(entries.iter().any(|entry| entry.name == layout::PROJECTION));
        // A few at a time, so that no second model lies in memory.
        for (entries, found) in entries.chunks(LOADED).zip(found.chunks(LOADED)) {
            let kept: Vec<TensorData> =
                entries.par_iter().zip(found).map(|(entry, values)| kept(entry, values)).collect();
            entries.iter().zip(kept).for_each(|(entry, data)| self.set(entry.kept, data));
        }
        self.entries = entries;
        Ok(())
    }

    /// Swaps in one tensor, in place; `values` in a checkpoint's own order.
    ///
    /// # Errors
    /// Unknown names and wrong lengths.
    pub fn load_tensor(&mut self, name: &str, values: &[f32]) -> Result<(), ModelError> {
        let short = name.strip_prefix("vision_model.").unwrap_or(name);
        let Some(at) = self.entries.iter().position(|entry| entry.name == short) else {
            let layers = self.config.num_hidden_layers;
            return Err(ModelError::UnknownTensor { tensor: name.to_owned(), model: "CLIP vision tower", layers });
        };
        let expected = self.entries[at].len();
        if values.len() != expected {
            return Err(ModelError::Length { tensor: name.to_owned(), got: values.len(), expected });
        }
        let data = kept(&self.entries[at], values);
        self.set(self.entries[at].kept, data);
        Ok(())
    }

    /// All weights under Hugging Face's names and in its order and layout, to be written as `dtype`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn weights(&self, dtype: DType) -> Result<StateDict, ModelError> {
        self.collect(dtype, |tensor| Some(tensor.into_data()), |tensor| Some(tensor.into_data()))
    }

    /// The gradients of all weights under the names and in the layout of a checkpoint; zeros where the loss does not
    /// depend on a tensor. The inner product of these with a task vector is the gradient of its coefficient.
    ///
    /// # Errors
    /// When the device fails.
    pub fn gradients(&self, gradients: &Gradients) -> Result<StateDict, ModelError> {
        let vector = |tensor: Tensor<1>| tensor.grad(gradients).map(Tensor::into_data);
        let matrix = |tensor: Tensor<2>| tensor.grad(gradients).map(Tensor::into_data);
        self.collect(DType::F32, vector, matrix)
    }

    fn collect(
        &self,
        dtype: DType,
        vector: impl Fn(Tensor<1>) -> Option<TensorData>,
        matrix: impl Fn(Tensor<2>) -> Option<TensorData>,
    ) -> Result<StateDict, ModelError> {
        let read = |entry: &Entry| {
            let data = match entry.kept {
                Kept::Vector(at) => vector(self.vectors[at].val()),
                Kept::Matrix(at) | Kept::Transposed(at) => matrix(self.matrices[at].val()),
            };
            let values = match data.map(TensorData::try_into_vec::<f32>) {
                None => vec![0.0; entry.len()],
                Some(Ok(values)) => values,
                Some(Err(error)) => {
                    return Err(ModelError::Device { tensor: full_name(&entry.name), reason: error.to_string() });
                }
            };
            let (rows, columns) = entry.rows_columns();
            let values = match entry.kept {
                Kept::Transposed(_) => transpose(&values, columns, rows),
                Kept::Vector(_) | Kept::Matrix(_) => values,
            };
            let (name, shape) = (full_name(&entry.name), entry.shape.clone());
            Ok(Named { name, shape, dtype, data: Data::Float(values) })
        };
        Ok(StateDict::new(self.entries.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// Makes or drops the slot of the projection.
    fn fit_projection(&mut self, wanted: bool) {
        let without = layout::projection(self.config.num_hidden_layers);
        self.matrices.truncate(if wanted { without + 1 } else { without });
        if wanted && self.matrices.len() == without {
            let shape = [self.config.hidden_size, self.config.projection_dim];
            self.matrices.push(parameter(Tensor::zeros(shape, &self.device())));
        }
    }

    fn set(&mut self, kept: Kept, data: TensorData) {
        match kept {
            Kept::Vector(at) => swap(&mut self.vectors[at], data),
            Kept::Matrix(at) | Kept::Transposed(at) => swap(&mut self.matrices[at], data),
        }
    }

    pub(super) fn class(&self) -> &Param<Tensor<1>> {
        &self.vectors[layout::CLASS]
    }

    pub(super) fn patch(&self) -> &Param<Tensor<2>> {
        &self.matrices[layout::PATCH]
    }

    pub(super) fn position(&self) -> &Param<Tensor<2>> {
        &self.matrices[layout::POSITION]
    }

    pub(super) fn pre_norm(&self) -> (&Param<Tensor<1>>, &Param<Tensor<1>>) {
        self.norm_at(layout::PRE_NORM)
    }

    pub(super) fn post_norm(&self) -> (&Param<Tensor<1>>, &Param<Tensor<1>>) {
        self.norm_at(layout::post_norm(self.config.num_hidden_layers))
    }

    pub(super) fn projection(&self) -> Option<&Param<Tensor<2>>> {
        self.matrices.get(layout::projection(self.config.num_hidden_layers))
    }

    pub(super) fn layer(&self, layer: usize) -> Layer<'_> {
        let at = layout::block(layer);
        let linear = |at: layout::Linear| (&self.matrices[at.weight], &self.vectors[at.bias]);
        Layer {
            key: linear(at.key),
            value: linear(at.value),
            query: linear(at.query),
            out: linear(at.out),
            norm1: self.norm_at(at.norm1),
            fc1: linear(at.fc1),
            fc2: linear(at.fc2),
            norm2: self.norm_at(at.norm2),
        }
    }

    fn norm_at(&self, at: usize) -> (&Param<Tensor<1>>, &Param<Tensor<1>>) {
        (&self.vectors[at], &self.vectors[at + 1])
    }
}

/// The tensors of a tower and what a checkpoint has for them, in the order of Hugging Face's state dict.
///
/// # Errors
/// As [`ClipVit::load`].
pub(super) fn find<'w>(
    config: &ClipVitConfig,
    weights: &'w StateDict,
) -> Result<(Vec<Entry>, Vec<&'w [f32]>), ModelError> {
    let entries = layout::entries(config, weights.get(layout::PROJECTION).is_some());
    let mut found = Vec::with_capacity(entries.len());
    for entry in &entries {
        let tensor = weights.get(&format!("vision_model.{}", entry.name)).or_else(|| weights.get(&entry.name));
        let values = tensor.and_then(Named::values);
        let (Some(tensor), Some(values)) = (tensor, values) else {
            return Err(ModelError::MissingTensor { tensor: full_name(&entry.name) });
        };
        if tensor.shape != entry.shape {
            let (got, expected) = (tensor.shape.clone(), entry.shape.clone());
            return Err(ModelError::Shape { tensor: tensor.name.clone(), got, expected });
        }
        found.push(values);
    }
    Ok((entries, found))
}

/// A checkpoint's tensor in the layout in which the tower keeps it.
fn kept(entry: &Entry, values: &[f32]) -> TensorData {
    let (rows, columns) = entry.rows_columns();
    match entry.kept {
        Kept::Vector(_) => TensorData::new(values.to_vec(), [values.len()]),
        Kept::Matrix(_) => TensorData::new(values.to_vec(), [rows, columns]),
        Kept::Transposed(_) => TensorData::new(transpose(values, rows, columns), [columns, rows]),
    }
}

/// The name that Hugging Face's `CLIPVisionModelWithProjection` gives a tensor.
pub(super) fn full_name(short: &str) -> String {
    if short == layout::PROJECTION { short.to_owned() } else { format!("vision_model.{short}") }
}

/// On an autodiff device a parameter asks for its gradient, on others that changes nothing.
fn parameter<const D: usize>(tensor: Tensor<D>) -> Param<Tensor<D>> {
    Param::from_tensor(tensor)
}

/// A new value for a parameter; identity and whether it wants gradients stay.
fn swap<const D: usize>(parameter: &mut Param<Tensor<D>>, data: TensorData) {
    let old = parameter.val();
    let value = Tensor::from_data(data, &old.device()).set_require_grad(old.is_require_grad());
    *parameter = Param::initialized(parameter.id, value);
}

/// `[rows, columns]` → `[columns, rows]`, in blocks that fit the cache.
pub(super) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut out = vec![0.0; values.len()];
    for row in (0..rows).step_by(BLOCK) {
        for column in (0..columns).step_by(BLOCK) {
            for r in row..(row + BLOCK).min(rows) {
                for c in column..(column + BLOCK).min(columns) {
                    out[c * rows + r] = values[r * columns + c];
                }
            }
        }
    }
    out
}
