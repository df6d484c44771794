//! A linear layer's experts on a device.

use super::gate::Gates;
use crate::fusion::{Matrix, Mixed, Unit};
use burn::tensor::module::linear;
use burn::tensor::{Device, Tensor, TensorData};

/// What the experts change of a linear layer.
#[derive(Debug)]
pub(super) struct Branch {
    changes: Changes,
    /// `[experts, outputs]`; nothing for layers without a bias, or whose biases are not weighed.
    bias: Option<Tensor<2>>,
}

#[derive(Debug)]
enum Changes {
    /// `[experts, inputs · outputs]`
    Dense(Box<Tensor<2>>),
    LowRank(Box<LowRank>),
}

#[derive(Debug)]
struct LowRank {
    /// `[inputs, Σ rank]`, expert after expert.
    right: Tensor<2>,
    /// `[Σ rank, outputs]`
    left: Tensor<2>,
    /// Which expert a component is of, as `[experts, Σ rank]` ones and zeros; nothing where every component has a weight
    /// of its own.
    members: Option<Tensor<2>>,
}

/// Elements of the weights that are put together at once, an image each: 64 MiB.
const PORTION: usize = 1 << 24;

impl Branch {
    pub fn new(layer: &Mixed, unit: Unit, device: &Device) -> Self {
        let Mixed { outputs, inputs, changes, .. } = layer;
        let matrix =
            |values: Vec<f32>, rows, columns| Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), device);
        let has_bias = changes.iter().all(|change| change.bias.len() == *outputs);
        let bias = changes.iter().flat_map(|change| change.bias.iter().copied()).collect();
        let bias = has_bias.then(|| matrix(bias, changes.len(), *outputs));
        if changes.iter().any(|change| matches!(change.weight, Matrix::Dense(_))) {
            let dense = changes.iter().map(|change| {
                let weight = match &change.weight {
                    Matrix::Dense(values) => matrix(values.clone(), *outputs, *inputs),
                    Matrix::LowRank { rank, left, right } => {
                        matrix(left.clone(), *outputs, *rank).matmul(matrix(right.clone(), *rank, *inputs))
                    }
                };
                weight.transpose().reshape([1, inputs * outputs])
            });
            return Self { changes: Changes::Dense(Box::new(Tensor::cat(dense.collect(), 0))), bias };
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
        let members = || {
            let mut members = vec![0.0; ranks.len() * total];
            let mut first = 0;
            for (expert, rank) in ranks.iter().enumerate() {
                members[expert * total + first..][..*rank].fill(1.0);
                first += rank;
            }
            matrix(members, ranks.len(), total)
        };
        let members = (unit == Unit::Expert).then(members);
        let left = Tensor::cat(lefts, 1).transpose();
        let right = matrix(rights, total, *inputs).transpose();
        Self { changes: Changes::LowRank(Box::new(LowRank { right, left, members })), bias }
    }

    /// The layer of `[n, tokens, inputs]`, experts and all.
    pub fn apply(&self, input: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>, gates: &Gates) -> Tensor<3> {
        match (&self.changes, gates) {
            (Changes::Dense(changes), Gates::Images(weights)) => self.merged(input, weight, bias, changes, weights),
            (Changes::Dense(changes), Gates::Tokens(weights)) => {
                let [n, tokens, inputs] = input.dims();
                let rows = input.clone().reshape([n * tokens, inputs]);
                let plain = linear(input, weight, bias);
                let outputs = plain.dims()[2];
                let mut sum = Tensor::<2>::zeros([n * tokens, outputs], &plain.device());
                for expert in 0..changes.dims()[0] {
                    let change = Tensor::clone(changes).narrow(0, expert, 1).reshape([inputs, outputs]);
                    sum = sum + rows.clone().matmul(change) * weights.clone().narrow(1, expert, 1);
                }
                plain + self.with_bias(sum, weights).reshape([n, tokens, outputs])
            }
            (Changes::LowRank(parts), gates) => {
                let [n, tokens, inputs] = input.dims();
                let rows = input.clone().reshape([n * tokens, inputs]);
                let plain = linear(input, weight, bias);
                let weights = match gates {
                    Gates::Tokens(weights) => weights.clone(),
                    Gates::Images(weights) => each_token(weights.clone(), tokens),
                };
                let LowRank { right, left, members } = &**parts;
                let shares = match members {
                    Some(members) => weights.clone().matmul(members.clone()),
                    None => weights.clone(),
                };
                let change = (rows.matmul(right.clone()) * shares).matmul(left.clone());
                let dims = plain.dims();
                plain + self.with_bias(change, &weights).reshape(dims)
            }
        }
    }

    /// The same for experts that weigh the same for all tokens of an image: its own layer is put together first, which
    /// takes as many products as there are experts, not experts times tokens.
    fn merged(
        &self,
        input: Tensor<3>,
        weight: Tensor<2>,
        bias: Option<Tensor<1>>,
        changes: &Tensor<2>,
        weights: &Tensor<2>,
    ) -> Tensor<3> {
        let [n, _, inputs] = input.dims();
        let outputs = weight.dims()[1];
        let at_once = (PORTION / (inputs * outputs).max(1)).clamp(1, n.max(1));
        let weight = weight.unsqueeze_dim::<3>(0);
        let portion = |first: usize| {
            let count = at_once.min(n - first);
            let weights = weights.clone().narrow(0, first, count);
            let own = weights.clone().matmul(changes.clone()).reshape([count, inputs, outputs]) + weight.clone();
            let answer = input.clone().narrow(0, first, count).matmul(own);
            match &self.bias {
                Some(bias) => answer + weights.matmul(bias.clone()).unsqueeze_dim::<3>(1),
                None => answer,
            }
        };
        let answers = Tensor::cat((0..n).step_by(at_once).map(portion).collect(), 0);
        match bias {
            Some(bias) => answers + bias.unsqueeze::<3>(),
            None => answers,
        }
    }

    fn with_bias(&self, change: Tensor<2>, weights: &Tensor<2>) -> Tensor<2> {
        match &self.bias {
            Some(bias) => change + weights.clone().matmul(bias.clone()),
            None => change,
        }
    }
}

/// `[n, width]` → `[n · tokens, width]`
fn each_token(weights: Tensor<2>, tokens: usize) -> Tensor<2> {
    let [n, width] = weights.dims();
    weights.reshape([n, 1, width]).repeat_dim(1, tokens).reshape([n * tokens, width])
}
