//! Scalar products between all experts, tensor by tensor, in f64.

use super::chunks::map_chunks;
use super::rows::rows;
use super::wide::wide;
use crate::fusion::{Context, FusionError, Pool};

/// Whose scalar products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) enum Of {
    /// ⟨θᵢ, θⱼ⟩
    Weights,
    /// ⟨τᵢ, τⱼ⟩
    TaskVectors,
}

/// The scalar products within one tensor; all zero for integer buffers.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::fusion) struct Products {
    experts: usize,
    /// For i ≤ j, row by row.
    sums: Vec<f64>,
    /// ‖θ₀‖², where there is a base.
    pub base: f64,
}

impl Products {
    pub(super) fn new(experts: usize, sums: Vec<f64>) -> Self {
        Self { experts, sums, base: 0.0 }
    }

    /// How many experts there are.
    pub(in crate::fusion) fn experts(&self) -> usize {
        self.experts
    }

    /// ⟨i, j⟩
    pub(in crate::fusion) fn at(&self, i: usize, j: usize) -> f64 {
        let (i, j) = (i.min(j), i.max(j));
        // Row i starts after i rows of lengths T, T−1, …
        self.sums[i * (2 * self.experts + 1 - i) / 2 + j - i]
    }
}

/// The scalar products of every tensor of the pool, in the reference's order.
///
/// # Errors
/// Cancellation; a model that lacks a tensor.
pub(in crate::fusion) fn products(pool: &Pool, of: Of, cx: &mut Context<'_>) -> Result<Vec<Products>, FusionError> {
    let rows = rows(pool)?;
    let experts = pool.experts().len();
    let all: Vec<usize> = (0..experts).collect();
    let zero = Products { experts, sums: vec![0.0; experts * (experts + 1) / 2], base: 0.0 };
    let mut products = vec![zero; rows.len()];
    let floats = rows.iter().enumerate().filter(|(_, row)| row.info.dtype.is_float());
    let partial = map_chunks(floats.map(|(at, row)| (at, row.info.len())), cx.cancel, |piece, scratch| {
        rows[piece.tensor].read(&all, &piece.range, &mut scratch.decode, |base, experts| gram(of, base, experts))
    })?;
    // In order, so that the sums are the same whatever the number of cores.
    for (piece, (base, sums)) in partial {
        let product = &mut products[piece.tensor];
        product.base += base;
        product.sums.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    Ok(products)
}

/// The scalar products of one slice of every model.
pub(super) fn products_of(of: Of, base: &[f32], experts: &[&[f32]]) -> Products {
    let (base, sums) = gram(of, base, experts);
    Products { experts: experts.len(), sums, base }
}

/// Elements whose f64 copies of some models fit into the nearest caches.
const BLOCK: usize = 512;

/// ⟨θ₀, θ₀⟩ and the products for i ≤ j, row by row, over one chunk.
fn gram(of: Of, base: &[f32], experts: &[&[f32]]) -> (f64, Vec<f64>) {
    let count = experts.len();
    let (mut square, mut sums) = (0.0, vec![0.0; count * (count + 1) / 2]);
    let length = experts.first().map_or(base.len(), |expert| expert.len());
    let room = BLOCK.min(length.max(1));
    let mut wide = vec![0.0f64; (count + 1) * room];
    for start in (0..length).step_by(room) {
        let block = start..length.min(start + room);
        // The base, and then the experts or their task vectors; what is beyond the end is zero.
        let (zeroth, vectors) = wide.split_at_mut(room);
        zeroth.fill(0.0);
        if !base.is_empty() {
            zeroth.iter_mut().zip(&base[block.clone()]).for_each(|(wide, &x)| *wide = x.into());
        }
        for (vector, expert) in vectors.chunks_exact_mut(room).zip(experts) {
            vector.fill(0.0);
            let expert = &expert[block.clone()];
            match of {
                Of::Weights => vector.iter_mut().zip(expert).for_each(|(wide, &x)| *wide = x.into()),
                Of::TaskVectors => {
                    let pairs = expert.iter().zip(&base[block.clone()]);
                    vector.iter_mut().zip(pairs).for_each(|(wide, (a, b))| *wide = (a - b).into());
                }
            }
        }
        square += dot(zeroth, zeroth);
        let vector = |at: usize| &vectors[at * room..(at + 1) * room];
        let pairs = (0..count).flat_map(|i| (i..count).map(move |j| (i, j)));
        sums.iter_mut().zip(pairs).for_each(|(sum, (i, j))| *sum += dot(vector(i), vector(j)));
    }
    (square, sums)
}

wide! {
    /// ⟨a, b⟩
    pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 = dot_body
}

#[inline(always)]
fn dot_body(a: &[f64], b: &[f64]) -> f64 {
    let (heads, tails) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut lanes = [0.0f64; 16];
    for (a, b) in heads.0.iter().zip(tails.0) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest: f64 = heads.1.iter().zip(tails.1).map(|(&a, &b)| a * b).sum();
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_found_by_pair() {
        let products = Products { experts: 4, sums: (0..10).map(f64::from).collect(), base: 0.0 };
        let table: Vec<Vec<f64>> = (0..4).map(|i| (0..4).map(|j| products.at(i, j)).collect()).collect();
        assert_eq!(table, [[0., 1., 2., 3.], [1., 4., 5., 6.], [2., 5., 7., 8.], [3., 6., 8., 9.]]);
    }

    #[test]
    fn scalar_products_of_any_length() {
        for length in [0, 1, 15, 16, 17, 511, 512, 1100] {
            let a: Vec<f32> = (0..length).map(|x| x as f32).collect();
            let expected: f64 = a.iter().map(|&x| f64::from(x).powi(2)).sum();
            let (square, sums) = gram(Of::TaskVectors, &a, &[&vec![0.0; length], &a]);
            assert_eq!((square, sums), (expected, vec![expected, 0.0, 0.0]), "{length}");
            assert_eq!(gram(Of::Weights, &[], &[&a]), (0.0, vec![expected]), "{length}");
        }
    }
}
