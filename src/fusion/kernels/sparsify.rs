//! Keeping only a part of each task vector, tensor by tensor: the largest entries, the middle ones, random ones.

use super::band::{Band, bands};
use super::chunks::{Piece, map_row_chunks};
use super::dare::{apply_mask, is_statistic};
use super::rows::{Row, Work, row_length};
use super::select::{Deltas, bits};
use crate::fusion::{Context, FusionError, MaskSource};

/// Which entries are kept of each tensor, and what is done to them. Lists have one number an expert.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::fusion) struct Sparsify {
    pub rule: Rule,
    /// Share of each tensor's entries that is kept; 1 and more keeps everything as it is.
    pub density: Vec<f64>,
    pub rescale: Rescale,
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::fusion) enum Rule {
    /// The largest magnitudes: ⌊density · n⌋ of them and at least `least`; of equal ones the first.
    Largest { least: usize },
    /// As many, after the ⌊gamma · n⌋ largest; fewer of those are passed over where the density asks for them.
    Middle { gamma: Vec<f64> },
    /// Each entry with the probability `density`.
    Random,
    /// Each entry with a probability between density − epsilon, for the smallest of its row, and density + epsilon.
    Ranked { epsilon: Vec<f64> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) enum Rescale {
    No,
    /// To the tensor's ℓ₁ norm before.
    Norm,
    /// By 1/density, which keeps the expected value of random entries.
    Share,
}

/// ℓ₁ norms below this are left as they are, as in mergekit.
const SMALLEST: f64 = 1e-7;

/// What had to be known about the whole tensors.
pub(super) struct Survey<'a> {
    how: &'a Sparsify,
    /// `[tensor][expert]`
    bands: Vec<Vec<Band>>,
    masks: &'a dyn MaskSource,
}

impl<'a> Survey<'a> {
    /// Looks through all task vectors as often as the rule needs.
    ///
    /// # Errors
    /// Task vectors that are not finite; cancellation.
    pub(super) fn new(
        how: &'a Sparsify,
        vectors: &impl Deltas,
        rows: &[Row<'_>],
        masks: &'a dyn MaskSource,
        cx: &Context<'_>,
    ) -> Result<Self, FusionError> {
        let mut survey = Self { how, bands: how.bands(vectors, rows, cx)?, masks };
        let dense = how.density.iter().all(|density| *density >= 1.0);
        match how.rescale {
            Rescale::Norm if !dense => survey.keep_norms(vectors, rows, cx)?,
            Rescale::Share => {
                for bands in &mut survey.bands {
                    for (band, density) in bands.iter_mut().zip(&how.density) {
                        band.scale = if *density > 0.0 { (1.0 / density.min(1.0)) as f32 } else { 1.0 };
                    }
                }
            }
            Rescale::Norm | Rescale::No => {}
        }
        Ok(survey)
    }

    /// Whether chunks must be whole rows.
    pub(super) fn by_row(&self) -> bool {
        self.how.by_row()
    }

    /// Sets the factors that keep each tensor's ℓ₁ norm.
    fn keep_norms(&mut self, vectors: &impl Deltas, rows: &[Row<'_>], cx: &Context<'_>) -> Result<(), FusionError> {
        let floats = rows.iter().enumerate().filter(|(_, row)| row.info.dtype.is_float());
        let units = floats.map(|(at, row)| (at, row.info.len(), if self.by_row() { row_length(row.info) } else { 1 }));
        let sums = map_row_chunks(units, cx.cancel, |piece, scratch| {
            let mut sums = vec![[0.0f64; 2]; vectors.experts()];
            let mut work = std::mem::take(&mut scratch.work);
            vectors.visit(piece, scratch, &mut |expert, delta| {
                let sum = |values: &[f32]| values.iter().map(|x| f64::from(x.abs())).sum::<f64>();
                work.delta.clear();
                work.delta.extend_from_slice(delta);
                self.apply(&rows[piece.tensor], piece, expert, &mut work);
                sums[expert] = [sum(delta), sum(&work.delta)];
            });
            scratch.work = work;
            sums
        })?;
        let mut norms = vec![vec![[0.0f64; 2]; vectors.experts()]; rows.len()];
        for (piece, sums) in sums {
            for (norm, sum) in norms[piece.tensor].iter_mut().zip(sums) {
                *norm = [norm[0] + sum[0], norm[1] + sum[1]];
            }
        }
        for (bands, norms) in self.bands.iter_mut().zip(norms) {
            for (band, [before, after]) in bands.iter_mut().zip(norms) {
                band.scale = if before < SMALLEST || after < SMALLEST { 1.0 } else { (before / after) as f32 };
            }
        }
        Ok(())
    }

    /// Thins out `work.delta`, the part `piece` of an expert's task vector.
    pub(super) fn apply(&self, row: &Row<'_>, piece: &Piece, expert: usize, work: &mut Work) {
        let Work { delta, keep, drops, order, .. } = work;
        let density = self.how.density[expert];
        let band = self.bands[piece.tensor][expert];
        if density >= 1.0 {
            return;
        }
        let (name, offset) = (row.info.name.as_str(), piece.range.start);
        match &self.how.rule {
            Rule::Largest { .. } | Rule::Middle { .. } => band.filter(offset, delta),
            // Scaled up, a variance could become negative; what is not trained is not thinned out.
            Rule::Random | Rule::Ranked { .. } if is_statistic(name) => {}
            Rule::Random => {
                keep.resize(delta.len(), true);
                self.masks.keep(expert, name, offset, 1.0 - density, keep);
                apply_mask(delta, keep, band.scale);
            }
            Rule::Ranked { epsilon } if density > 0.0 => {
                keep.resize(delta.len(), true);
                rank_drops(delta, row_length(row.info), density, epsilon[expert], order, drops);
                self.masks.keep_each(expert, name, offset, drops, keep);
                apply_mask(delta, keep, band.scale);
            }
            Rule::Ranked { .. } => delta.fill(0.0),
        }
    }
}

impl Sparsify {
    fn by_row(&self) -> bool {
        matches!(self.rule, Rule::Ranked { .. })
    }

    fn bands(&self, vectors: &impl Deltas, rows: &[Row<'_>], cx: &Context<'_>) -> Result<Vec<Vec<Band>>, FusionError> {
        let experts = self.density.len();
        if !matches!(self.rule, Rule::Largest { .. } | Rule::Middle { .. }) {
            return Ok(vec![vec![Band::ALL; experts]; rows.len()]);
        }
        let thinned = |row: &Row<'_>, expert: usize| row.info.dtype.is_float() && self.density[expert] < 1.0;
        let ranks =
            |row: &Row<'_>, expert| if thinned(row, expert) { self.ranks(expert, row.info.len()) } else { None };
        let ranks: Vec<Vec<_>> =
            rows.iter().map(|row| (0..experts).map(|expert| ranks(row, expert)).collect()).collect();
        bands(vectors, rows, &ranks, cx)
    }

    /// First and last kept entry of `n` when all are in order of magnitude, counted from one.
    fn ranks(&self, expert: usize, n: usize) -> Option<(usize, usize)> {
        let density = self.density[expert];
        let count = (n as f64 * density) as usize;
        let (skipped, count) = match &self.rule {
            Rule::Largest { least } => {
                let count = if density > 0.0 { count.max(*least).min(n) } else { 0 };
                (n - count, count)
            }
            Rule::Middle { gamma } => {
                let largest = (n as f64 * gamma[expert]) as usize;
                (n.saturating_sub(count + largest), count)
            }
            Rule::Random | Rule::Ranked { .. } => (0, n),
        };
        (count > 0).then_some((skipped + 1, skipped + count))
    }
}

/// The probability of each element to be dropped, falling with its rank among the magnitudes of its row.
///
/// mergekit ranks along dimension 1, which for a convolution is the input channel, and divides 0 by 0 in rows of one
/// element; a row here is whatever belongs to one output, and a single element has the middle probability.
fn rank_drops(delta: &[f32], row: usize, density: f64, epsilon: f64, order: &mut Vec<u32>, drops: &mut Vec<f32>) {
    drops.clear();
    drops.resize(delta.len(), (1.0 - density) as f32);
    for (delta, drops) in delta.chunks(row.max(1)).zip(drops.chunks_mut(row.max(1))) {
        order.clear();
        order.extend(0..delta.len() as u32);
        order.sort_by_key(|&at| bits(delta[at as usize]));
        let steps = delta.len().saturating_sub(1);
        for (rank, &at) in order.iter().enumerate().filter(|_| steps > 0) {
            let keep = density - epsilon + 2.0 * epsilon * rank as f64 / steps as f64;
            drops[at as usize] = (1.0 - keep) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_entries_of_a_row_are_dropped_less() {
        let (mut order, mut drops) = (vec![], vec![]);
        rank_drops(&[0.3, -0.1, 0.2, 5.0, -7.0, 6.0], 3, 0.5, 0.25, &mut order, &mut drops);
        assert_eq!(drops, [0.25, 0.75, 0.5, 0.75, 0.25, 0.5]);
        rank_drops(&[2.0, 1.0], 1, 0.5, 0.25, &mut order, &mut drops);
        assert_eq!(drops, [0.5, 0.5]);
    }
}
