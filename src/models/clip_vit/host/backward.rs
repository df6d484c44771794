//! The way back through the tower: from the slope over features to that over what it was given, leaving behind what is
//! wanted on the way.

use super::tape::{Passed, Tape};
use super::weight::Weight;
use super::{Host, Tokens, first};
use crate::models::clip_vit::kernels::slopes;
use crate::models::clip_vit::layout::{self, Linear};

/// What is left behind on the way back.
pub(super) trait Ledger<W> {
    /// Adds to `onto`, `[rows, inputs]`, the slope over what a product was given, `inputs`; `over` is that over what it gives,
    /// `[rows, outputs]`. The weight is matrix `at`.
    fn product(&mut self, at: usize, weight: &W, inputs: &[f32], over: &[f32], onto: &mut [f32]);

    /// Is shown the slope over what a bias, vector `at`, was added to.
    fn bias(&mut self, _at: usize, _over: &[f32]) {}

    /// Where the slopes over a norm's weight, vector `at`, and its bias are added.
    fn norm(&mut self, at: usize) -> (&mut [f32], &mut [f32]);

    /// Is shown the slope over what all tokens have for a product, to add to it.
    fn looked(&mut self, _at: usize, _onto: &mut [f32]) {}

    /// A product and its bias.
    fn linear(&mut self, at: Linear, weight: &W, inputs: &[f32], over: &[f32], onto: &mut [f32]) {
        self.bias(at.bias, over);
        self.product(at.weight, weight, inputs, over, onto);
        self.looked(at.weight, onto);
    }

    /// A product of the first `keep` of every `every` of the inputs, and its bias; `inputs` and `onto` are of all.
    fn linear_of_first(
        &mut self,
        at: Linear,
        weight: &W,
        inputs: &[f32],
        over: &[f32],
        onto: &mut [f32],
        (keep, every): (usize, usize),
    ) {
        if keep == every {
            return self.linear(at, weight, inputs, over, onto);
        }
        let inputs = first(inputs, every, keep);
        let mut back = vec![0.0; inputs.len()];
        self.bias(at.bias, over);
        self.product(at.weight, weight, &inputs, over, &mut back);
        add_to_first(onto, every, &back, keep);
        self.looked(at.weight, onto);
    }
}

impl<W: Weight> Host<'_, W> {
    /// From the slope over features, `[n · feature_dim]`, to that over the first block's tokens, `[n · tokens · hidden]`; takes
    /// the blocks from the tape.
    pub(super) fn backward(&self, tape: &mut Tape, over: &[f32], ledger: &mut impl Ledger<W>) -> Vec<f32> {
        let (hidden, layers) = (self.config.hidden_size, self.layers.len());
        let n = tape.class.len() / hidden;
        let pooled = match &self.projection {
            Some(weight) => {
                let inputs = self.norm(&tape.class, &self.post_norm);
                let mut pooled = vec![0.0; inputs.len()];
                ledger.product(layout::projection(layers), weight, &inputs, over, &mut pooled);
                ledger.looked(layout::projection(layers), &mut pooled);
                pooled
            }
            None => over.to_vec(),
        };
        let mut back = vec![0.0; tape.class.len()];
        let own = ledger.norm(layout::post_norm(layers));
        self.norm_back(&tape.class, &self.post_norm.weight, &pooled, &mut back, own);
        let last = self.going(layers - 1).through * hidden;
        back = padded(back, hidden, last);
        for layer in (0..layers).rev() {
            let Some(passed) = tape.blocks.pop() else { break };
            back = self.block_back(layer, passed, back, n, ledger);
        }
        back
    }

    /// From the slope over what a block gives, `[n · through · hidden]`, to that over what it is given, `[n · tokens · hidden]`.
    fn block_back(
        &self,
        at: usize,
        passed: Passed,
        mut back: Vec<f32>,
        n: usize,
        ledger: &mut impl Ledger<W>,
    ) -> Vec<f32> {
        let (layer, Tokens { attending, through }) = (&self.layers[at], self.going(at));
        let (tokens, hidden) = (self.config.tokens(), self.config.hidden_size);
        let places = layout::block(at);
        let Passed { input, query, key, value, mixed, middle, mut inner } = passed;

        let mut rise = vec![0.0; inner.len()];
        slopes::activation(&mut inner, &layer.fc1.bias, self.config.hidden_act, &mut rise);
        let mut over = vec![0.0; inner.len()];
        ledger.linear(places.fc2, &layer.fc2.weight, &inner, &back, &mut over);
        slopes::scale(&mut over, &rise);
        let normed = self.norm(&middle, &layer.norm2);
        let mut onto = vec![0.0; middle.len()];
        let (keep, every) = (through * hidden, attending * hidden);
        ledger.linear_of_first(places.fc1, &layer.fc1.weight, &normed, &over, &mut onto, (keep, every));
        back = padded(back, keep, every);
        self.norm_back(&middle, &layer.norm2.weight, &onto, &mut back, ledger.norm(places.norm2));

        let mut over = vec![0.0; mixed.len()];
        ledger.linear(places.out, &layer.out.weight, &mixed, &back, &mut over);
        let sizes = self.attention(attending);
        let mut scratch = slopes::Scratch::new(&sizes);
        let (mut asked, mut keyed, mut valued) = (vec![0.0; query.len()], vec![0.0; key.len()], vec![0.0; value.len()]);
        let biases = (&layer.query.bias[..], &layer.value.bias[..]);
        for image in 0..n {
            let asking = image * attending * hidden..(image + 1) * attending * hidden;
            let seen = image * tokens * hidden..(image + 1) * tokens * hidden;
            let given = (&query[asking.clone()], &key[seen.clone()], &value[seen.clone()]);
            let found = (&mut asked[asking.clone()], &mut keyed[seen.clone()], &mut valued[seen]);
            slopes::attend(&sizes, given, biases, &over[asking], &mut scratch, found);
        }

        // In the opposite order of the way there.
        let normed = self.norm(&input, &layer.norm1);
        let mut over = vec![0.0; input.len()];
        ledger.linear(places.value, &layer.value.weight, &normed, &valued, &mut over);
        ledger.linear(places.key, &layer.key.weight, &normed, &keyed, &mut over);
        let (keep, every) = (attending * hidden, tokens * hidden);
        ledger.linear_of_first(places.query, &layer.query.weight, &normed, &asked, &mut over, (keep, every));
        back = padded(back, keep, every);
        self.norm_back(&input, &layer.norm1.weight, &over, &mut back, ledger.norm(places.norm1));
        back
    }

    /// Adds the slope over what a norm is given, `x`, to `back`, and that over its weight and bias to `own`.
    pub(super) fn norm_back(
        &self,
        x: &[f32],
        weight: &[f32],
        over: &[f32],
        back: &mut [f32],
        own: (&mut [f32], &mut [f32]),
    ) {
        slopes::layer_norm(x, weight, over, self.config.layer_norm_eps as f32, back, own);
    }
}

/// Every `keep` values, followed by as many zeros as make `every` of them.
fn padded(values: Vec<f32>, keep: usize, every: usize) -> Vec<f32> {
    if keep == every {
        return values;
    }
    let mut all = vec![0.0; values.len() / keep * every];
    add_to_first(&mut all, every, &values, keep);
    all
}

/// Adds so many values, one lot after the other, to the first of every `every`.
fn add_to_first(values: &mut [f32], every: usize, more: &[f32], count: usize) {
    for (values, more) in values.chunks_exact_mut(every).zip(more.chunks_exact(count)) {
        values.iter_mut().zip(more).for_each(|(value, more)| *value += more);
    }
}
