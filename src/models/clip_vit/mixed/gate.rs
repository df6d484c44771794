//! Routers on a device.

use crate::fusion::{Norms, Router};
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

#[derive(Debug)]
pub(super) enum Gate {
    /// `[inputs, expert · rank]`
    Norms { directions: Tensor<2>, rank: usize, top: usize },
}

/// What the experts weigh.
#[derive(Debug, Clone)]
pub(super) enum Gates {
    /// For every token, `[n · tokens, experts]`.
    Tokens(Tensor<2>),
}

impl Gate {
    pub fn new(router: &Router, device: &Device) -> Self {
        match router {
            Router::Norms(norms) => {
                let Norms { rank, inputs, directions, top } = &**norms;
                let rows = directions.len() / (*inputs).max(1);
                let directions = Tensor::<2>::from_data(TensorData::new(directions.clone(), [rows, *inputs]), device);
                Self::Norms { directions: directions.transpose(), rank: *rank, top: *top }
            }
        }
    }

    /// Whether it looks at whole images, not at single tokens.
    pub fn looks_at_images(&self) -> bool {
        match self {
            Self::Norms { .. } => false,
        }
    }

    /// Looks at `[n, tokens, inputs]`.
    pub fn weigh(&self, input: &Tensor<3>) -> Gates {
        let [n, tokens, inputs] = input.dims();
        match self {
            Self::Norms { directions, rank, top } => {
                let along = input.clone().reshape([n * tokens, inputs]).matmul(directions.clone());
                let [rows, columns] = along.dims();
                let norms = along.square().reshape([rows, columns / rank, *rank]).sum_dim(2).sqrt();
                Gates::Tokens(largest(softmax(norms.reshape([rows, columns / rank]), 1), *top))
            }
        }
    }
}

impl Gates {
    /// Per image, `[n, experts]`.
    pub fn of_images(self, n: usize) -> Tensor<2> {
        match self {
            Self::Tokens(weights) => {
                let [rows, experts] = weights.dims();
                weights.reshape([n, rows / n.max(1), experts]).mean_dim(1).reshape([n, experts])
            }
        }
    }
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
