//! SCE (Wan et al. 2024, FuseChat): select where experts differ, calculate their weights, erase minority signs.

use crate::fusion::kernels::accumulate::subtract;
use crate::fusion::kernels::chunks::{Piece, for_chunks, map_chunks};
use crate::fusion::kernels::consensus::{Consensus, Divide, Vote};
use crate::fusion::kernels::delta_merge::is_finite;
use crate::fusion::kernels::ranks::magnitudes_at;
use crate::fusion::kernels::rows::{Row, Scratch, Work, blank, rows};
use crate::fusion::kernels::select::Deltas;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float};

crate::params! {
    /// Share of each tensor's elements that take part: those in which the experts differ most.
    select_topk: f64 = float(1.0, 0.0, 1.0, 0.05).symbol("τ");
}

pub static METHOD: Method = Method {
    id: "sce",
    name: "SCE",
    family: Family::Merging,
    formula: "θ = θ₀ + Σ wᵢτᵢ/Σ wᵢ over agreeing signs, wᵢ ∝ mean τᵢ² of the tensor",
    summary: "Gives each expert in each tensor the weight that it has earned by how much it changed there, leaves out \
              changes against the majority's sign, and, if told so, looks only at elements in which the experts differ.",
    reference: "arXiv:2408.07990",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { select_topk } = METHOD.typed(Params::from_set(set))?;
    let rows = rows(pool)?;
    let mut fused = blank(&rows);
    let selection = Selection { rows: &rows, all: (0..pool.experts().len()).collect() };
    let thresholds = selection.thresholds(select_topk, cx)?;
    let weights = selection.weights(&thresholds, cx)?;
    let consensus = Consensus { vote: Vote::Plain, divide: Divide::Weights };
    for_chunks(
        fused.tensors_mut(),
        |_| true,
        cx,
        |piece, out, scratch| {
            for (index, out) in out.chunks_mut(BLOCK).enumerate() {
                let start = piece.range.start + index * BLOCK;
                let block = Piece { tensor: piece.tensor, range: start..start + out.len() };
                selection.read(&block, thresholds[piece.tensor], scratch, |base, work| {
                    consensus.combine(&weights[piece.tensor], base, 1.0, work, out);
                })?;
            }
            Ok(())
        },
    )?;
    Ok(Fused::Weights(fused))
}

/// Elements that are worked on at a time.
const BLOCK: usize = 2048;

/// All experts' task vectors, and as [`Deltas`] the variance between them.
struct Selection<'a> {
    rows: &'a [Row<'a>],
    all: Vec<usize>,
}

impl Selection<'_> {
    /// The variance from which on elements of a tensor take part.
    fn thresholds(&self, share: f64, cx: &Context<'_>) -> Result<Vec<f32>, FusionError> {
        if share >= 1.0 {
            return Ok(vec![0.0; self.rows.len()]);
        }
        let counts = map_chunks(self.floats(), cx.cancel, |piece, scratch| {
            let mut count = 0;
            self.visit(piece, scratch, &mut |_, values| count = values.iter().filter(|x| **x != 0.0).count());
            count
        })?;
        let mut differing = vec![0; self.rows.len()];
        for (piece, count) in counts {
            differing[piece.tensor] += count;
        }
        let selected = |count: usize| (count as f64 * share) as usize;
        let rank = |(row, &count): (&Row<'_>, &usize)| match selected(count) {
            0 => vec![vec![]],
            selected => vec![vec![row.info.len() + 1 - selected]],
        };
        let ranks: Vec<_> = self.rows.iter().zip(&differing).map(rank).collect();
        let found = magnitudes_at(self, self.rows, &ranks, (cx.cancel, cx.lenient))?;
        Ok(found.iter().map(|found| found[0].first().copied().unwrap_or(f32::INFINITY)).collect())
    }

    /// Each expert's share of the squares of what takes part, `[tensor][expert]`.
    fn weights(&self, thresholds: &[f32], cx: &Context<'_>) -> Result<Vec<Vec<f32>>, FusionError> {
        let experts = self.all.len();
        let partial = map_chunks(self.floats(), cx.cancel, |piece, scratch| {
            self.read(piece, thresholds[piece.tensor], scratch, |base, work| {
                let square = |kept: &[f32]| kept.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
                work.kept.chunks_exact(base.len().max(1)).map(square).collect::<Vec<_>>()
            })
        })?;
        let mut squares = vec![vec![0.0f64; experts]; self.rows.len()];
        for (piece, partial) in partial {
            squares[piece.tensor].iter_mut().zip(partial?).for_each(|(sum, part)| *sum += part);
        }
        let share = |squares: Vec<f64>| {
            let sum: f64 = squares.iter().sum();
            // mergekit gives up at a mean square of 1e-6, which ordinary fine-tuning does not reach: there its SCE is a
            // plain mean. Only where nothing has changed the weights make no difference.
            squares.iter().map(|x| if sum > 0.0 { (x / sum) as f32 } else { 1.0 / experts as f32 }).collect()
        };
        Ok(squares.into_iter().map(share).collect())
    }

    fn floats(&self) -> impl Iterator<Item = (usize, usize)> {
        self.rows.iter().enumerate().filter(|(_, row)| row.info.dtype.is_float()).map(|(at, row)| (at, row.info.len()))
    }

    /// Calls `body` with the base and with what takes part of all task vectors in `work.kept`.
    fn read<R>(
        &self,
        piece: &Piece,
        threshold: f32,
        Scratch { decode, work }: &mut Scratch,
        body: impl FnOnce(&[f32], &mut Work) -> R,
    ) -> Result<R, FusionError> {
        let row = &self.rows[piece.tensor];
        row.read(&self.all, &piece.range, decode, |base, experts| {
            work.kept.clear();
            for expert in experts {
                subtract(expert, base, &mut work.delta);
                work.kept.extend_from_slice(&work.delta);
            }
            if !is_finite(&work.kept) {
                return Err(FusionError::NotFinite { tensor: row.info.name.clone() });
            }
            if threshold > 0.0 {
                variances(base, experts, &mut work.delta);
                for kept in work.kept.chunks_exact_mut(base.len().max(1)) {
                    let elements = kept.iter_mut().zip(&work.delta);
                    elements.for_each(|(kept, variance)| *kept = if *variance >= threshold { *kept } else { 0.0 });
                }
            }
            Ok(body(base, work))
        })
    }
}

/// The variance between the experts' changes, element by element.
fn variances(base: &[f32], experts: &[&[f32]], out: &mut Vec<f32>) {
    let count = experts.len() as f64;
    out.clear();
    out.extend(base.iter().enumerate().map(|(at, base)| {
        let deltas = || experts.iter().map(|expert| f64::from(expert[at] - base));
        // In f64 the mean of equal changes is that change, and their variance zero.
        let mean = deltas().sum::<f64>() / count;
        (deltas().map(|delta| (delta - mean).powi(2)).sum::<f64>() / count) as f32
    }));
}

impl Deltas for Selection<'_> {
    fn experts(&self) -> usize {
        1
    }

    fn visit(&self, piece: &Piece, Scratch { decode, work }: &mut Scratch, visitor: &mut dyn FnMut(usize, &[f32])) {
        self.rows[piece.tensor].read(&self.all, &piece.range, decode, |base, experts| {
            variances(base, experts, &mut work.delta);
            visitor(0, &work.delta);
        });
    }

    fn name(&self, tensor: usize) -> &str {
        &self.rows[tensor].info.name
    }
}
