//! A linear layer's experts on a device.

use super::gate::Gates;
use crate::fusion::{Matrix, Mixed};
use burn::tensor::module::linear;
use burn::tensor::{Device, Tensor, TensorData};

/// What the experts change of a linear layer.
#[derive(Debug)]
pub(super) struct Branch {
    changes: Changes,
    /// `[experts, outputs]`; nothing for layers without a bias.
    bias: Option<Tensor<2>>,
}

#[derive(Debug)]
enum Changes {
    /// `[inputs, outputs]` each.
    Dense(Vec<Tensor<2>>),
    LowRank(Box<LowRank>),
}

#[derive(Debug)]
struct LowRank {
    /// `[inputs, Σ rank]`, expert after expert.
    right: Tensor<2>,
    /// `[Σ rank, outputs]`
    left: Tensor<2>,
    /// Which expert a component is of, as `[experts, Σ rank]` ones and zeros.
    members: Tensor<2>,
}

impl Branch {
    pub fn new(layer: &Mixed, device: &Device) -> Self {
        let Mixed { outputs, inputs, changes, .. } = layer;
        let matrix =
            |values: Vec<f32>, rows, columns| Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), device);
        let has_bias = changes.iter().all(|change| change.bias.len() == *outputs);
        let bias = changes.iter().flat_map(|change| change.bias.iter().copied()).collect();
        let bias = has_bias.then(|| matrix(bias, changes.len(), *outputs));
        if changes.iter().any(|change| matches!(change.weight, Matrix::Dense(_))) {
            let dense = changes.iter().map(|change| match &change.weight {
                Matrix::Dense(values) => matrix(values.clone(), *outputs, *inputs).transpose(),
                Matrix::LowRank { rank, left, right } => {
                    let product = matrix(left.clone(), *outputs, *rank).matmul(matrix(right.clone(), *rank, *inputs));
                    product.transpose()
                }
            });
            return Self { changes: Changes::Dense(dense.collect()), bias };
        }
        let (mut lefts, mut rights, mut ranks) = (Vec::new(), Vec::new(), Vec::new());
        for change in changes {
            if let Matrix::LowRank { rank, left, right } = &change.weight {
                lefts.push(matrix(left.clone(), *outputs, *rank));
                rights.extend_from_slice(right);
                ranks.push(*rank);
            }
        }
        let total: usize = ranks.iter().sum();
        let mut members = vec![0.0; ranks.len() * total];
        let mut first = 0;
        for (expert, rank) in ranks.iter().enumerate() {
            members[expert * total + first..][..*rank].fill(1.0);
            first += rank;
        }
        let left = Tensor::cat(lefts, 1).transpose();
        let right = matrix(rights, total, *inputs).transpose();
        let members = matrix(members, ranks.len(), total);
        Self { changes: Changes::LowRank(Box::new(LowRank { right, left, members })), bias }
    }

    /// The layer of `[n, tokens, inputs]`, experts and all.
    pub fn apply(&self, input: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>, gates: &Gates) -> Tensor<3> {
        let [n, tokens, inputs] = input.dims();
        let rows = input.clone().reshape([n * tokens, inputs]);
        let plain = linear(input, weight, bias);
        let outputs = plain.dims()[2];
        let Gates::Tokens(weights) = gates;
        let change = match &self.changes {
            Changes::LowRank(parts) => {
                let LowRank { right, left, members } = &**parts;
                let components = rows.matmul(right.clone()) * weights.clone().matmul(members.clone());
                components.matmul(left.clone())
            }
            Changes::Dense(changes) => {
                let each = changes
                    .iter()
                    .enumerate()
                    .map(|(expert, change)| rows.clone().matmul(change.clone()) * weights.clone().narrow(1, expert, 1));
                each.reduce(|sum, change| sum + change)
                    .unwrap_or_else(|| Tensor::zeros([n * tokens, outputs], &plain.device()))
            }
        };
        let change = match &self.bias {
            Some(bias) => change + weights.clone().matmul(bias.clone()),
            None => change,
        };
        plain + change.reshape([n, tokens, outputs])
    }
}
