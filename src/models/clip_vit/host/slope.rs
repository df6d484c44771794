//! The slope over all of a tower's weights, in a checkpoint's layout.

use super::backward::Ledger;
use super::tape::Tape;
use super::weight::Matrix;
use super::{Host, cut};
use crate::models::clip_vit::kernels::slopes;
use crate::models::clip_vit::layout::{self, Entry, Kept};

/// One number for each weight, tensor by tensor as the layout counts them, linear weights `[out, in]`.
pub(super) struct Slope {
    vectors: Vec<Vec<f32>>,
    matrices: Vec<Vec<f32>>,
}

impl Slope {
    pub fn new(entries: &[Entry], values: impl Iterator<Item = Vec<f32>>) -> Self {
        let (mut vectors, mut matrices) = (Vec::new(), Vec::new());
        for (entry, values) in entries.iter().zip(values) {
            let side = if matches!(entry.kept, Kept::Vector(_)) { &mut vectors } else { &mut matrices };
            side.push(values);
        }
        Self { vectors, matrices }
    }

    /// A tensor's numbers, which are not needed here any more.
    pub fn take(&mut self, entry: &Entry) -> Vec<f32> {
        match entry.kept {
            Kept::Vector(at) => std::mem::take(&mut self.vectors[at]),
            Kept::Matrix(at) | Kept::Transposed(at) => std::mem::take(&mut self.matrices[at]),
        }
    }

    /// Adds what a matrix gets: `over`, `[rows, outputs]`, times `inputs`, `[rows, inputs]`.
    fn add(&mut self, at: usize, inputs: Matrix<'_>, over: Matrix<'_>) {
        over.transposed().times_onto(inputs, &mut self.matrices[at]);
    }
}

impl Ledger<Matrix<'_>> for Slope {
    fn product(&mut self, at: usize, weight: &Matrix<'_>, inputs: &[f32], over: &[f32], onto: &mut [f32]) {
        let over = Matrix::new(over, weight.rows());
        self.add(at, Matrix::new(inputs, weight.columns()), over);
        over.times_onto(*weight, onto);
    }

    fn bias(&mut self, at: usize, over: &[f32]) {
        slopes::column_sums(over, &mut self.vectors[at]);
    }

    fn norm(&mut self, at: usize) -> (&mut [f32], &mut [f32]) {
        let (weight, bias) = self.vectors[at..].split_at_mut(1);
        (&mut weight[0], &mut bias[0])
    }
}

impl Host<'_, Matrix<'_>> {
    /// Adds to `slope` what a micro-batch contributes. `pixels` and `shape` are those of the way there, `over` is the slope over
    /// its features, `[n · feature_dim]`.
    pub(super) fn follow(
        &self,
        (pixels, shape): (&[f32], [usize; 3]),
        mut tape: Tape,
        over: &[f32],
        slope: &mut Slope,
    ) {
        let back = self.backward(&mut tape, over, slope);
        let Some(embedded) = tape.embedded else { return };
        let (hidden, tokens) = (self.config.hidden_size, self.config.tokens());
        let mut raw = vec![0.0; back.len()];
        self.norm_back(&embedded, &self.pre_norm.weight, &back, &mut raw, slope.norm(layout::PRE_NORM));
        let mut patches = Vec::with_capacity(raw.len());
        for image in raw.chunks_exact(tokens * hidden) {
            slopes::column_sums(image, &mut slope.matrices[layout::POSITION]);
            slopes::column_sums(&image[..hidden], &mut slope.vectors[layout::CLASS]);
            patches.extend_from_slice(&image[hidden..]);
        }
        let seen = cut(pixels, shape, self.config);
        slope.add(layout::PATCH, Matrix::new(&seen, self.config.patch_len()), Matrix::new(&patches, hidden));
    }
}
