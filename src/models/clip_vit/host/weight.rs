//! Matrix products with the weights of linear layers, as burn's tensors or as a checkpoint has them.

use burn::tensor::{Device, Tensor, TensorData};

/// The weight of a linear layer.
pub(in crate::models::clip_vit) trait Weight: Sized {
    /// `left`, `[rows, inputs]`, times each of `weights`: `[rows, outputs]`. It takes the left side over, which saves some a
    /// copy. Nothing when a tensor is not f32.
    fn products<const N: usize>(left: Vec<f32>, inputs: usize, weights: [&Self; N]) -> Option<[Vec<f32>; N]>;

    /// Is shown what all tokens have for it, `[rows, inputs]`, before a product of only the class tokens' is asked for.
    fn look(&self, _all: &[f32], _inputs: usize) {}
}

/// `[inputs, outputs]`
impl Weight for Tensor<2> {
    fn products<const N: usize>(left: Vec<f32>, inputs: usize, weights: [&Self; N]) -> Option<[Vec<f32>; N]> {
        let rows = left.len() / inputs;
        let left = Tensor::<2>::from_data(TensorData::new(left, [rows, inputs]), &Device::flex());
        let product = |weight: &Self| left.clone().matmul(weight.clone()).into_data().try_into_vec().ok();
        let products: Option<Vec<Vec<f32>>> = weights.into_iter().map(product).collect();
        products?.try_into().ok()
    }
}

impl Weight for Matrix<'_> {
    fn products<const N: usize>(left: Vec<f32>, inputs: usize, weights: [&Self; N]) -> Option<[Vec<f32>; N]> {
        let left = Matrix::new(&left, inputs);
        Some(weights.map(|weight| left.times(weight.transposed())))
    }
}

/// A matrix whose rows, or columns, stand one after the other in a slice.
#[derive(Debug, Clone, Copy)]
pub(in crate::models::clip_vit) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Elements between two rows, and between two columns.
    strides: (usize, usize),
}

impl<'a> Matrix<'a> {
    /// Rows of so many columns.
    pub fn new(values: &'a [f32], columns: usize) -> Self {
        Self { values, rows: values.len() / columns, columns, strides: (columns, 1) }
    }

    /// As they lie in memory.
    pub fn values(self) -> &'a [f32] {
        self.values
    }

    pub fn rows(self) -> usize {
        self.rows
    }

    pub fn columns(self) -> usize {
        self.columns
    }

    pub fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, strides: (self.strides.1, self.strides.0), ..self }
    }

    /// The product, row by row.
    pub fn times(self, right: Matrix<'_>) -> Vec<f32> {
        let mut out = vec![0.0; self.rows * right.columns];
        self.multiply(right, &mut out, false);
        out
    }

    /// `out = self · right`, row by row.
    pub fn times_to(self, right: Matrix<'_>, out: &mut [f32]) {
        self.multiply(right, out, false);
    }

    /// `out += self · right`, row by row.
    pub fn times_onto(self, right: Matrix<'_>, out: &mut [f32]) {
        self.multiply(right, out, true);
    }

    /// On all of the current pool's threads where that pays, as burn's own product does it.
    fn multiply(self, right: Matrix<'_>, out: &mut [f32], add: bool) {
        const PARALLEL: usize = 192 * 192 * 192;
        let (rows, inner, columns) = (self.rows, self.columns, right.columns);
        assert!(inner == right.rows && out.len() == rows * columns, "sizes of a matrix product");
        assert!(self.values.len() >= rows * inner && right.values.len() >= inner * columns, "sizes of its sides");
        let parallel = rows * inner * columns >= PARALLEL && rayon::current_num_threads() > 1;
        let threads = if parallel { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
        let ((left_row, left_column), (right_row, right_column)) = (self.strides, right.strides);
        // SAFETY: both sides and `out` hold as many elements as their sizes say, which was just made sure of; strides are those
        // of a dense matrix of these sizes; `out` is borrowed by nobody else.
        #[allow(unsafe_code)]
        unsafe {
            gemm::gemm(
                rows,
                columns,
                inner,
                out.as_mut_ptr(),
                1,
                columns as isize,
                add,
                self.values.as_ptr(),
                left_column as isize,
                left_row as isize,
                right.values.as_ptr(),
                right_column as isize,
                right_row as isize,
                1.0,
                1.0,
                false,
                false,
                false,
                threads,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_what_they_are_called() {
        let wave = |len: usize, by: f32| (0..len).map(|at| (at as f32 * by).sin()).collect::<Vec<f32>>();
        // The last is large enough for several threads.
        for (rows, inner, columns) in [(1, 1, 1), (3, 5, 7), (200, 193, 194)] {
            let (a, b) = (wave(rows * inner, 0.7), wave(inner * columns, 1.3));
            let want = |row: usize, column: usize| -> f64 {
                (0..inner).map(|k| f64::from(a[row * inner + k]) * f64::from(b[k * columns + column])).sum()
            };
            let (left, right) = (Matrix::new(&a, inner), Matrix::new(&b, columns));
            let plain = left.times(right);
            let mut twice = plain.clone();
            left.times_onto(right, &mut twice);
            let turned = right.transposed().times(left.transposed());
            for row in 0..rows {
                for column in 0..columns {
                    let (at, want) = (row * columns + column, want(row, column));
                    assert!((f64::from(plain[at]) - want).abs() < 1e-4);
                    assert!((f64::from(twice[at]) - 2.0 * want).abs() < 2e-4);
                    assert!((f64::from(turned[column * rows + row]) - want).abs() < 1e-4);
                }
            }
        }
    }
}
