//! The way back through the tower: from the slope over features to that over all weights, in a checkpoint's layout.

use super::tape::{Passed, Tape};
use super::weight::Matrix;
use super::{Host, cut, first};
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

    /// Adds a linear layer's: of the weight, and of the bias if it has one. `inputs` are `[rows, in]`, `over`, the slope over
    /// what the layer gives, is `[rows, out]`.
    fn linear(&mut self, matrix: usize, bias: Option<usize>, inputs: Matrix<'_>, over: (&[f32], usize)) {
        let (over, width) = over;
        Matrix::new(over, width).transposed().times_onto(inputs, &mut self.matrices[matrix]);
        if let Some(bias) = bias {
            slopes::column_sums(over, &mut self.vectors[bias]);
        }
    }

    /// A norm's weight and bias, of which the weight is vector `at`.
    fn norm(&mut self, at: usize) -> (&mut [f32], &mut [f32]) {
        let (weight, bias) = self.vectors[at..].split_at_mut(1);
        (&mut weight[0], &mut bias[0])
    }
}

impl Host<'_, Matrix<'_>> {
    /// Adds to `slope` what a micro-batch contributes. `pixels` and `shape` are those of the way there, `over` is the slope over
    /// its features, `[n · feature_dim]`.
    pub(super) fn backward(&self, (pixels, shape): (&[f32], [usize; 3]), tape: Tape, over: &[f32], slope: &mut Slope) {
        let Tape { embedded, mut blocks, class } = tape;
        let (hidden, tokens, layers) = (self.config.hidden_size, self.config.tokens(), self.layers.len());
        let n = class.len() / hidden;
        let pooled = match &self.projection {
            Some(weight) => {
                let dim = self.config.projection_dim;
                let pooled = self.norm(&class, &self.post_norm);
                slope.linear(layout::layer_matrices(layers), None, Matrix::new(&pooled, hidden), (over, dim));
                Matrix::new(over, dim).times(*weight)
            }
            None => over.to_vec(),
        };
        let mut back = vec![0.0; class.len()];
        self.norm_back(&class, &self.post_norm.weight, &pooled, &mut back, slope.norm(layout::layer_vectors(layers)));
        for layer in (0..layers).rev() {
            let Some(passed) = blocks.pop() else { return };
            let queries = if layer + 1 == layers { 1 } else { tokens };
            back = self.block_back(layer, passed, back, (n, queries), slope);
        }
        let Some(embedded) = embedded else { return };
        let mut raw = vec![0.0; back.len()];
        self.norm_back(&embedded, &self.pre_norm.weight, &back, &mut raw, slope.norm(layout::PRE_NORM));
        let mut patches = Vec::with_capacity(n * (tokens - 1) * hidden);
        for image in raw.chunks_exact(tokens * hidden) {
            slopes::column_sums(image, &mut slope.matrices[layout::POSITION]);
            slopes::column_sums(&image[..hidden], &mut slope.vectors[layout::CLASS]);
            patches.extend_from_slice(&image[hidden..]);
        }
        let seen = cut(pixels, shape, self.config);
        slope.linear(layout::PATCH, None, Matrix::new(&seen, self.config.patch_len()), (&patches, hidden));
    }

    /// From the slope over what a block gives, `[n · queries · hidden]`, to that over what it is given, `[n · tokens · hidden]`.
    fn block_back(
        &self,
        at: usize,
        passed: Passed,
        mut back: Vec<f32>,
        (n, queries): (usize, usize),
        slope: &mut Slope,
    ) -> Vec<f32> {
        let layer = &self.layers[at];
        let (tokens, hidden, wide) = (self.config.tokens(), self.config.hidden_size, self.config.intermediate_size);
        let (vectors, matrices) = (layout::layer_vectors(at), layout::layer_matrices(at));
        let Passed { input, query, key, value, mixed, middle, mut inner } = passed;

        let mut rise = vec![0.0; inner.len()];
        slopes::activation(&mut inner, &layer.fc1.bias, self.config.hidden_act, &mut rise);
        slope.linear(matrices + 5, Some(vectors + 7), Matrix::new(&inner, wide), (&back, hidden));
        let mut over = Matrix::new(&back, hidden).times(layer.fc2.weight);
        slopes::scale(&mut over, &rise);
        let normed = self.norm(&middle, &layer.norm2);
        slope.linear(matrices + 4, Some(vectors + 6), Matrix::new(&normed, hidden), (&over, wide));
        let over = Matrix::new(&over, wide).times(layer.fc1.weight);
        self.norm_back(&middle, &layer.norm2.weight, &over, &mut back, slope.norm(vectors + 8));

        slope.linear(matrices + 3, Some(vectors + 3), Matrix::new(&mixed, hidden), (&back, hidden));
        let over = Matrix::new(&back, hidden).times(layer.out.weight);
        let sizes = self.attention(queries);
        let mut scratch = slopes::Scratch::new(&sizes);
        let (mut asked, mut keyed, mut valued) = (vec![0.0; query.len()], vec![0.0; key.len()], vec![0.0; value.len()]);
        let biases = (&layer.query.bias[..], &layer.value.bias[..]);
        for image in 0..n {
            let asking = image * queries * hidden..(image + 1) * queries * hidden;
            let seen = image * tokens * hidden..(image + 1) * tokens * hidden;
            let given = (&query[asking.clone()], &key[seen.clone()], &value[seen.clone()]);
            let found = (&mut asked[asking.clone()], &mut keyed[seen.clone()], &mut valued[seen]);
            slopes::attend(&sizes, given, biases, &over[asking], &mut scratch, found);
        }

        let normed = self.norm(&input, &layer.norm1);
        let everything = queries == tokens;
        let asking = if everything { None } else { Some(first(&normed, tokens * hidden, queries * hidden)) };
        let asking = Matrix::new(asking.as_ref().unwrap_or(&normed), hidden);
        let normed = Matrix::new(&normed, hidden);
        slope.linear(matrices, Some(vectors), normed, (&keyed, hidden));
        slope.linear(matrices + 1, Some(vectors + 1), normed, (&valued, hidden));
        slope.linear(matrices + 2, Some(vectors + 2), asking, (&asked, hidden));
        let mut over = Matrix::new(&keyed, hidden).times(layer.key.weight);
        Matrix::new(&valued, hidden).times_onto(layer.value.weight, &mut over);
        if everything {
            Matrix::new(&asked, hidden).times_onto(layer.query.weight, &mut over);
        } else {
            let asked = Matrix::new(&asked, hidden).times(layer.query.weight);
            add_to_first(&mut over, tokens * hidden, &asked, queries * hidden);
            let mut whole = vec![0.0; input.len()];
            add_to_first(&mut whole, tokens * hidden, &back, queries * hidden);
            back = whole;
        }
        self.norm_back(&input, &layer.norm1.weight, &over, &mut back, slope.norm(vectors + 4));
        back
    }

    /// Adds the slope over what a norm is given, `x`, to `back`, and that over its weight and bias to `own`.
    fn norm_back(&self, x: &[f32], weight: &[f32], over: &[f32], back: &mut [f32], own: (&mut [f32], &mut [f32])) {
        slopes::layer_norm(x, weight, over, self.config.layer_norm_eps as f32, back, own);
    }
}

/// Adds so many values, one lot after the other, to the first of every `every`.
fn add_to_first(values: &mut [f32], every: usize, more: &[f32], count: usize) {
    for (values, more) in values.chunks_exact_mut(every).zip(more.chunks_exact(count)) {
        values.iter_mut().zip(more).for_each(|(value, more)| *value += more);
    }
}
