//! Task arithmetic in mergekit's general form: thin out each task vector, elect signs, add up with weights.

use super::accumulate::subtract;
use super::chunks::{Piece, for_row_chunks};
use super::consensus::Consensus;
use super::rows::{Row, Scratch, blank, row_length, rows};
use super::select::Deltas;
use super::sparsify::{Sparsify, Survey};
use super::wide::wide;
use crate::fusion::{Context, FusionError, Pool, SeededMasks};
use crate::weights::StateDict;

/// What is to be done to the task vectors.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::fusion) struct DeltaMerge {
    /// One an expert.
    pub weights: Vec<f32>,
    pub sparsify: Sparsify,
    pub consensus: Consensus,
    /// Coefficient of the merged task vector.
    pub lambda: f32,
    /// Seed of the random masks; zero where there are none.
    pub seed: u64,
}

/// Elements that are worked on at a time: T task vectors of so many elements stay in the second-level cache.
const BLOCK: usize = 2048;

impl DeltaMerge {
    /// The fused model.
    ///
    /// # Errors
    /// Task vectors or results that are not finite; cancellation.
    pub(in crate::fusion) fn fuse(&self, pool: &Pool, cx: &mut Context<'_>) -> Result<StateDict, FusionError> {
        let rows = rows(pool)?;
        let mut fused = blank(&rows);
        let vectors = TaskVectors::new(&rows);
        let seeded = SeededMasks { seed: self.seed };
        let survey = Survey::new(&self.sparsify, &vectors, &rows, cx.masks.unwrap_or(&seeded), cx)?;
        let unit = |at: usize| if survey.by_row() { row_length(rows[at].info) } else { 1 };
        for_row_chunks(
            fused.tensors_mut(),
            unit,
            |_| true,
            cx,
            |piece, out, scratch| {
                let row = &rows[piece.tensor];
                let block = if survey.by_row() { out.len().max(1) } else { BLOCK };
                for (index, out) in out.chunks_mut(block).enumerate() {
                    let start = piece.range.start + index * block;
                    let piece = Piece { tensor: piece.tensor, range: start..start + out.len() };
                    let Scratch { decode, work } = scratch;
                    row.read(&vectors.all, &piece.range, decode, |base, experts| {
                        work.kept.clear();
                        for (expert, values) in experts.iter().enumerate() {
                            subtract(values, base, &mut work.delta);
                            // Thinning and voting would let a number that is none disappear.
                            if !is_finite(&work.delta) {
                                return Err(FusionError::NotFinite { tensor: row.info.name.clone() });
                            }
                            survey.apply(row, &piece, expert, work);
                            work.kept.extend_from_slice(&work.delta);
                        }
                        self.consensus.combine(&self.weights, base, self.lambda, work, out);
                        Ok(())
                    })?;
                }
                Ok(())
            },
        )?;
        Ok(fused)
    }
}

wide! {
    /// Whether all values are numbers.
    pub(in crate::fusion) fn is_finite(values: &[f32]) -> bool = is_finite_body
}

#[inline(always)]
fn is_finite_body(values: &[f32]) -> bool {
    values.iter().fold(true, |finite, value| finite & (value.abs() < f32::INFINITY))
}

/// All experts' task vectors as they are.
pub(in crate::fusion) struct TaskVectors<'a> {
    rows: &'a [Row<'a>],
    pub all: Vec<usize>,
}

impl<'a> TaskVectors<'a> {
    pub(in crate::fusion) fn new(rows: &'a [Row<'a>]) -> Self {
        Self { rows, all: (0..rows.first().map_or(0, |row| row.experts.len())).collect() }
    }
}

impl Deltas for TaskVectors<'_> {
    fn experts(&self) -> usize {
        self.all.len()
    }

    fn visit(&self, piece: &Piece, Scratch { decode, work }: &mut Scratch, visitor: &mut dyn FnMut(usize, &[f32])) {
        self.rows[piece.tensor].read(&self.all, &piece.range, decode, |base, experts| {
            for (expert, values) in experts.iter().enumerate() {
                subtract(values, base, &mut work.delta);
                visitor(expert, &work.delta);
            }
        });
    }

    fn name(&self, tensor: usize) -> &str {
        &self.rows[tensor].info.name
    }
}
