//! The forward pass in burn operations: runs on every device and under autodiff.

use super::linear::Part;
use super::{Activation, ClipVit, Linear, host};
use burn::module::Param;
use burn::tensor::activation::{gelu, sigmoid, softmax};
use burn::tensor::module::{layer_norm, linear};
use burn::tensor::{Device, Tensor};

/// A linear layer's weight `[inputs, outputs]` and bias.
pub(super) type Weights<'a> = (&'a Param<Tensor<2>>, Option<&'a Param<Tensor<1>>>);

/// How the linear layers of a tower are carried out.
pub(super) trait Run {
    /// `[n, tokens, inputs]` → `[n, tokens, outputs]`
    fn dense(&mut self, part: Part, input: Tensor<3>, weights: Weights<'_>) -> Tensor<3>;

    /// Is shown what the layers are given.
    fn see(&mut self, _: Linear, _: &Tensor<3>) {}
}

/// As they are, showing someone their inputs.
struct Plain<F>(F);

impl<F: FnMut(Linear, &Tensor<3>)> Run for Plain<F> {
    fn dense(&mut self, _: Part, input: Tensor<3>, (weight, bias): Weights<'_>) -> Tensor<3> {
        linear(input, weight.val(), bias.map(Param::val))
    }

    fn see(&mut self, layer: Linear, input: &Tensor<3>) {
        (self.0)(layer, input);
    }
}

impl ClipVit {
    /// What heads look at: `image_embeds` (the projected class token) or, without a projection, `pooler_output`.
    /// `[n, channels, height, width]` → `[n, feature_dim]`.
    ///
    /// On the CPU and outside autodiff this takes the hand-written path, which agrees with the other to rounding.
    #[must_use]
    pub fn features(&self, pixels: Tensor<4>) -> Tensor<2> {
        let on_host = pixels.device() == Device::flex() && !pixels.is_autodiff() && !self.class().val().is_autodiff();
        if on_host && let Some(features) = host::features(self, pixels.clone()) {
            return features;
        }
        self.differentiable_features(pixels)
    }

    /// [`features`](Self::features) by burn operations only, whatever the device.
    #[must_use]
    pub fn differentiable_features(&self, pixels: Tensor<4>) -> Tensor<2> {
        let mut tokens = self.embed(pixels);
        let last = self.config().num_hidden_layers - 1;
        for layer in 0..last {
            tokens = self.block(layer, tokens.clone(), tokens, &mut Plain(|_, _: &Tensor<3>| ()));
        }
        // Only the class token leaves the last block, so only its query, attention and MLP are computed.
        let class = tokens.clone().narrow(1, 0, 1);
        let pooled = self.pool(self.block(last, class, tokens, &mut Plain(|_, _: &Tensor<3>| ())));
        match self.projection() {
            Some(weight) => pooled.matmul(weight.val()),
            None => pooled,
        }
    }

    /// Hugging Face's `hidden_states`: after the embedding (and its norm), then after every block; each
    /// `[n, tokens, hidden]`. The last one is `last_hidden_state`.
    #[must_use]
    pub fn hidden_states(&self, pixels: Tensor<4>) -> Vec<Tensor<3>> {
        let mut states = vec![self.embed(pixels)];
        for layer in 0..self.config().num_hidden_layers {
            let tokens = states[layer].clone();
            states.push(self.block(layer, tokens.clone(), tokens, &mut Plain(|_, _: &Tensor<3>| ())));
        }
        states
    }

    /// Runs the tower up to the block `last` and shows `see` what every linear layer is given: the layer, and its inputs
    /// `[n, tokens, width]`; all tokens count, in the last block too, although only the class token leaves it. What comes
    /// after the blocks counts as one more.
    pub fn watch(&self, pixels: Tensor<4>, last: usize, mut see: impl FnMut(Linear, &Tensor<3>)) {
        let mut tokens = self.embed(pixels);
        let blocks = self.config().num_hidden_layers;
        for layer in 0..blocks.min(last.saturating_add(1)) {
            tokens = self.block(layer, tokens.clone(), tokens, &mut Plain(&mut see));
        }
        if last >= blocks && self.projection().is_some() {
            let [n, _, width] = tokens.dims();
            see(Linear::Projection, &self.pool(tokens).reshape([n, 1, width]));
        }
    }

    /// `pooler_output`: the class token after the last norm. `[n, tokens, hidden]` → `[n, hidden]`.
    #[must_use]
    pub fn pool(&self, last_hidden_state: Tensor<3>) -> Tensor<2> {
        let [n, _, width] = last_hidden_state.dims();
        let class = last_hidden_state.narrow(1, 0, 1).reshape([n, width]);
        self.norm(class, self.post_norm())
    }

    /// `pooler_output` straight from the pixels, `[n, hidden]`.
    #[must_use]
    pub fn pooled(&self, pixels: Tensor<4>) -> Tensor<2> {
        let tokens = self.hidden_states(pixels).pop();
        tokens.map_or_else(|| Tensor::zeros([0, 0], &self.device()), |tokens| self.pool(tokens))
    }

    /// Patches to tokens, class token first, positions added, normed: `[n, tokens, hidden]`.
    pub(super) fn embed(&self, pixels: Tensor<4>) -> Tensor<3> {
        let config = self.config();
        let [n, channels, height, width] = pixels.dims();
        let (grid, side, hidden) = (config.grid(), config.patch_size, config.hidden_size);
        let whole = grid * side;
        let pixels = if (height, width) == (whole, whole) {
            pixels
        } else {
            pixels.slice([0..n, 0..channels, 0..whole, 0..whole])
        };
        // A convolution whose stride is its size is a matrix product over cut-out patches.
        let patches = pixels.reshape([n, channels, grid, side, grid, side]).permute([0, 2, 4, 1, 3, 5]).reshape([
            n,
            grid * grid,
            config.patch_len(),
        ]);
        let patches = linear(patches, self.patch().val(), None);
        let class = self.class().val().reshape([1, 1, hidden]).expand([n, 1, hidden]);
        let tokens = Tensor::cat(vec![class, patches], 1) + self.position().val().unsqueeze();
        self.norm(tokens, self.pre_norm())
    }

    /// One transformer block for the tokens `queries` (all, or the first few) of `tokens`.
    pub(super) fn block(&self, layer: usize, queries: Tensor<3>, tokens: Tensor<3>, run: &mut impl Run) -> Tensor<3> {
        let weights = self.layer(layer);
        let everything = queries.dims() == tokens.dims();
        let seen = self.norm(tokens, weights.norm1);
        run.see(Linear::Attention { layer }, &seen);
        let asking = if everything { seen.clone() } else { seen.clone().narrow(1, 0, queries.dims()[1]) };
        let scale = (self.config().head_dim() as f64).powf(-0.5);
        let query = self.heads(run.dense(Part::Query(layer), asking, some(weights.query)).mul_scalar(scale));
        let key = self.heads(run.dense(Part::Key(layer), seen.clone(), some(weights.key)));
        let value = self.heads(run.dense(Part::Value(layer), seen, some(weights.value)));
        // Written out: faster than burn's fused attention on the CPU at these lengths.
        let mixed = softmax(query.matmul(key.swap_dims(2, 3)), 3).matmul(value);
        let mixed = mixed.swap_dims(1, 2).reshape(queries.dims());
        run.see(Linear::Out { layer }, &mixed);
        let tokens = queries + run.dense(Part::Out(layer), mixed, some(weights.out));
        let normed = self.norm(tokens.clone(), weights.norm2);
        tokens + self.feed_forward(layer, normed, run)
    }

    /// A block's feed-forward network: `[n, tokens, hidden]` → the same.
    pub(super) fn feed_forward(&self, layer: usize, input: Tensor<3>, run: &mut impl Run) -> Tensor<3> {
        let weights = self.layer(layer);
        run.see(Linear::Fc1 { layer }, &input);
        let inner = run.dense(Part::Fc1(layer), input, some(weights.fc1));
        let inner = match self.config().hidden_act {
            Activation::QuickGelu => inner.clone() * sigmoid(inner.mul_scalar(1.702)),
            Activation::Gelu => gelu(inner),
        };
        run.see(Linear::Fc2 { layer }, &inner);
        run.dense(Part::Fc2(layer), inner, some(weights.fc2))
    }

    /// `[n, tokens, hidden]` → `[n, heads, tokens, head_dim]`
    fn heads(&self, tokens: Tensor<3>) -> Tensor<4> {
        let [n, length, _] = tokens.dims();
        let config = self.config();
        tokens.reshape([n, length, config.num_attention_heads, config.head_dim()]).swap_dims(1, 2)
    }

    fn norm<const D: usize>(
        &self,
        tokens: Tensor<D>,
        (weight, bias): (&Param<Tensor<1>>, &Param<Tensor<1>>),
    ) -> Tensor<D> {
        layer_norm(tokens, weight.val(), Some(bias.val()), self.config().layer_norm_eps)
    }
}

fn some<'a>((weight, bias): (&'a Param<Tensor<2>>, &'a Param<Tensor<1>>)) -> Weights<'a> {
    (weight, Some(bias))
}
