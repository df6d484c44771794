//! Routers on a device.

use crate::fusion::{Norms, Perceptron, Router, Sees};
use burn::tensor::activation::{relu, sigmoid, softmax};
use burn::tensor::{Bool, Device, Gradients, Int, Tensor, TensorData};

#[derive(Debug)]
pub(super) enum Gate {
    /// `[inputs, expert · rank]`
    Norms {
        directions: Box<Tensor<2>>,
        rank: usize,
        top: usize,
    },
    Perceptron {
        sees: Sees,
        layers: Vec<Affine>,
        select: Option<usize>,
    },
}

#[derive(Debug)]
pub(super) struct Affine {
    /// `[outputs, inputs]`; nothing where only the bias counts.
    weight: Option<Tensor<2>>,
    /// `[1, outputs]`
    bias: Tensor<2>,
}

/// What the experts weigh.
#[derive(Debug, Clone)]
pub(super) enum Gates {
    /// For every token, `[n · tokens, experts]`.
    Tokens(Tensor<2>),
    /// For every image, `[n, experts]`, or one weight for each component of their changes.
    Images(Tensor<2>),
}

impl Gate {
    /// On a device with autodiff, its numbers ask for slopes if they are ever trained.
    pub fn new(router: &Router, device: &Device) -> Self {
        match router {
            Router::Norms(norms) => {
                let Norms { rank, inputs, directions, top } = &**norms;
                let rows = directions.len() / (*inputs).max(1);
                let directions = Tensor::<2>::from_data(TensorData::new(directions.clone(), [rows, *inputs]), device);
                Self::Norms { directions: Box::new(directions.transpose()), rank: *rank, top: *top }
            }
            Router::Perceptron(network) => {
                let Perceptron { sees, layers, select } = &**network;
                let leaf = |values: &[f32], rows, columns| {
                    let leaf = Tensor::<2>::from_data(TensorData::new(values.to_vec(), [rows, columns]), device);
                    if device.is_autodiff() { leaf.require_grad() } else { leaf }
                };
                let layer = |layer: &crate::fusion::Affine| Affine {
                    weight: (layer.inputs > 0).then(|| leaf(&layer.weight, layer.bias.len(), layer.inputs)),
                    bias: leaf(&layer.bias, 1, layer.bias.len()),
                };
                Self::Perceptron { sees: *sees, layers: layers.iter().map(layer).collect(), select: *select }
            }
        }
    }

    /// Whether it looks at all tokens of an image at once.
    pub fn sees_all_tokens(&self) -> bool {
        matches!(self, Self::Perceptron { sees: Sees::Tokens, .. })
    }

    /// Whether it looks at the backbone's features, not at what its place is given.
    pub fn sees_features(&self) -> bool {
        matches!(self, Self::Perceptron { sees: Sees::Features, .. })
    }

    /// The mean over tokens of what a router looks at that has one answer an image, `[n, inputs]`.
    pub fn looks_at(&self, input: &Tensor<3>) -> Option<Tensor<2>> {
        let [n, _, inputs] = input.dims();
        let Self::Perceptron { .. } = self else { return None };
        Some(input.clone().detach().mean_dim(1).reshape([n, inputs]))
    }

    /// Looks at `[n, tokens, inputs]`; features are a single token.
    pub fn weigh(&self, input: &Tensor<3>) -> Gates {
        let [n, tokens, inputs] = input.dims();
        let rows = || input.clone().reshape([n * tokens, inputs]);
        match self {
            Self::Norms { directions, rank, top } => {
                let along = rows().matmul(Tensor::clone(directions));
                let [rows, columns] = along.dims();
                let norms = along.square().reshape([rows, columns / rank, *rank]).sum_dim(2).sqrt();
                Gates::Tokens(largest(softmax(norms.reshape([rows, columns / rank]), 1), *top))
            }
            Self::Perceptron { layers, select, .. } => {
                let mut found = rows();
                for (at, layer) in layers.iter().enumerate() {
                    let input = if at == 0 { found } else { relu(found) };
                    found = match &layer.weight {
                        Some(weight) => input.matmul(weight.clone().transpose()) + layer.bias.clone(),
                        None => layer.bias.clone().repeat_dim(0, n * tokens),
                    };
                }
                let width = found.dims()[1];
                let weights = found.reshape([n, tokens, width]).mean_dim(1).reshape([n, width]);
                Gates::Images(match select {
                    Some(count) => let_through(weights, *count),
                    None => weights,
                })
            }
        }
    }

    /// The slopes over all its numbers, of each layer the weight, then the bias; nothing for what is not trained.
    pub fn gradients(&self, gradients: &Gradients) -> Vec<Tensor<2>> {
        let Self::Perceptron { layers, .. } = self else { return Vec::new() };
        // What a loss does not depend on has no slope in the graph.
        let of = |leaf: &Tensor<2>| leaf.grad(gradients).unwrap_or_else(|| leaf.clone().inner().zeros_like());
        layers.iter().flat_map(|layer| layer.weight.iter().chain([&layer.bias])).map(of).collect()
    }
}

impl Gates {
    /// Per image, `[n, experts]`; means over tokens, or over components.
    pub fn of_images(self, n: usize, experts: usize) -> Tensor<2> {
        match self {
            Self::Tokens(weights) => {
                let [rows, experts] = weights.dims();
                weights.reshape([n, rows / n.max(1), experts]).mean_dim(1).reshape([n, experts])
            }
            Self::Images(weights) => {
                let each = weights.dims()[1] / experts.max(1);
                weights.reshape([n, experts, each]).mean_dim(2).reshape([n, experts])
            }
        }
    }
}

/// About the `count` largest weights of every row, as they are; the others nearly zero.
fn let_through(weights: Tensor<2>, count: usize) -> Tensor<2> {
    let width = weights.dims()[1];
    if count >= width {
        return weights;
    }
    // Where the threshold lies is not learned.
    let threshold = weights.clone().detach().topk(count, 1).narrow(1, count - 1, 1);
    let share = sigmoid((weights.clone() - threshold).mul_scalar(Perceptron::SHARPNESS));
    weights * share
}
/// The `top` largest weights of every row, made to add up to 1; of equal ones the first.
fn largest(weights: Tensor<2>, top: usize) -> Tensor<2> {
    let [_, experts] = weights.dims();
    if top >= experts {
        return weights;
    }
    let places = Tensor::<1, Int>::arange(0..experts as i64, &weights.device()).reshape([1, experts]);
    let (mut left, mut kept) = (weights.clone(), None::<Tensor<2, Bool>>);
    for _ in 0..top {
        let (_, at) = left.clone().max_dim_with_indices(1);
        let here = at.repeat_dim(1, experts).equal(places.clone().expand(left.dims()));
        left = left.mask_fill(here.clone(), -1.0);
        kept = Some(match kept {
            None => here,
            Some(kept) => kept.bool_or(here),
        });
    }
    let Some(kept) = kept else { return weights };
    let kept = weights.mask_fill(kept.bool_not(), 0.0);
    let sum = kept.clone().sum_dim(1);
    kept / sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_weights_add_up_to_one_and_of_equal_ones_the_first_is_kept() {
        let weights = Tensor::<2>::from_data([[0.5, 0.3, 0.2], [0.25, 0.25, 0.5], [0.4, 0.4, 0.2]], &Device::flex());
        let of = |top: usize| largest(weights.clone(), top).into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(of(1), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        let two = of(2);
        let expected = [0.625, 0.375, 0.0, 1.0 / 3.0, 0.0, 2.0 / 3.0, 0.5, 0.5, 0.0];
        assert!(two.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{two:?}");
        assert_eq!(of(3), weights.into_data().try_into_vec::<f32>().unwrap());
    }
}
