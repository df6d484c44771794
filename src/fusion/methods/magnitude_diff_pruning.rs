//! Magnitude pruning of the difference (FusionBench): fine-tuned models with most of their changes taken back.
//!
//! FusionBench takes one model. Pruning looks at nothing but an expert and the base, so several are as many times the same:
//! a model for each, as a compression that keeps the sparse differences beside one base.

use crate::fusion::kernels::accumulate::subtract;
use crate::fusion::kernels::bits::{Filling, support};
use crate::fusion::kernels::chunks::map_row_chunks;
use crate::fusion::kernels::dare::is_linear_weight;
use crate::fusion::kernels::delta_merge::is_finite;
use crate::fusion::kernels::rows::{Row, Scratch, Work, row_length, rows};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Own, PerTask, Pool};
use crate::params::{ParamSet, choice, flag, float, int};

crate::params! {
    /// Share of each row's changes that is dropped.
    prune_ratio: f64 = float(0.5, 0.0, 1.0, 0.05).symbol("p");
    /// Which changes are dropped: the smallest (minor) or the largest (major).
    prune_type: String = choice("minor", &["minor", "major"]);
    /// Drop so many of every m neighbours instead of a share of the row; 0 for the share.
    n: usize = int(0, 0, 16, 1).advanced();
    /// Neighbours that are compared where n is not 0.
    m: usize = int(4, 1, 16, 1).advanced();
    /// Divide what is kept by the share that is kept.
    rescale: bool = flag(false);
    /// Only the weight matrices of linear layers; everything else stays as it is in the base.
    only_linear: bool = flag(true).advanced();
}

pub static METHOD: Method = Method {
    id: "magnitude_diff_pruning",
    name: "Magnitude-diff pruning",
    family: Family::Compression,
    formula: "θₖ = θ₀ + mₖ∘τₖ, mₖ without the smallest p of each row",
    summary: "Shows how much of what an expert has learned sits in its largest changes: keeps those of each row of its \
              weight matrices, and the base everywhere else. Compresses each fine-tune by itself to a sparse difference.",
    reference: "",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let scale = params.scale()?;
    let lenient = cx.lenient;
    let rows = rows(pool)?;
    let is_pruned = |row: &Row<'_>| row.info.dtype.is_float() && (!params.only_linear || is_linear_weight(row.info));
    let floats = rows.iter().enumerate().filter(|(_, row)| row.info.dtype.is_float());
    let chunks = floats.map(|(at, row)| (at, row.info.len(), row_length(row.info)));
    let experts = 0..pool.experts().len();
    let length = |row: &Row<'_>| if is_pruned(row) { row.info.len() } else { 0 };
    let masks: Vec<Vec<Filling>> =
        experts.clone().map(|_| rows.iter().map(|row| Filling::new(length(row))).collect()).collect();
    let all: Vec<usize> = experts.collect();
    let done = map_row_chunks(chunks, cx.cancel, |piece, Scratch { decode, work }| {
        let row = &rows[piece.tensor];
        row.read(&all, &piece.range, decode, |base, experts| {
            for (expert, masks) in experts.iter().zip(&masks) {
                subtract(expert, base, &mut work.delta);
                // What is dropped may be no number, and must not disappear.
                if !lenient && !is_finite(&work.delta) {
                    return Err(FusionError::NotFinite { tensor: row.info.name.clone() });
                }
                if is_pruned(row) {
                    params.prune(row_length(row.info).max(1), work);
                    let mut words = Vec::new();
                    support(&work.delta, &mut words);
                    masks[piece.tensor].put(piece.range.start, &words);
                }
            }
            Ok(())
        })
    })?;
    done.into_iter().try_for_each(|(_, result)| result)?;
    (cx.progress)(rows.len(), rows.len());
    let own = |masks: Vec<Filling>| {
        let pairs = masks.into_iter().zip(&rows);
        pairs
            .map(|(mask, row)| if is_pruned(row) { Own::Kept { mask: mask.finish(), scale } } else { Own::Base })
            .collect()
    };
    Ok(Fused::PerTask(PerTask::new(None, masks.into_iter().map(own).collect())))
}

impl Params {
    /// What is kept is multiplied with this. FusionBench multiplies with `rescale` itself, false being 0, and divides by
    /// the share that is dropped where it is true.
    fn scale(&self) -> Result<f32, FusionError> {
        if self.n > self.m {
            let reason = format!("n = {} of m = {} neighbours cannot be dropped", self.n, self.m);
            return Err(FusionError::Unusable { method: METHOD.name, reason });
        }
        let kept = if self.n > 0 { (self.m - self.n) as f64 / self.m as f64 } else { 1.0 - self.prune_ratio };
        Ok(if self.rescale && kept > 0.0 { (1.0 / kept) as f32 } else { 1.0 })
    }

    /// Makes what is dropped zero. Of equal changes, the earlier ones count as smaller.
    fn prune(&self, row: usize, work: &mut Work) {
        let group = if self.n > 0 { self.m } else { row };
        for row in work.delta.chunks_mut(row) {
            for delta in row.chunks_mut(group) {
                let dropped = match self.n {
                    0 => (delta.len() as f64 * self.prune_ratio) as usize,
                    n => n.min(delta.len()),
                };
                work.order.clear();
                work.order.extend(0..delta.len() as u32);
                work.order.sort_by_key(|&at| delta[at as usize].to_bits() & 0x7fff_ffff);
                let order = &work.order;
                let drop = if self.prune_type == "major" { &order[order.len() - dropped..] } else { &order[..dropped] };
                for &at in drop {
                    delta[at as usize] = 0.0;
                }
            }
        }
    }
}
