//! BitDelta (Liu et al. 2024): the signs of each fine-tune's changes and one size a matrix, without data.

use crate::fusion::kernels::bits::{Filling, signs};
use crate::fusion::kernels::chunks::map_chunks;
use crate::fusion::kernels::dare::is_linear_weight;
use crate::fusion::kernels::names::Patterns;
use crate::fusion::kernels::rows::{Scratch, rows};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Own, PerTask, Pool};
use crate::params::{ParamSet, choice, float, text};
use crate::weights::TensorInfo;

crate::params! {
    /// Coefficient of every matrix's mean change: 1 is BitDelta's start, which distillation on data would refine.
    scaling: f32 = float(1.0, 0.0, 3.0, 0.05).unbounded().symbol("λ");
    /// Everything but the compressed matrices: as each expert has it (BitDelta), or as the base has it.
    rest: String = choice("expert", &["expert", "base"]);
    /// Which tensors are compressed, by name (`*` stands for anything); if empty, the weights of all linear layers.
    tensors: String = text("").advanced();
}

pub static METHOD: Method = Method {
    id: "bitdelta",
    name: "BitDelta",
    family: Family::Compression,
    formula: "θₖ = θ₀ + λ mean|τₖ| sign(τₖ) for each matrix",
    summary: "Compresses each fine-tune by itself to one bit a weight: the sign of its change, and one size for each \
              matrix. The paper then distils these sizes on data; here they are the start, the mean size of the change, \
              which is most of it.",
    reference: "arXiv:2402.10193",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scaling, rest, tensors } = METHOD.typed(Params::from_set(set))?;
    let patterns = Patterns::new(&tensors);
    let chosen = |info: &TensorInfo| {
        let named = if patterns.is_empty() { is_linear_weight(info) } else { patterns.matches(&info.name) };
        named && info.dtype.is_float() && !info.is_empty()
    };
    let rows = rows(pool)?;
    let all: Vec<usize> = (0..pool.experts().len()).collect();
    let length = |at: usize| if chosen(rows[at].info) { rows[at].info.len() } else { 0 };
    let filling: Vec<Vec<Filling>> =
        all.iter().map(|_| (0..rows.len()).map(|at| Filling::new(length(at))).collect()).collect();
    let lengths = (0..rows.len()).map(|at| (at, length(at))).filter(|(_, length)| *length > 0);
    let partial = map_chunks(lengths, cx.cancel, |piece, Scratch { decode, .. }| {
        let mut words = Vec::new();
        rows[piece.tensor].read(&all, &piece.range, decode, |base, experts| {
            let one = |(expert, bits): (&&[f32], &Vec<Filling>)| {
                signs(expert, base, &mut words);
                bits[piece.tensor].put(piece.range.start, &words);
                size(expert, base)
            };
            experts.iter().zip(&filling).map(one).collect::<Vec<f64>>()
        })
    })?;
    let mut sums = vec![vec![0.0f64; rows.len()]; all.len()];
    for (piece, sizes) in partial {
        for (sums, size) in sums.iter_mut().zip(sizes) {
            sums[piece.tensor] += size;
        }
    }
    let mut own = Vec::with_capacity(all.len());
    for (bits, sums) in filling.into_iter().zip(&sums) {
        let mut tensors = Vec::with_capacity(rows.len());
        for ((bits, sum), row) in bits.into_iter().zip(sums).zip(&rows) {
            if !chosen(row.info) {
                tensors.push(if rest == "expert" { Own::Whole } else { Own::Base });
                continue;
            }
            // Signs would hide it.
            if !sum.is_finite() && !cx.lenient {
                return Err(FusionError::NotFinite { tensor: row.info.name.clone() });
            }
            let mean = sum / row.info.len() as f64;
            tensors.push(Own::Signs { signs: bits.finish(), scale: (f64::from(scaling) * mean) as f32 });
        }
        own.push(tensors);
    }
    (cx.progress)(rows.len(), rows.len());
    Ok(Fused::PerTask(PerTask::new(None, own)))
}

/// Σ|τ|, in a fixed number of sums side by side so that it is the same on every machine.
fn size(expert: &[f32], base: &[f32]) -> f64 {
    let mut sums = [0.0f64; 8];
    let ((expert, x), (base, y)) = (expert.as_chunks::<8>(), base.as_chunks::<8>());
    for (expert, base) in expert.iter().zip(base) {
        for at in 0..8 {
            sums[at] += f64::from((expert[at] - base[at]).abs());
        }
    }
    sums.iter().sum::<f64>() + x.iter().zip(y).map(|(expert, base)| f64::from((expert - base).abs())).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{ELEMENTS, models, pool};
    use crate::params::Value::Text;

    #[test]
    fn a_matrix_is_signs_times_its_mean_change() {
        let mut expert = vec![0.5; ELEMENTS];
        expert[..12].copy_from_slice(&[1.0, -2.0, 3.0, 0.0, 1.0, 1.0, -1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
        let pool = pool(Some(&[0.0; ELEMENTS]), std::slice::from_ref(&expert));
        let made = &models("bitdelta", &[], &pool)[0];
        // Σ|τ| = 12 over 12 weights; what did not change counts as plus.
        let signs = [1.0, -1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        assert_eq!(made[..12], signs);
        assert_eq!(made[12..], expert[12..]);
        let based = &models("bitdelta", &[("rest", Text("base".into()))], &pool)[0];
        assert!(based[12..].iter().all(|x| *x == 0.0) && based[..12] == signs);
        // A convolution is compressed where it is named.
        let named = &models("bitdelta", &[("tensors", Text("*conv*".into()))], &pool)[0];
        assert_eq!(named, &expert);
    }
}
