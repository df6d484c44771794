//! Routers on the CPU, and their way back.

use crate::fusion::{Affine, Norms, Perceptron, Router};
use crate::models::clip_vit::host::weight::Matrix;
use crate::models::clip_vit::kernels::slopes;

/// What a router has said of a micro-batch.
pub(super) struct Said {
    pub gates: Gates,
    /// What the way back needs, where there is one.
    memory: Option<Memory>,
}

/// What the experts, or the components of their changes, weigh.
pub(super) enum Gates {
    /// For every token, `[rows, experts]`.
    Tokens(Vec<f32>),
    /// For every image, `[n, experts or components]`.
    Images(Vec<f32>),
}

struct Memory {
    /// What each layer was given, `[rows, inputs]`; the first layer's are means over an image's tokens where the others do
    /// not need more.
    given: Vec<Vec<f32>>,
    /// Before only some were let through, `[n, width]`.
    raw: Vec<f32>,
    /// Images.
    n: usize,
    /// Rows an image, of `given`.
    rows: usize,
    /// Tokens an image that it looked at.
    tokens: usize,
}

/// Shows a router `[n · tokens, inputs]`; features are a single token.
pub(super) fn ask(router: &Router, seen: &[f32], inputs: usize, n: usize) -> Said {
    match router {
        Router::Norms(norms) => Said { gates: Gates::Tokens(by_norms(norms, seen, inputs)), memory: None },
        Router::Perceptron(network) => ask_network(network, seen, inputs, n),
    }
}

fn by_norms(norms: &Norms, seen: &[f32], inputs: usize) -> Vec<f32> {
    let Norms { rank, directions, top, .. } = norms;
    let along = Matrix::new(seen, inputs).times(Matrix::new(directions, inputs).transposed());
    let length = |part: &[f32]| part.iter().map(|x| x * x).sum::<f32>().sqrt();
    let mut weights: Vec<f32> = along.chunks_exact((*rank).max(1)).map(length).collect();
    let experts = directions.len() / (rank * inputs).max(1);
    for row in weights.chunks_exact_mut(experts.max(1)) {
        softmax(row);
        largest(row, *top);
    }
    weights
}

fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for x in row.iter_mut() {
        *x = (*x - most).exp();
    }
    share_out(row);
}

/// Keeps the `top` largest, of equal ones the first, and makes them add up to 1.
fn largest(row: &mut [f32], top: usize) {
    if top >= row.len() {
        return;
    }
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
    order[top..].iter().for_each(|&at| row[at] = 0.0);
    share_out(row);
}

fn share_out(row: &mut [f32]) {
    let sum: f32 = row.iter().sum();
    for x in row {
        *x /= sum;
    }
}

fn ask_network(network: &Perceptron, seen: &[f32], inputs: usize, n: usize) -> Said {
    let tokens = seen.len() / (n * inputs).max(1);
    // A single layer of a mean is the mean of its answers.
    let (mut found, rows) =
        if network.layers.len() <= 1 { (means(seen, inputs, tokens), 1) } else { (seen.to_vec(), tokens) };
    let mut given = Vec::with_capacity(network.layers.len());
    for (at, layer) in network.layers.iter().enumerate() {
        if at > 0 {
            for x in &mut found {
                // What is no number stays so.
                *x = if *x < 0.0 { 0.0 } else { *x };
            }
        }
        let next = answers(layer, &found, n * rows);
        given.push(std::mem::replace(&mut found, next));
    }
    let width = network.layers.last().map_or(0, |layer| layer.bias.len());
    let raw = means(&found, width, rows);
    let mut weights = raw.clone();
    if let Some(count) = network.select.filter(|&count| count < width) {
        for row in weights.chunks_exact_mut(width) {
            let threshold = threshold(row, count);
            for x in row {
                *x *= sigmoid(Perceptron::SHARPNESS * (*x - threshold));
            }
        }
    }
    Said { gates: Gates::Images(weights), memory: Some(Memory { given, raw, n, rows, tokens }) }
}

/// Ax + b of every row.
fn answers(layer: &Affine, input: &[f32], rows: usize) -> Vec<f32> {
    let width = layer.bias.len();
    let mut found = match layer.inputs {
        0 => vec![0.0; rows * width],
        inputs => Matrix::new(input, inputs).times(Matrix::new(&layer.weight, inputs).transposed()),
    };
    for row in found.chunks_exact_mut(width.max(1)) {
        row.iter_mut().zip(&layer.bias).for_each(|(x, bias)| *x += bias);
    }
    found
}

/// The mean of every `rows` rows.
pub(super) fn means(values: &[f32], width: usize, rows: usize) -> Vec<f32> {
    if rows == 1 {
        return values.to_vec();
    }
    let mut found = vec![0.0; values.len() / rows.max(1)];
    for (values, mean) in values.chunks_exact((rows * width).max(1)).zip(found.chunks_exact_mut(width.max(1))) {
        slopes::column_sums(values, mean);
        for x in mean {
            *x /= rows as f32;
        }
    }
    found
}

/// The `count`-th largest; where it lies is not learned.
fn threshold(row: &[f32], count: usize) -> f32 {
    let mut sorted = row.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    sorted.get(count.saturating_sub(1)).copied().unwrap_or(f32::NEG_INFINITY)
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Said {
    /// What the network looked at, the mean over an image's tokens, `[n, inputs]`; nothing for a router of another kind.
    pub fn seen(&self) -> Option<Vec<f32>> {
        let Memory { given, rows, n, .. } = self.memory.as_ref()?;
        let first = given.first()?;
        Some(means(first, first.len() / (n * rows).max(1), *rows))
    }

    /// Adds the slope over the network's numbers to `slope`, in the order of [`Perceptron::numbers`], and that over what it
    /// looked at to `onto`, `[n · tokens, inputs]`, unless these are features; `over` is the slope over the gates.
    pub fn back(&self, network: &Perceptron, mut over: Vec<f32>, slope: &mut [f32], onto: Option<&mut [f32]>) {
        let Some(Memory { given, raw, rows, tokens, .. }) = &self.memory else { return };
        let width = network.layers.last().map_or(0, |layer| layer.bias.len());
        if let Some(count) = network.select.filter(|&count| count < width) {
            for (over, raw) in over.chunks_exact_mut(width).zip(raw.chunks_exact(width)) {
                let threshold = threshold(raw, count);
                for (over, raw) in over.iter_mut().zip(raw) {
                    let share = sigmoid(Perceptron::SHARPNESS * (raw - threshold));
                    *over *= share + raw * Perceptron::SHARPNESS * share * (1.0 - share);
                }
            }
        }
        let mut over = spread(&over, width, *rows);
        let mut end = network.len();
        for (at, layer) in network.layers.iter().enumerate().rev() {
            let width = layer.bias.len();
            let start = end - layer.weight.len() - width;
            let (weight, bias) = slope[start..end].split_at_mut(layer.weight.len());
            end = start;
            slopes::column_sums(&over, bias);
            if layer.inputs == 0 {
                return;
            }
            let inputs = Matrix::new(&given[at], layer.inputs);
            let from = Matrix::new(&over, width);
            from.transposed().times_onto(inputs, weight);
            let mut next = from.times(Matrix::new(&layer.weight, layer.inputs));
            if at > 0 {
                // What the rectifier has let through.
                next.iter_mut().zip(&given[at]).filter(|(_, given)| **given <= 0.0).for_each(|(next, _)| *next = 0.0);
            }
            over = next;
        }
        let (Some(onto), Some(first)) = (onto, network.layers.first()) else { return };
        let each = tokens / rows;
        let share = 1.0 / each as f32;
        for (onto, over) in onto.chunks_exact_mut(each * first.inputs).zip(over.chunks_exact(first.inputs)) {
            for onto in onto.chunks_exact_mut(first.inputs) {
                onto.iter_mut().zip(over).for_each(|(onto, over)| *onto += share * over);
            }
        }
    }
}

/// The slope over rows of the slope over their means.
fn spread(over: &[f32], width: usize, rows: usize) -> Vec<f32> {
    let share = 1.0 / rows as f32;
    let each = |row: &[f32]| row.iter().map(|x| x * share).collect::<Vec<f32>>().repeat(rows);
    over.chunks_exact(width.max(1)).flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_weights_add_up_to_one_and_of_equal_ones_the_first_is_kept() {
        let of = |row: [f32; 3], top: usize| {
            let mut row = row;
            largest(&mut row, top);
            row
        };
        assert_eq!(of([0.5, 0.3, 0.2], 1), [1.0, 0.0, 0.0]);
        assert_eq!(of([0.4, 0.4, 0.2], 1), [1.0, 0.0, 0.0]);
        let two = of([0.25, 0.25, 0.5], 2);
        assert!((two[0] - 1.0 / 3.0).abs() < 1e-6 && two[1] == 0.0, "{two:?}");
        assert_eq!(of([0.5, 0.3, 0.2], 3), [0.5, 0.3, 0.2]);
    }
}
