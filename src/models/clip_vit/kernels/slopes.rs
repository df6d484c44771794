//! The loops of the way back: what a norm, an activation and attention do to slopes.

use super::{Attention, LANES, ROWS, erf, exp, madd, product, softmax, standard};
use crate::models::clip_vit::Activation;

vectorised! {
    /// Layer norm of every row of `x`: adds to `back` the slope over `x`, and to `own` those over weight and bias, given that
    /// over what comes out.
    pub(in crate::models::clip_vit) fn layer_norm(
        x: &[f32], weight: &[f32], over: &[f32], epsilon: f32, back: &mut [f32], own: (&mut [f32], &mut [f32]),
    ) = layer_norm_body
}

#[inline(always)]
fn layer_norm_body<const FMA: bool>(
    x: &[f32],
    weight: &[f32],
    over: &[f32],
    epsilon: f32,
    back: &mut [f32],
    (own_weight, own_bias): (&mut [f32], &mut [f32]),
) {
    let width = weight.len();
    let per_value = 1.0 / width as f32;
    for ((row, over), back) in x.chunks_exact(width).zip(over.chunks_exact(width)).zip(back.chunks_exact_mut(width)) {
        let (mean, scale) = standard(row, epsilon);
        for (((&value, &over), own_weight), own_bias) in
            row.iter().zip(over).zip(own_weight.iter_mut()).zip(own_bias.iter_mut())
        {
            *own_weight = madd::<FMA>((value - mean) * scale, over, *own_weight);
            *own_bias += over;
        }
        // What shifts or stretches a row as a whole does not come out of it.
        let (mut shift, mut stretch) = ([0.0f32; LANES], [0.0f32; LANES]);
        for ((row, over), weight) in row.chunks(LANES).zip(over.chunks(LANES)).zip(weight.chunks(LANES)) {
            for (lane, ((&value, &over), &weight)) in row.iter().zip(over).zip(weight).enumerate() {
                let slope = over * weight;
                shift[lane] += slope;
                stretch[lane] = madd::<FMA>(slope, (value - mean) * scale, stretch[lane]);
            }
        }
        let (shift, stretch) = (shift.iter().sum::<f32>() * per_value, stretch.iter().sum::<f32>() * per_value);
        for (((back, &value), &over), &weight) in back.iter_mut().zip(row).zip(over).zip(weight) {
            let standard = (value - mean) * scale;
            *back = madd::<FMA>(scale, over * weight - shift - standard * stretch, *back);
        }
    }
}

vectorised! {
    /// `x = activation(x + bias)`, row by row, and how fast the activation rises there.
    pub(in crate::models::clip_vit) fn activation(
        x: &mut [f32], bias: &[f32], activation: Activation, rise: &mut [f32],
    ) = activation_body
}

#[inline(always)]
fn activation_body<const FMA: bool>(x: &mut [f32], bias: &[f32], activation: Activation, rise: &mut [f32]) {
    /// 1/√(2π)
    const DENSITY: f32 = 0.398_942_3;
    for (row, rise) in x.chunks_exact_mut(bias.len()).zip(rise.chunks_exact_mut(bias.len())) {
        match activation {
            Activation::QuickGelu => {
                for ((x, rise), bias) in row.iter_mut().zip(rise).zip(bias) {
                    let value = *x + bias;
                    let share = 1.0 / (1.0 + exp::<FMA>(-1.702 * value));
                    *x = value * share;
                    *rise = madd::<FMA>(1.702 * *x, 1.0 - share, share);
                }
            }
            Activation::Gelu => {
                for ((x, rise), bias) in row.iter_mut().zip(rise).zip(bias) {
                    let value = *x + bias;
                    let share = 0.5 * (1.0 + erf::<FMA>(value * std::f32::consts::FRAC_1_SQRT_2));
                    *x = value * share;
                    *rise = madd::<FMA>(value * DENSITY, exp::<FMA>(-0.5 * value * value), share);
                }
            }
        }
    }
}

vectorised! {
    /// `x *= by`
    pub(in crate::models::clip_vit) fn scale(x: &mut [f32], by: &[f32]) = scale_body
}

#[inline(always)]
fn scale_body<const FMA: bool>(x: &mut [f32], by: &[f32]) {
    x.iter_mut().zip(by).for_each(|(x, by)| *x *= by);
}

vectorised! {
    /// `sums += ` the sums of the columns of `x`, whose rows are as long as `sums`.
    pub(in crate::models::clip_vit) fn column_sums(x: &[f32], sums: &mut [f32]) = column_sums_body
}

#[inline(always)]
fn column_sums_body<const FMA: bool>(x: &[f32], sums: &mut [f32]) {
    for row in x.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}

/// Room for one head, reused between heads and images. Rows and columns are padded to what the small matrix product works
/// on; padding stays zero.
pub(in crate::models::clip_vit) struct Scratch {
    /// `[queries, dim]`
    query: Vec<f32>,
    over: Vec<f32>,
    /// `[tokens, dim]`, and the other way round
    key: Vec<f32>,
    key_turned: Vec<f32>,
    value_turned: Vec<f32>,
    /// `[queries, tokens]`, and the other way round
    shares: Vec<f32>,
    slopes: Vec<f32>,
    shares_turned: Vec<f32>,
    slopes_turned: Vec<f32>,
    /// What comes out, `[queries or tokens, dim]`
    out: Vec<f32>,
}

impl Scratch {
    pub fn new(sizes: &Attention) -> Self {
        let Padded { queries, tokens, dim } = Padded::of(sizes);
        let room = |rows: usize, columns: usize| vec![0.0; rows * columns];
        Self {
            query: room(queries, dim),
            over: room(queries, dim),
            key: room(tokens, dim),
            key_turned: room(dim, tokens),
            value_turned: room(dim, tokens),
            shares: room(queries, tokens),
            slopes: room(queries, tokens),
            shares_turned: room(tokens, queries),
            slopes_turned: room(tokens, queries),
            out: room(queries.max(tokens), dim),
        }
    }
}

/// Sizes that serve as rows and as columns.
struct Padded {
    queries: usize,
    tokens: usize,
    dim: usize,
}

impl Padded {
    fn of(sizes: &Attention) -> Self {
        const BOTH: usize = 3 * LANES;
        const { assert!(BOTH.is_multiple_of(ROWS)) };
        Self {
            queries: sizes.queries.next_multiple_of(ROWS),
            tokens: sizes.tokens.next_multiple_of(BOTH),
            dim: sizes.head_dim.next_multiple_of(LANES),
        }
    }
}

vectorised! {
    /// softmax(QKᵀ/√d)·V for one image: given `query`, `key` and `value` as the way there has them and the slope over what
    /// comes out, `[queries, hidden]`, writes the slopes over the three into `found`. The bias of the keys takes no part.
    pub(in crate::models::clip_vit) fn attend(
        sizes: &Attention, given: (&[f32], &[f32], &[f32]), biases: (&[f32], &[f32]), over: &[f32],
        scratch: &mut Scratch, found: (&mut [f32], &mut [f32], &mut [f32]),
    ) = attend_body
}

#[inline(always)]
fn attend_body<const FMA: bool>(
    sizes: &Attention,
    (query, key, value): (&[f32], &[f32], &[f32]),
    (query_bias, value_bias): (&[f32], &[f32]),
    over: &[f32],
    scratch: &mut Scratch,
    (asked, keyed, valued): (&mut [f32], &mut [f32], &mut [f32]),
) {
    let &Attention { queries, tokens, heads, head_dim } = sizes;
    let padded = Padded::of(sizes);
    let hidden = heads * head_dim;
    let scale = 1.0 / (head_dim as f32).sqrt();
    for head in 0..heads {
        let columns = head * head_dim..(head + 1) * head_dim;
        let rows = query.chunks_exact(hidden).zip(over.chunks_exact(hidden)).enumerate();
        for (row, (query, over)) in rows {
            let at = row * padded.dim..row * padded.dim + head_dim;
            scratch.over[at.clone()].copy_from_slice(&over[columns.clone()]);
            let from = query[columns.clone()].iter().zip(&query_bias[columns.clone()]);
            scratch.query[at].iter_mut().zip(from).for_each(|(to, (from, bias))| *to = (from + bias) * scale);
        }
        for (token, (key, value)) in key.chunks_exact(hidden).zip(value.chunks_exact(hidden)).enumerate() {
            scratch.key[token * padded.dim..][..head_dim].copy_from_slice(&key[columns.clone()]);
            let values = value[columns.clone()].iter().zip(&value_bias[columns.clone()]);
            for (dim, (key, (value, bias))) in key[columns.clone()].iter().zip(values).enumerate() {
                scratch.key_turned[dim * padded.tokens + token] = *key;
                scratch.value_turned[dim * padded.tokens + token] = value + bias;
            }
        }
        let across = (padded.queries, head_dim, padded.tokens);
        product::<FMA>(across, (&scratch.query, padded.dim), &scratch.key_turned, &mut scratch.shares);
        product::<FMA>(across, (&scratch.over, padded.dim), &scratch.value_turned, &mut scratch.slopes);
        let rows = scratch.shares.chunks_exact_mut(padded.tokens).zip(scratch.slopes.chunks_exact_mut(padded.tokens));
        for (row, (shares, slopes)) in rows.enumerate().take(queries) {
            softmax::<FMA>(shares, tokens);
            let (shares, slopes) = (&mut shares[..tokens], &mut slopes[..tokens]);
            // A softmax does not see what is common to all scores.
            let common: f32 = shares.iter().zip(slopes.iter()).map(|(share, slope)| share * slope).sum();
            slopes.iter_mut().zip(shares.iter()).for_each(|(slope, share)| *slope = share * (*slope - common));
            for (token, (share, slope)) in shares.iter().zip(slopes.iter()).enumerate() {
                scratch.shares_turned[token * padded.queries + row] = *share;
                scratch.slopes_turned[token * padded.queries + row] = *slope;
            }
        }
        let out = &mut scratch.out;
        let store = |out: &[f32], to: &mut [f32], scale: f32| {
            for (to, from) in to.chunks_exact_mut(hidden).zip(out.chunks_exact(padded.dim)) {
                to[columns.clone()].iter_mut().zip(from).for_each(|(to, from)| *to = scale * from);
            }
        };
        product::<FMA>((padded.queries, tokens, padded.dim), (&scratch.slopes, padded.tokens), &scratch.key, out);
        store(out, asked, scale);
        let turned = (padded.tokens, queries, padded.dim);
        product::<FMA>(turned, (&scratch.slopes_turned, padded.queries), &scratch.query, out);
        store(out, keyed, 1.0);
        product::<FMA>(turned, (&scratch.shares_turned, padded.queries), &scratch.over, out);
        store(out, valued, 1.0);
    }
}
