//! The loops between matrix products, on slices: norms, activations, residuals, attention.
//!
//! Each is written once and compiled twice: for AVX2 with FMA, chosen at run time, and for whatever the target has.

use super::Activation;

/// Lanes that the inner loops are cut into: one AVX2 register of f32.
const LANES: usize = 8;
/// Rows that the small matrix product keeps in registers.
const ROWS: usize = 6;

/// `a · b + c`, fused where the caller is compiled for it; without FMA `f32::mul_add` would be a library call.
#[inline(always)]
fn madd<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Defines a function whose body, an `#[inline(always)]` function over `const FMA: bool`, is compiled for AVX2+FMA
/// and for the plain target, and chosen between at run time.
macro_rules! vectorised {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$meta])*
        $visibility fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $type),*) {
                    $body::<true>($($arg),*);
                }
                if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has just been found to have both features.
                    #[allow(unsafe_code)]
                    unsafe {
                        wide($($arg),*);
                    }
                    return;
                }
            }
            $body::<{ cfg!(target_arch = "aarch64") }>($($arg),*);
        }
    };
}

pub(super) mod experts;
pub(super) mod slopes;

vectorised! {
    /// Layer norm of every row of `x` (rows as long as `weight`) into `out`.
    pub(super) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) = layer_norm_body
}

#[inline(always)]
fn layer_norm_body<const FMA: bool>(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = weight.len();
    for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let (mean, scale) = standard(row, epsilon);
        for (((out, &value), &weight), &bias) in out.iter_mut().zip(row).zip(weight).zip(bias) {
            *out = madd::<FMA>((value - mean) * scale, weight, bias);
        }
    }
}

/// A row's mean, and one over its standard deviation.
#[inline(always)]
fn standard(row: &[f32], epsilon: f32) -> (f32, f32) {
    let per_value = 1.0 / row.len() as f32;
    let mean = sum(row.iter().copied(), row.len(), |value| value) * per_value;
    let variance = sum(row.iter().copied(), row.len(), |value| (value - mean) * (value - mean)) * per_value;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// Sum of `map` over values, in lanes, so that it vectorises and loses little.
#[inline(always)]
fn sum(values: impl Iterator<Item = f32>, len: usize, map: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 4 * LANES];
    let mut values = values;
    for _ in 0..len / lanes.len() {
        for lane in &mut lanes {
            // The iterator has `len` values by contract.
            *lane += map(values.next().unwrap_or_default());
        }
    }
    for (lane, value) in lanes.iter_mut().zip(values) {
        *lane += map(value);
    }
    lanes.iter().sum()
}

vectorised! {
    /// `x = activation(x + bias)`, row by row.
    pub(super) fn bias_activation(x: &mut [f32], bias: &[f32], activation: Activation) = bias_activation_body
}

#[inline(always)]
fn bias_activation_body<const FMA: bool>(x: &mut [f32], bias: &[f32], activation: Activation) {
    for row in x.chunks_exact_mut(bias.len()) {
        match activation {
            Activation::QuickGelu => {
                for (x, bias) in row.iter_mut().zip(bias) {
                    let value = *x + bias;
                    *x = value / (1.0 + exp::<FMA>(-1.702 * value));
                }
            }
            Activation::Gelu => {
                for (x, bias) in row.iter_mut().zip(bias) {
                    let value = *x + bias;
                    *x = 0.5 * value * (1.0 + erf::<FMA>(value * std::f32::consts::FRAC_1_SQRT_2));
                }
            }
        }
    }
}

vectorised! {
    /// `x += y + bias`, row by row.
    pub(super) fn add_with_bias(x: &mut [f32], y: &[f32], bias: &[f32]) = add_with_bias_body
}

#[inline(always)]
fn add_with_bias_body<const FMA: bool>(x: &mut [f32], y: &[f32], bias: &[f32]) {
    let width = bias.len();
    for (x, y) in x.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
        for ((x, y), bias) in x.iter_mut().zip(y).zip(bias) {
            *x += y + bias;
        }
    }
}

/// e^x to about one unit in the last place; arguments beyond ±87 are cut off.
#[inline(always)]
fn exp<const FMA: bool>(x: f32) -> f32 {
    /// 1.5 · 2²³: adding it rounds to an integer that stands in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let rounded = madd::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let f = madd::<FMA>(n, -LN_2_LOW, madd::<FMA>(n, -LN_2_HIGH, x));
    let mut p = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = madd::<FMA>(p, f, coefficient);
    }
    // Times 2ⁿ, by adding n to the exponent.
    f32::from_bits(p.to_bits().wrapping_add(rounded.to_bits() << 23))
}

/// Abramowitz and Stegun 7.1.26, absolute error under 1.5e-7.
#[inline(always)]
fn erf<const FMA: bool>(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / madd::<FMA>(0.327_591_1, size, 1.0);
    let mut p = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        p = madd::<FMA>(p, t, coefficient);
    }
    (1.0 - p * t * exp::<FMA>(-size * size)).copysign(x)
}

/// Sizes of one image's attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    /// Tokens that ask: all, or 1 when only the class token is wanted.
    pub queries: usize,
    pub tokens: usize,
    pub heads: usize,
    pub head_dim: usize,
}

/// Room for one head, reused between heads and images. Rows and columns are padded to what the small matrix product
/// works on; padding stays zero.
#[derive(Debug)]
pub(super) struct Scratch {
    query: Vec<f32>,
    /// `[head_dim, tokens]`
    key: Vec<f32>,
    value: Vec<f32>,
    scores: Vec<f32>,
    mixed: Vec<f32>,
}

impl Attention {
    fn padded(&self) -> (usize, usize, usize) {
        let dim = self.head_dim.next_multiple_of(LANES);
        (self.queries.next_multiple_of(ROWS), self.tokens.next_multiple_of(LANES), dim)
    }

    pub fn scratch(&self) -> Scratch {
        let (queries, tokens, dim) = self.padded();
        Scratch {
            query: vec![0.0; queries * dim],
            key: vec![0.0; dim * tokens],
            value: vec![0.0; tokens * dim],
            scores: vec![0.0; queries * tokens],
            mixed: vec![0.0; queries * dim],
        }
    }
}

vectorised! {
    /// softmax(QKᵀ/√d)·V for one image. `query` is `[queries, hidden]`, `key` and `value` are `[tokens, hidden]`, all
    /// without their biases; `out` is `[queries, hidden]`. The bias of the keys shifts all scores of a query alike,
    /// which softmax does not see, so it is not asked for.
    pub(super) fn attend(
        sizes: &Attention, query: &[f32], key: &[f32], value: &[f32], biases: (&[f32], &[f32]),
        scratch: &mut Scratch, out: &mut [f32],
    ) = attend_body
}

#[inline(always)]
fn attend_body<const FMA: bool>(
    sizes: &Attention,
    query: &[f32],
    key: &[f32],
    value: &[f32],
    (query_bias, value_bias): (&[f32], &[f32]),
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let &Attention { queries, tokens, heads, head_dim } = sizes;
    let (padded_queries, padded_tokens, padded_dim) = sizes.padded();
    let hidden = heads * head_dim;
    let scale = 1.0 / (head_dim as f32).sqrt();
    for head in 0..heads {
        let columns = head * head_dim..(head + 1) * head_dim;
        let bias = &query_bias[columns.clone()];
        for (row, from) in query.chunks_exact(hidden).enumerate() {
            let to = &mut scratch.query[row * padded_dim..][..head_dim];
            for ((to, from), bias) in to.iter_mut().zip(&from[columns.clone()]).zip(bias) {
                *to = (from + bias) * scale;
            }
        }
        for (token, from) in key.chunks_exact(hidden).enumerate() {
            for (dim, from) in from[columns.clone()].iter().enumerate() {
                scratch.key[dim * padded_tokens + token] = *from;
            }
        }
        let bias = &value_bias[columns.clone()];
        for (token, from) in value.chunks_exact(hidden).enumerate() {
            let to = &mut scratch.value[token * padded_dim..][..head_dim];
            for ((to, from), bias) in to.iter_mut().zip(&from[columns.clone()]).zip(bias) {
                *to = from + bias;
            }
        }
        let sides = (padded_queries, head_dim, padded_tokens);
        product::<FMA>(sides, (&scratch.query, padded_dim), &scratch.key, &mut scratch.scores);
        for row in scratch.scores.chunks_exact_mut(padded_tokens).take(queries) {
            softmax::<FMA>(row, tokens);
        }
        let sides = (padded_queries, tokens, padded_dim);
        product::<FMA>(sides, (&scratch.scores, padded_tokens), &scratch.value, &mut scratch.mixed);
        for (row, to) in out.chunks_exact_mut(hidden).enumerate().take(queries) {
            to[columns.clone()].copy_from_slice(&scratch.mixed[row * padded_dim..][..head_dim]);
        }
    }
}

/// Softmax of the first `count` values of a row; the others, which pad it, become zero.
#[inline(always)]
fn softmax<const FMA: bool>(row: &mut [f32], count: usize) {
    let largest = row[..count].iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in row.iter_mut() {
        *score = exp::<FMA>(*score - largest);
    }
    row[count..].fill(0.0);
    let per_sum = 1.0 / sum(row.iter().copied(), row.len(), |value| value);
    for score in row.iter_mut() {
        *score *= per_sum;
    }
}

/// `out[m, n] = a[m, k] · b[k, n]` for small matrices; `m` and `n` are multiples of [`ROWS`] and [`LANES`], rows of `a`
/// stand `stride` apart.
#[inline(always)]
fn product<const FMA: bool>(
    (m, k, n): (usize, usize, usize),
    (a, stride): (&[f32], usize),
    b: &[f32],
    out: &mut [f32],
) {
    for row in (0..m).step_by(ROWS) {
        let a: [&[f32]; ROWS] = std::array::from_fn(|r| &a[(row + r) * stride..][..k]);
        for column in (0..n).step_by(LANES) {
            let mut sums = [[0.0f32; LANES]; ROWS];
            for (step, b) in b.chunks_exact(n).take(k).enumerate() {
                let b = &b[column..column + LANES];
                for (sums, a) in sums.iter_mut().zip(&a) {
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = madd::<FMA>(a[step], *b, *sum);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                out[(row + r) * n + column..][..LANES].copy_from_slice(sums);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_erf_are_exact_to_rounding() {
        for step in -8700..=8700 {
            let x = step as f32 * 0.01;
            let (got, want) = (f64::from(exp::<false>(x)), f64::from(x).exp());
            assert!((got / want - 1.0).abs() < 4e-7, "exp({x}) = {got}, not {want}");
        }
        // Values of the error function from tables.
        for (x, want) in [(0.0, 0.0), (0.5, 0.520_499_9), (-1.0, -0.842_700_8), (2.5, 0.999_593)] {
            assert!((erf::<false>(x) - want).abs() < 4e-7, "erf({x})");
        }
    }

    #[test]
    fn attention_is_softmax_of_scaled_products() {
        let sizes = Attention { queries: 3, tokens: 5, heads: 2, head_dim: 3 };
        let wave = |len: usize, by: f32| (0..len).map(|i| (i as f32 * by).sin()).collect::<Vec<_>>();
        let (q, k, v) = (wave(18, 0.7), wave(30, 1.3), wave(30, 0.4));
        let (bq, bv) = (wave(6, 2.0), wave(6, 3.0));
        let mut out = vec![0.0; 18];
        attend(&sizes, &q, &k, &v, (&bq, &bv), &mut sizes.scratch(), &mut out);
        for head in 0..2 {
            for query in 0..3 {
                let score = |token: usize| -> f32 {
                    (0..3).map(|d| head * 3 + d).map(|d| (q[query * 6 + d] + bq[d]) * k[token * 6 + d]).sum::<f32>()
                        / 3f32.sqrt()
                };
                let total: f32 = (0..5).map(|token| score(token).exp()).sum();
                for d in (0..3).map(|d| head * 3 + d) {
                    let want: f32 = (0..5).map(|t| score(t).exp() / total * (v[t * 6 + d] + bv[d])).sum();
                    assert!((out[query * 6 + d] - want).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn norms_have_mean_zero_and_variance_one() {
        let x: Vec<f32> = (0..2 * 37).map(|i| (i as f32).cos() * 3.0 + 5.0).collect();
        let mut out = vec![0.0; x.len()];
        layer_norm(&x, &[1.0; 37], &[0.0; 37], 0.0, &mut out);
        for row in out.chunks(37) {
            let mean = row.iter().sum::<f32>() / 37.0;
            let variance = row.iter().map(|v| v * v).sum::<f32>() / 37.0;
            assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
        }
    }
}
