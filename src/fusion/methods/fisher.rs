//! Fisher merging (Matena and Raffel 2022): a mean in which every weight counts as much as its expert's answers depend on it.

use crate::fusion::kernels::chunks::for_chunks;
use crate::fusion::kernels::names::Patterns;
use crate::fusion::kernels::rows::{Scratch, blank, rows};
use crate::fusion::options::draw;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool, Slopes};
use crate::params::{ParamSet, PerModel, choice, flag, float, per_model, text};
use crate::weights::StateDict;
use std::sync::Arc;

crate::params! {
    /// FusionBench's stand-in from whole batches, or the diagonal example by example: over all classes, or a drawn one.
    estimate: String = choice("batches", &["batches", "sampled", "exact"]).costly();
    /// Weigh experts so that all matrices are equally large.
    normalize: bool = flag(true);
    /// What each expert counts beside its matrix.
    weights: PerModel = per_model(1.0, 0.0, 10.0, 0.1).at_least(0.0).symbol("w").advanced();
    /// Added to every entry, so that weights which no answer depends on are averaged.
    floor: f64 = float(1e-6, 1e-12, 1.0, 1e-6).above(0.0).logarithmic().advanced();
    /// Tensors that stay as the base has them, by name; `*` stands for anything.
    exclude: String = text("").advanced();
    ..draw: draw::Params;
}

pub static METHOD: Method = Method {
    id: "fisher",
    name: "Fisher merging",
    family: Family::Merging,
    formula: "θ = Σ cᵢFᵢ∘θᵢ / Σ cᵢFᵢ, Fᵢ = E[(∂ log p(y|x) / ∂θᵢ)²]",
    summary: "Shows every expert a few hundred inputs of its task and measures how much its answers depend on each single \
              weight; the merged weight is nearest to the experts that need it most. No labels: answers are the model's own.",
    reference: "arXiv:2111.09832",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let exclude = Patterns::new(&params.exclude);
    if !exclude.is_empty() && pool.base().is_none() {
        return Err(FusionError::NeedsBase { method: METHOD.name });
    }
    let mut shares: Vec<f64> = METHOD.typed(params.weights.resolve_exact("weights", pool.experts().len()))?;
    let (data, draw) = (METHOD.data(cx)?, params.draw.draw());
    let what = match params.estimate.as_str() {
        "exact" => Slopes::ExactSquares,
        "sampled" => Slopes::SampledSquares,
        _ => Slopes::BatchSquares,
    };
    let counts = pool.experts().iter().map(|(task, _)| data.count(task, draw));
    let total = counts.sum::<Result<usize, FusionError>>()?;
    cx.phase("look at data", total, "examples");
    let fisher = pool.experts().iter().map(|(task, expert)| data.slopes(task, expert, what, draw, cx));
    let fisher = fisher.collect::<Result<Vec<_>, _>>()?;
    if params.normalize {
        shares.iter_mut().zip(&fisher).for_each(|(share, fisher)| *share /= norm(fisher, &exclude) + NORM_FLOOR);
        let sum: f64 = shares.iter().sum();
        // Only the shares' ratios count, but for the floor.
        for share in &mut shares {
            *share /= sum;
        }
    }
    cx.phase("fuse", pool.reference().map_or(0, |reference| reference.tensors().len()), "tensors");
    merge(pool, &fisher, &shares, params.floor, &exclude, cx).map(Fused::Weights)
}

/// FusionBench's, so that an expert with a zero matrix does not take all.
const NORM_FLOOR: f64 = 1e-6;

/// The Euclidean length of the diagonal, of all tensors that are merged.
fn norm(fisher: &StateDict, exclude: &Patterns) -> f64 {
    let merged = fisher.tensors().iter().filter(|tensor| !exclude.matches(&tensor.name));
    let values = merged.filter_map(|tensor| tensor.values()).flatten();
    values.map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

fn merge(
    pool: &Pool,
    fisher: &[Arc<StateDict>],
    shares: &[f64],
    floor: f64,
    exclude: &Patterns,
    cx: &mut Context<'_>,
) -> Result<StateDict, FusionError> {
    let rows = rows(pool)?;
    let all: Vec<usize> = (0..pool.experts().len()).collect();
    let of = |name: &str, length: usize| -> Vec<Option<&[f32]>> {
        fisher
            .iter()
            .map(|fisher| fisher.get(name).and_then(|tensor| tensor.values()).filter(|values| values.len() == length))
            .collect()
    };
    let matrices: Vec<Vec<Option<&[f32]>>> = rows.iter().map(|row| of(&row.info.name, row.info.len())).collect();
    let mut fused = blank(&rows);
    for_chunks(
        fused.tensors_mut(),
        |_| true,
        cx,
        |piece, out, Scratch { decode, .. }| {
            let (row, matrices) = (&rows[piece.tensor], &matrices[piece.tensor]);
            row.read(&all, &piece.range, decode, |base, experts| {
                if exclude.matches(&row.info.name) {
                    out.copy_from_slice(base);
                    return;
                }
                for (at, out) in out.iter_mut().enumerate() {
                    let (mut sum, mut total) = (0.0, 0.0);
                    for ((expert, matrix), share) in experts.iter().zip(matrices).zip(shares) {
                        let entry = matrix.map_or(0.0, |matrix| f64::from(matrix[piece.range.start + at]));
                        let weight = share * (entry + floor);
                        sum += weight * f64::from(expert[at]);
                        total += weight;
                    }
                    *out = (sum / total) as f32;
                }
            });
            Ok(())
        },
    )?;
    Ok(fused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::fusion::testing::{ELEMENTS, assert_close, flat, fused, model, pool};
    use crate::params::Value::Bool;

    #[test]
    fn equal_matrices_average_one_expert_stays_and_certainty_wins() {
        let values = |seed: f32| (0..ELEMENTS).map(|at| (at as f32 * seed).sin()).collect::<Vec<_>>();
        let (a, b) = (values(0.7), values(1.9));
        let pair = pool(Some(&[0.0; ELEMENTS]), &[a.clone(), b.clone()]);
        let mean: Vec<f32> = a.iter().zip(&b).map(|(a, b)| f32::midpoint(*a, *b)).collect();
        let (cancel, mut silent) = (Cancel::default(), |_, _| {});
        let mut merged = |matrices: [&[f32]; 2], shares: &[f64]| {
            let fisher = matrices.map(|matrix| Arc::new(StateDict::load(&model(matrix))));
            let mut cx = Context::new(&cancel, &mut silent);
            flat(&merge(&pair, &fisher, shares, 1e-6, &Patterns::default(), &mut cx).unwrap())
        };
        let (some, none, large) = ([2.0; ELEMENTS], [0.0; ELEMENTS], [1e6; ELEMENTS]);
        assert_close(&merged([&some, &some], &[0.5, 0.5]), &mean, 1e-6);
        assert_close(&merged([&none, &none], &[0.5, 0.5]), &mean, 1e-6);
        assert_close(&merged([&large, &none], &[0.5, 0.5]), &a, 1e-6);
        assert_close(&merged([&none, &large], &[0.5, 0.5]), &b, 1e-6);
        let one = pool(Some(&[0.0; ELEMENTS]), std::slice::from_ref(&a));
        for normalize in [true, false] {
            assert_close(&fused("fisher", &[("normalize", Bool(normalize))], &one), &a, 1e-6);
        }
    }
}
