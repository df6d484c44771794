//! The forward pass for the CPU: burn's matrix product with the loops of `kernels` between, no allocation that outlives
//! a micro-batch, and only the class token in the last block.
//!
//! It uses as many threads as the matrix product finds in the current rayon pool, and one otherwise; who wants more
//! images a second gives one micro-batch to each core, each in a pool of one thread.

use super::kernels::{self, Attention};
use super::module::Layer;
use super::{ClipVit, ClipVitConfig};
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

/// Tokens a micro-batch aims at: enough for the matrix product, few enough for the caches.
const TOKENS: usize = 408;

/// See [`ClipVit::features`]; nothing when the weights or pixels are not f32.
pub(super) fn features(model: &ClipVit, pixels: Tensor<4>) -> Option<Tensor<2>> {
    let dims = pixels.dims();
    let pixels: Vec<f32> = pixels.into_data().try_into_vec().ok()?;
    let host = Host::new(model)?;
    let image = dims[1] * dims[2] * dims[3];
    let batch = (TOKENS / model.config().tokens()).max(1);
    let mut features = Vec::with_capacity(dims[0] * model.feature_dim());
    for pixels in pixels.chunks(batch * image) {
        features.extend(host.features(pixels, [dims[1], dims[2], dims[3]])?);
    }
    let shape = [dims[0], model.feature_dim()];
    Some(Tensor::from_data(TensorData::new(features, shape), &Device::flex()))
}

/// A linear layer: weight as a tensor, bias as a slice.
struct Dense {
    weight: Tensor<2>,
    bias: Vec<f32>,
}

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

struct HostLayer {
    key: Dense,
    value: Dense,
    query: Dense,
    out: Dense,
    norm1: Norm,
    fc1: Dense,
    fc2: Dense,
    norm2: Norm,
}

/// The model with everything but the large matrices copied out of tensors; matrices are shared.
struct Host<'a> {
    config: &'a ClipVitConfig,
    class: Vec<f32>,
    patch: Tensor<2>,
    position: Vec<f32>,
    pre_norm: Norm,
    layers: Vec<HostLayer>,
    post_norm: Norm,
    projection: Option<Tensor<2>>,
}

impl<'a> Host<'a> {
    fn new(model: &'a ClipVit) -> Option<Self> {
        let layers = (0..model.config().num_hidden_layers).map(|layer| HostLayer::new(&model.layer(layer)));
        Some(Self {
            config: model.config(),
            class: values(model.class())?,
            patch: model.patch().val(),
            position: values(model.position())?,
            pre_norm: Norm::new(model.pre_norm())?,
            layers: layers.collect::<Option<_>>()?,
            post_norm: Norm::new(model.post_norm())?,
            projection: model.projection().map(Param::val),
        })
    }

    /// Features of a few images, `[n · feature_dim]`.
    fn features(&self, pixels: &[f32], shape: [usize; 3]) -> Option<Vec<f32>> {
        let n = pixels.len() / shape.iter().product::<usize>();
        let (tokens, hidden) = (self.config.tokens(), self.config.hidden_size);
        let mut x = self.embed(pixels, shape, n)?;
        let (last, layers) = self.layers.split_last()?;
        for layer in layers {
            x = self.block(layer, x, n, tokens)?;
        }
        let class = self.block(last, x, n, 1)?;
        let pooled = self.norm(&class, &self.post_norm);
        match &self.projection {
            Some(weight) => product(pooled, hidden, weight),
            None => Some(pooled),
        }
    }

    /// `[n · tokens · hidden]`, normed.
    fn embed(&self, pixels: &[f32], shape: [usize; 3], n: usize) -> Option<Vec<f32>> {
        let (tokens, hidden) = (self.config.tokens(), self.config.hidden_size);
        let patches = product(cut(pixels, shape, self.config), self.config.patch_len(), &self.patch)?;
        let mut x = vec![0.0; n * tokens * hidden];
        for (x, patches) in x.chunks_exact_mut(tokens * hidden).zip(patches.chunks_exact((tokens - 1) * hidden)) {
            x[..hidden].copy_from_slice(&self.class);
            x[hidden..].copy_from_slice(patches);
            for (x, position) in x.iter_mut().zip(&self.position) {
                *x += position;
            }
        }
        Some(self.norm(&x, &self.pre_norm))
    }

    /// One block over `x`, `[n · tokens · hidden]`, of which the first `queries` tokens of each image are kept.
    fn block(&self, layer: &HostLayer, x: Vec<f32>, n: usize, queries: usize) -> Option<Vec<f32>> {
        let (tokens, hidden) = (self.config.tokens(), self.config.hidden_size);
        let normed = self.norm(&x, &layer.norm1);
        let (mut kept, asking) = if queries == tokens {
            (x, normed.clone())
        } else {
            (first(&x, tokens * hidden, queries * hidden), first(&normed, tokens * hidden, queries * hidden))
        };
        let query = product(asking, hidden, &layer.query.weight)?;
        let rows = n * tokens;
        let normed = Tensor::<2>::from_data(TensorData::new(normed, [rows, hidden]), &Device::flex());
        let key = multiply(normed.clone(), &layer.key.weight)?;
        let value = multiply(normed, &layer.value.weight)?;
        let sizes =
            Attention { queries, tokens, heads: self.config.num_attention_heads, head_dim: self.config.head_dim() };
        let mut scratch = sizes.scratch();
        let mut mixed = vec![0.0; n * queries * hidden];
        let biases = (&layer.query.bias[..], &layer.value.bias[..]);
        for (image, mixed) in mixed.chunks_exact_mut(queries * hidden).enumerate() {
            let query = &query[image * queries * hidden..][..queries * hidden];
            let seen = image * tokens * hidden..(image + 1) * tokens * hidden;
            kernels::attend(&sizes, query, &key[seen.clone()], &value[seen], biases, &mut scratch, mixed);
        }
        let mixed = product(mixed, hidden, &layer.out.weight)?;
        kernels::add_with_bias(&mut kept, &mixed, &layer.out.bias);
        let mut inner = product(self.norm(&kept, &layer.norm2), hidden, &layer.fc1.weight)?;
        kernels::bias_activation(&mut inner, &layer.fc1.bias, self.config.hidden_act);
        let outer = product(inner, self.config.intermediate_size, &layer.fc2.weight)?;
        kernels::add_with_bias(&mut kept, &outer, &layer.fc2.bias);
        Some(kept)
    }

    fn norm(&self, x: &[f32], norm: &Norm) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        kernels::layer_norm(x, &norm.weight, &norm.bias, self.config.layer_norm_eps as f32, &mut out);
        out
    }
}

impl HostLayer {
    fn new(layer: &Layer<'_>) -> Option<Self> {
        Some(Self {
            key: Dense::new(layer.key)?,
            value: Dense::new(layer.value)?,
            query: Dense::new(layer.query)?,
            out: Dense::new(layer.out)?,
            norm1: Norm::new(layer.norm1)?,
            fc1: Dense::new(layer.fc1)?,
            fc2: Dense::new(layer.fc2)?,
            norm2: Norm::new(layer.norm2)?,
        })
    }
}

impl Dense {
    fn new((weight, bias): (&Param<Tensor<2>>, &Param<Tensor<1>>)) -> Option<Self> {
        Some(Self { weight: weight.val(), bias: values(bias)? })
    }
}

impl Norm {
    fn new((weight, bias): (&Param<Tensor<1>>, &Param<Tensor<1>>)) -> Option<Self> {
        Some(Self { weight: values(weight)?, bias: values(bias)? })
    }
}

fn values<const D: usize>(parameter: &Param<Tensor<D>>) -> Option<Vec<f32>> {
    parameter.val().into_data().try_into_vec().ok()
}

/// `[rows · inner]` times `[inner, columns]`; takes the left side over, which costs no copy.
fn product(left: Vec<f32>, inner: usize, right: &Tensor<2>) -> Option<Vec<f32>> {
    let rows = left.len() / inner;
    multiply(Tensor::from_data(TensorData::new(left, [rows, inner]), &Device::flex()), right)
}

fn multiply(left: Tensor<2>, right: &Tensor<2>) -> Option<Vec<f32>> {
    left.matmul(right.clone()).into_data().try_into_vec().ok()
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
