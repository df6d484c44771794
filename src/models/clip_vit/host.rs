//! The forward pass for the CPU: matrix products with the loops of `kernels` between, no allocation that outlives
//! a micro-batch unless it is wanted for the way back, and only the class token in the last block.
//!
//! It uses as many threads as the matrix product finds in the current rayon pool, and one otherwise; who wants more
//! images a second gives one micro-batch to each core, each in a pool of one thread.

mod backward;
mod mixture;
mod slope;
mod tape;
mod traced;
mod weight;

use super::kernels::{self, Attention};
use super::layout::{self, Entry, Kept};
use super::module::Layer;
use super::{ClipVit, ClipVitConfig};
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use std::borrow::Cow;
use tape::{Passed, Tape};
use weight::{Matrix, Weight};

pub use mixture::{HostMixture, HostRouted, MixedPassage};
pub use traced::{Passage, TracedClipVit, WeightSlope};

/// Tokens a micro-batch aims at: enough for the matrix product, few enough for the caches.
const TOKENS: usize = 408;

/// See [`ClipVit::features`]; nothing when the weights or pixels are not f32.
pub(super) fn features(model: &ClipVit, pixels: Tensor<4>) -> Option<Tensor<2>> {
    let dims = pixels.dims();
    let pixels: Vec<f32> = pixels.into_data().try_into_vec().ok()?;
    let host = Host::of_tensors(model)?;
    let image = dims[1] * dims[2] * dims[3];
    let batch = (TOKENS / model.config().tokens()).max(1);
    let mut features = Vec::with_capacity(dims[0] * model.feature_dim());
    for pixels in pixels.chunks(batch * image) {
        features.extend(host.features(pixels, [dims[1], dims[2], dims[3]], None)?);
    }
    let shape = [dims[0], model.feature_dim()];
    Some(Tensor::from_data(TensorData::new(features, shape), &Device::flex()))
}

struct Dense<'a, W> {
    weight: W,
    bias: Cow<'a, [f32]>,
}

struct Norm<'a> {
    weight: Cow<'a, [f32]>,
    bias: Cow<'a, [f32]>,
}

struct HostLayer<'a, W> {
    key: Dense<'a, W>,
    value: Dense<'a, W>,
    query: Dense<'a, W>,
    out: Dense<'a, W>,
    norm1: Norm<'a>,
    fc1: Dense<'a, W>,
    fc2: Dense<'a, W>,
    norm2: Norm<'a>,
}

/// How far all tokens go in the last block; from there on only the class token does, which is all that is looked at then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// The class token attends to them.
    Keys,
    /// To the feed-forward network.
    Attention,
    /// To the end.
    All,
}

/// Tokens of an image that attend to all, and those of them that go through the feed-forward network.
#[derive(Debug, Clone, Copy)]
struct Tokens {
    attending: usize,
    through: usize,
}

/// The model: large matrices as they are, everything else as slices.
struct Host<'a, W> {
    config: &'a ClipVitConfig,
    class: Cow<'a, [f32]>,
    patch: W,
    position: Cow<'a, [f32]>,
    pre_norm: Norm<'a>,
    layers: Vec<HostLayer<'a, W>>,
    post_norm: Norm<'a>,
    projection: Option<W>,
    /// How far all tokens go in the last block.
    reach: Reach,
}

impl<'a> Host<'a, Tensor<2>> {
    fn of_tensors(model: &'a ClipVit) -> Option<Self> {
        let layers = (0..model.config().num_hidden_layers).map(|layer| HostLayer::of_tensors(&model.layer(layer)));
        Some(Self {
            config: model.config(),
            class: values(model.class())?,
            patch: model.patch().val(),
            position: values(model.position())?,
            pre_norm: Norm::of_tensors(model.pre_norm())?,
            layers: layers.collect::<Option<_>>()?,
            post_norm: Norm::of_tensors(model.post_norm())?,
            projection: model.projection().map(Param::val),
            reach: Reach::Keys,
        })
    }
}

impl<'a, W> Host<'a, W> {
    /// A tower over a checkpoint's own tensors, as [`find`](super::module::find) has them; `weight` makes something to multiply
    /// with of each matrix, given its number.
    fn over(
        config: &'a ClipVitConfig,
        entries: &[Entry],
        found: &[&'a [f32]],
        weight: impl Fn(usize, Matrix<'a>) -> W,
    ) -> Self {
        let (mut vectors, mut matrices) = (Vec::new(), Vec::new());
        for (entry, &values) in entries.iter().zip(found) {
            match entry.kept {
                Kept::Vector(_) => vectors.push(Cow::Borrowed(values)),
                Kept::Matrix(_) | Kept::Transposed(_) => matrices.push((values, entry.rows_columns().1)),
            }
        }
        let matrix = |at: usize| weight(at, Matrix::new(matrices[at].0, matrices[at].1));
        let norm = |at: usize| Norm { weight: vectors[at].clone(), bias: vectors[at + 1].clone() };
        let layers = config.num_hidden_layers;
        let layer = |layer: usize| {
            let at = layout::block(layer);
            let dense = |at: layout::Linear| Dense { weight: matrix(at.weight), bias: vectors[at.bias].clone() };
            HostLayer {
                key: dense(at.key),
                value: dense(at.value),
                query: dense(at.query),
                out: dense(at.out),
                norm1: norm(at.norm1),
                fc1: dense(at.fc1),
                fc2: dense(at.fc2),
                norm2: norm(at.norm2),
            }
        };
        let projection = layout::projection(layers);
        Self {
            config,
            class: vectors[layout::CLASS].clone(),
            patch: matrix(layout::PATCH),
            position: Cow::Borrowed(matrices[layout::POSITION].0),
            pre_norm: norm(layout::PRE_NORM),
            layers: (0..layers).map(layer).collect(),
            post_norm: norm(layout::post_norm(layers)),
            projection: (matrices.len() > projection).then(|| matrix(projection)),
            reach: Reach::Keys,
        }
    }

    /// How many tokens of each image go how far in a block.
    fn going(&self, layer: usize) -> Tokens {
        let reach = if layer + 1 == self.layers.len() { self.reach } else { Reach::All };
        let tokens = |least: Reach| if reach >= least { self.config.tokens() } else { 1 };
        Tokens { attending: tokens(Reach::Attention), through: tokens(Reach::All) }
    }
}

impl<W: Weight> Host<'_, W> {
    /// Features of a few images, `[n · feature_dim]`; the way back starts from what is put on the tape.
    fn features(&self, pixels: &[f32], shape: [usize; 3], mut tape: Option<&mut Tape>) -> Option<Vec<f32>> {
        let n = pixels.len() / shape.iter().product::<usize>();
        let (tokens, hidden) = (self.config.tokens(), self.config.hidden_size);
        let x = self.embed(pixels, shape, n)?;
        let mut x = match &mut tape {
            Some(tape) => self.norm(tape.embedded.insert(x), &self.pre_norm),
            None => self.norm(&x, &self.pre_norm),
        };
        for layer in 0..self.layers.len() {
            x = self.block(layer, x, n, tape.as_deref_mut())?;
        }
        let class = if x.len() > n * hidden { first(&x, tokens * hidden, hidden) } else { x };
        let pooled = self.norm(&class, &self.post_norm);
        if let Some(tape) = tape {
            tape.class = class;
        }
        match &self.projection {
            Some(weight) => product(pooled, hidden, weight),
            None => Some(pooled),
        }
    }

    /// `[n · tokens · hidden]`, not normed yet.
    fn embed(&self, pixels: &[f32], shape: [usize; 3], n: usize) -> Option<Vec<f32>> {
        let (tokens, hidden) = (self.config.tokens(), self.config.hidden_size);
        let patches = product(cut(pixels, shape, self.config), self.config.patch_len(), &self.patch)?;
        let mut x = vec![0.0; n * tokens * hidden];
        for (x, patches) in x.chunks_exact_mut(tokens * hidden).zip(patches.chunks_exact((tokens - 1) * hidden)) {
            x[..hidden].copy_from_slice(&self.class);
            x[hidden..].copy_from_slice(patches);
            for (x, position) in x.iter_mut().zip(&*self.position) {
                *x += position;
            }
        }
        Some(x)
    }

    /// One block over `x`, `[n · tokens · hidden]`; of each of the `n` images the first tokens are kept.
    fn block(&self, at: usize, x: Vec<f32>, n: usize, tape: Option<&mut Tape>) -> Option<Vec<f32>> {
        let (layer, Tokens { attending, through }) = (&self.layers[at], self.going(at));
        let (tokens, hidden) = (self.config.tokens(), self.config.hidden_size);
        let input = tape.is_some().then(|| x.clone());
        let normed = self.norm(&x, &layer.norm1);
        let (mut kept, asking) = if attending == tokens {
            (x, normed.clone())
        } else {
            layer.query.weight.look(&normed, hidden);
            (first(&x, tokens * hidden, attending * hidden), first(&normed, tokens * hidden, attending * hidden))
        };
        let query = product(asking, hidden, &layer.query.weight)?;
        let [key, value] = W::products(normed, hidden, [&layer.key.weight, &layer.value.weight])?;
        let sizes = self.attention(attending);
        let mut scratch = sizes.scratch();
        let mut mixed = vec![0.0; n * attending * hidden];
        let biases = (&layer.query.bias[..], &layer.value.bias[..]);
        for (image, mixed) in mixed.chunks_exact_mut(attending * hidden).enumerate() {
            let query = &query[image * attending * hidden..][..attending * hidden];
            let seen = image * tokens * hidden..(image + 1) * tokens * hidden;
            kernels::attend(&sizes, query, &key[seen.clone()], &value[seen], biases, &mut scratch, mixed);
        }
        let mixing = tape.is_some().then(|| mixed.clone());
        let mixed = product(mixed, hidden, &layer.out.weight)?;
        kernels::add_with_bias(&mut kept, &mixed, &layer.out.bias);
        let middle = tape.is_some().then(|| kept.clone());
        let mut normed = self.norm(&kept, &layer.norm2);
        if through < attending {
            layer.fc1.weight.look(&normed, hidden);
            kept = first(&kept, attending * hidden, through * hidden);
            normed = first(&normed, attending * hidden, through * hidden);
        }
        let mut inner = product(normed, hidden, &layer.fc1.weight)?;
        let before = tape.is_some().then(|| inner.clone());
        kernels::bias_activation(&mut inner, &layer.fc1.bias, self.config.hidden_act);
        let outer = product(inner, self.config.intermediate_size, &layer.fc2.weight)?;
        kernels::add_with_bias(&mut kept, &outer, &layer.fc2.bias);
        if let (Some(tape), Some(input), Some(mixed), Some(middle), Some(inner)) = (tape, input, mixing, middle, before)
        {
            tape.blocks.push(Passed { input, query, key, value, mixed, middle, inner });
        }
        Some(kept)
    }

    fn attention(&self, queries: usize) -> Attention {
        let (heads, head_dim) = (self.config.num_attention_heads, self.config.head_dim());
        Attention { queries, tokens: self.config.tokens(), heads, head_dim }
    }

    fn norm(&self, x: &[f32], norm: &Norm<'_>) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        kernels::layer_norm(x, &norm.weight, &norm.bias, self.config.layer_norm_eps as f32, &mut out);
        out
    }
}

impl HostLayer<'_, Tensor<2>> {
    fn of_tensors(layer: &Layer<'_>) -> Option<Self> {
        Some(Self {
            key: Dense::of_tensors(layer.key)?,
            value: Dense::of_tensors(layer.value)?,
            query: Dense::of_tensors(layer.query)?,
            out: Dense::of_tensors(layer.out)?,
            norm1: Norm::of_tensors(layer.norm1)?,
            fc1: Dense::of_tensors(layer.fc1)?,
            fc2: Dense::of_tensors(layer.fc2)?,
            norm2: Norm::of_tensors(layer.norm2)?,
        })
    }
}

impl Dense<'_, Tensor<2>> {
    fn of_tensors((weight, bias): (&Param<Tensor<2>>, &Param<Tensor<1>>)) -> Option<Self> {
        Some(Self { weight: weight.val(), bias: values(bias)? })
    }
}

impl Norm<'_> {
    fn of_tensors((weight, bias): (&Param<Tensor<1>>, &Param<Tensor<1>>)) -> Option<Self> {
        Some(Self { weight: values(weight)?, bias: values(bias)? })
    }
}

fn values<const D: usize>(parameter: &Param<Tensor<D>>) -> Option<Cow<'static, [f32]>> {
    parameter.val().into_data().try_into_vec().ok().map(Cow::Owned)
}

/// `[rows, inputs]` times a weight.
fn product<W: Weight>(left: Vec<f32>, inputs: usize, weight: &W) -> Option<Vec<f32>> {
    W::products(left, inputs, [weight]).map(|[product]| product)
}

/// The first `keep` values of every `every`.
fn first(values: &[f32], every: usize, keep: usize) -> Vec<f32> {
    values.chunks_exact(every).flat_map(|chunk| &chunk[..keep]).copied().collect()
}

/// Images to patches: `[n, channels, height, width]` → `[n · grid · grid, channels · side · side]`.
fn cut(pixels: &[f32], [channels, height, width]: [usize; 3], config: &ClipVitConfig) -> Vec<f32> {
    let (grid, side) = (config.grid(), config.patch_size);
    let n = pixels.len() / (channels * height * width);
    let mut patches = Vec::with_capacity(n * grid * grid * config.patch_len());
    for image in pixels.chunks_exact(channels * height * width) {
        for row in 0..grid {
            for column in 0..grid {
                for channel in image.chunks_exact(height * width) {
                    for y in row * side..(row + 1) * side {
                        patches.extend_from_slice(&channel[y * width + column * side..][..side]);
                    }
                }
            }
        }
    }
    patches
}
