//! Arcee fusion (mergekit): only the changes that matter most, by size and by what they do to their row.

use crate::fusion::kernels::chunks::{Piece, map_row_chunks};
use crate::fusion::kernels::elementwise::elementwise_by_tensor;
use crate::fusion::kernels::ranks::magnitudes_at;
use crate::fusion::kernels::rows::{Row, Scratch, rows};
use crate::fusion::kernels::select::Deltas;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// How far above the median importance a change must be, in interquartile ranges; mergekit's is 1.5.
    reach: f32 = float(1.5, 0.0, 10.0, 0.1).at_least(0.0);
}

pub static METHOD: Method = Method {
    id: "arcee_fusion",
    name: "Arcee fusion",
    family: Family::Merging,
    formula: "θ = θ₀ + τ where |τ|·KL(softmax θ₁ ‖ softmax θ₀) ≥ median + 1.5 IQR",
    summary: "Takes from one expert only the changes that stand out: large ones, in rows whose softmax has moved far from \
              the base's. The threshold comes from the spread of importance within each tensor.",
    reference: "",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: Some(1), data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { reach } = METHOD.typed(Params::from_set(set))?;
    let rows = rows(pool)?;
    let importance = Importance { divergences: divergences(&rows, cx)?, rows: &rows };
    let thresholds = importance.thresholds(reach, cx)?;
    let changed = |piece: &Piece, base: &[f32], experts: &[&[f32]], out: &mut [f32]| {
        let divergences = importance.of_elements(piece);
        let values = experts.iter().flat_map(|expert| expert.iter());
        for (((out, &base), &value), divergence) in out.iter_mut().zip(base).zip(values).zip(divergences) {
            let matters = (value - base).abs() * divergence >= thresholds[piece.tensor];
            *out = if matters { value } else { base };
        }
    };
    elementwise_by_tensor(pool, cx, changed).map(Fused::Weights)
}

/// Elements of a row: along the last dimension.
fn row_length(row: &Row<'_>) -> usize {
    row.info.shape.last().copied().unwrap_or(1).max(1)
}

/// KL(softmax of the expert ‖ softmax of the base) of every row, `[tensor][row]`.
fn divergences(rows: &[Row<'_>], cx: &Context<'_>) -> Result<Vec<Vec<f32>>, FusionError> {
    let floats = rows.iter().enumerate().filter(|(_, row)| row.info.dtype.is_float());
    let units = floats.map(|(at, row)| (at, row.info.len(), row_length(row)));
    let found = map_row_chunks(units, cx.cancel, |piece, scratch| {
        let row = &rows[piece.tensor];
        let length = row_length(row);
        row.read(&[0], &piece.range, &mut scratch.decode, |base, experts| {
            let pairs = experts[0].chunks(length).zip(base.chunks(length));
            pairs.map(|(expert, base)| divergence(expert, base)).collect::<Vec<f32>>()
        })
    })?;
    let mut all = vec![Vec::new(); rows.len()];
    for (piece, found) in found {
        all[piece.tensor].extend(found);
    }
    Ok(all)
}

/// Added to probabilities before their logarithms are taken, as in mergekit.
const SMALLEST: f64 = 1e-8;

/// Computed in f64: the terms nearly cancel, and in f32 rounding can be larger than what is left.
fn divergence(expert: &[f32], base: &[f32]) -> f32 {
    let softmax = |values: &[f32]| {
        let largest = values.iter().fold(f32::NEG_INFINITY, |largest, x| largest.max(*x));
        let powers: Vec<f64> = values.iter().map(|x| (f64::from(*x) - f64::from(largest)).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(move |power| power / sum + SMALLEST)
    };
    let sum: f64 = softmax(expert).zip(softmax(base)).map(|(p, q)| p * (p / q).ln()).sum();
    if sum < 0.0 { 0.0 } else { sum as f32 }
}

/// |τ| times the divergence of its row.
struct Importance<'a> {
    rows: &'a [Row<'a>],
    divergences: Vec<Vec<f32>>,
}

impl Importance<'_> {
    /// The divergence of each element's row.
    fn of_elements(&self, piece: &Piece) -> impl Iterator<Item = f32> {
        let length = row_length(&self.rows[piece.tensor]);
        let divergences = &self.divergences[piece.tensor];
        piece.range.clone().map(move |at| divergences[at / length])
    }

    /// Median plus `reach` interquartile ranges, of each tensor. mergekit draws a million elements of larger tensors at
    /// random; here they are all looked at.
    fn thresholds(&self, reach: f32, cx: &Context<'_>) -> Result<Vec<f32>, FusionError> {
        let ranks = |row: &Row<'_>| {
            let last = row.info.len().saturating_sub(1) as f64;
            let empty = row.info.is_empty() || !row.info.dtype.is_float();
            vec![if empty { vec![] } else { [0.25, 0.5, 0.75].map(|q| (q * last) as usize + 1).to_vec() }]
        };
        let found =
            magnitudes_at(self, self.rows, &self.rows.iter().map(ranks).collect::<Vec<_>>(), (cx.cancel, cx.lenient))?;
        let threshold = |found: &Vec<Vec<f32>>| match found[0][..] {
            [lower, median, upper] => median + reach * (upper - lower),
            _ => 0.0,
        };
        Ok(found.iter().map(threshold).collect())
    }
}

impl Deltas for Importance<'_> {
    fn experts(&self) -> usize {
        1
    }

    fn visit(&self, piece: &Piece, Scratch { decode, work }: &mut Scratch, visitor: &mut dyn FnMut(usize, &[f32])) {
        self.rows[piece.tensor].read(&[0], &piece.range, decode, |base, experts| {
            let values = experts[0].iter().zip(base).zip(self.of_elements(piece));
            work.delta.clear();
            work.delta.extend(values.map(|((value, base), divergence)| (value - base).abs() * divergence));
            visitor(0, &work.delta);
        });
    }

    fn name(&self, tensor: usize) -> &str {
        &self.rows[tensor].info.name
    }
}
