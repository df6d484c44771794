//! Magnitude pruning of the difference (FusionBench): one fine-tuned model with most of its changes taken back.

use crate::fusion::kernels::accumulate::subtract;
use crate::fusion::kernels::chunks::for_row_chunks;
use crate::fusion::kernels::dare::is_linear_weight;
use crate::fusion::kernels::delta_merge::is_finite;
use crate::fusion::kernels::rows::{Scratch, Work, blank, row_length, rows};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
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
    family: Family::Merging,
    formula: "θ = θ₀ + m∘τ, m without the smallest p of each row",
    summary: "Shows how much of what one expert has learned sits in its largest changes: keeps those of each row of its \
              weight matrices, and the base everywhere else. Compresses a fine-tuned model to a sparse difference.",
    reference: "",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: Some(1), data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let scale = params.scale()?;
    let rows = rows(pool)?;
    let mut fused = blank(&rows);
    let unit = |at: usize| row_length(rows[at].info);
    for_row_chunks(
        fused.tensors_mut(),
        unit,
        |_| true,
        cx,
        |piece, out, Scratch { decode, work }| {
            let row = &rows[piece.tensor];
            row.read(&[0], &piece.range, decode, |base, experts| {
                out.copy_from_slice(base);
                subtract(experts[0], base, &mut work.delta);
                // What is dropped may be no number, and must not disappear.
                if !is_finite(&work.delta) {
                    return Err(FusionError::NotFinite { tensor: row.info.name.clone() });
                }
                if params.only_linear && !is_linear_weight(row.info) {
                    return Ok(());
                }
                params.prune(unit(piece.tensor).max(1), work);
                out.iter_mut().zip(&work.delta).for_each(|(out, delta)| *out += scale * delta);
                Ok(())
            })
        },
    )?;
    Ok(Fused::Weights(fused))
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
