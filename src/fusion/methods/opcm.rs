//! Orthogonal projection-based continual merging (Tang et al. 2025): experts one after another, each cleaned of what
//! earlier ones already use.

use crate::fusion::kernels::chunks::for_chunks;
use crate::fusion::kernels::dare::is_linear_weight;
use crate::fusion::kernels::order::order;
use crate::fusion::kernels::rows::rows;
use crate::fusion::kernels::spectral::{Dense, svd};
use crate::fusion::kernels::tensors::{Task, each_tensor};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, flag, float, seed};
use std::collections::HashMap;
use std::sync::Mutex;

crate::params! {
    /// Share of the merged task vector's singular values whose directions are closed to the next expert.
    alpha: f64 = float(0.5, 0.0, 1.0, 0.05).symbol("α");
    /// Take the experts in a random order instead of the pool's.
    shuffle: bool = flag(false);
    /// Seed of the order.
    seed: u64 = seed(0);
}

pub static METHOD: Method = Method {
    id: "opcm",
    name: "OPCM",
    family: Family::Merging,
    formula: "θ⁽ᵗ⁾ = θ₀ + (λₜ₋₁ Δ⁽ᵗ⁻¹⁾ + P(τₜ)) / λₜ, ‖Δ⁽ᵗ⁾‖ = mean ‖τ₁ … τₜ‖",
    summary: "For experts that come one after another: of each linear layer's task vector, what lies along the strongest \
              directions of all before it is removed; the sum is kept as long as a task vector usually is. The order \
              matters: average over several.",
    reference: "arXiv:2501.09522",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

/// ‖sum‖² and every ‖τᵢ‖² of one tensor.
type Squares = (f64, Vec<f64>);

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { alpha, shuffle, seed } = METHOD.typed(Params::from_set(set))?;
    let order = order(pool.experts().len(), shuffle.then_some(seed));
    let squares: Mutex<HashMap<String, Squares>> = Mutex::default();
    // λₜΔ⁽ᵗ⁾ = λₜ₋₁Δ⁽ᵗ⁻¹⁾ + P(τₜ), and P does not depend on the length of Δ: the sum needs no λ until the end, and each
    // tensor can be followed through all experts by itself.
    let mut fused = each_tensor(METHOD.name, pool, cx, |task, out| {
        let (sum, lengths) = summed(task, &order, alpha)?;
        out.iter_mut().zip(&sum.values).for_each(|(out, x)| *out = *x as f32);
        if let Ok(mut squares) = squares.lock() {
            squares.insert(task.name().to_owned(), (sum.norm().powi(2), lengths));
        }
        Ok(())
    })?;
    let squares = squares.into_inner().unwrap_or_default();
    let rows = rows(pool)?;
    let scale = scale(rows.iter().filter_map(|row| squares.get(&row.info.name)), pool.experts().len());
    for_chunks(
        fused.tensors_mut(),
        |_| true,
        cx,
        |piece, out, scratch| {
            rows[piece.tensor].read(&[], &piece.range, &mut scratch.decode, |base, _| {
                out.iter_mut().zip(base).for_each(|(x, base)| *x = (f64::from(*base) + scale * f64::from(*x)) as f32);
            });
            Ok(())
        },
    )?;
    Ok(Fused::Weights(fused))
}

/// Makes the whole model's sum as long as its task vectors are on average.
fn scale<'a>(squares: impl Iterator<Item = &'a Squares>, experts: usize) -> f64 {
    let mut total = (0.0, vec![0.0; experts]);
    for (sum, lengths) in squares {
        total.0 += sum;
        total.1.iter_mut().zip(lengths).for_each(|(total, length)| *total += length);
    }
    let mean = total.1.iter().map(|square| square.sqrt()).sum::<f64>() / experts as f64;
    if total.0 > 0.0 { mean / total.0.sqrt() } else { 0.0 }
}

/// λ_TΔ⁽ᵀ⁾ of one tensor. FusionBench leaves out parameters of modules that have submodules (CLIP's class embedding);
/// here they are merged as biases are.
fn summed(task: &Task<'_>, order: &[usize], alpha: f64) -> Result<(Dense, Vec<f64>), FusionError> {
    let linear = task.is_matrix() && is_linear_weight(task.row.info);
    let mut sum = Dense::like(task.row.info);
    let mut lengths = vec![0.0; order.len()];
    for (step, &expert) in order.iter().enumerate() {
        let mut delta = task.delta(expert)?;
        lengths[expert] = delta.norm().powi(2);
        if linear && step > 0 {
            clean(task, &sum, &mut delta, alpha)?;
        }
        sum.add(1.0, &delta);
    }
    Ok((sum, lengths))
}

/// Removes from `delta` its part within the leading directions of `merged`, and along each single other one.
fn clean(task: &Task<'_>, merged: &Dense, delta: &mut Dense, alpha: f64) -> Result<(), FusionError> {
    let svd = task.solved(svd(merged.view()))?;
    let total: f64 = svd.s.iter().sum();
    let mut sum = 0.0;
    // As many as have a sum of at most the share α. (The paper counts the one that crosses it too.)
    let leading = svd.s.iter().take_while(|s| {
        sum += **s;
        sum <= alpha * total
    });
    let leading = leading.count();
    let mut inner = Dense::product(Dense::product(svd.u.transpose(), delta.view()).view(), svd.v.as_ref());
    let width = inner.columns;
    for (at, x) in inner.values.iter_mut().enumerate() {
        let (i, j) = (at / width, at % width);
        if i != j && (i >= leading || j >= leading) {
            *x = 0.0;
        }
    }
    delta.add(-1.0, &Dense::product(Dense::product(svd.u.as_ref(), inner.view()).view(), svd.v.transpose()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{assert_close, fused, pool};
    use crate::params::Value::{Bool, Int};

    fn model(seed: f32) -> Vec<f32> {
        (0..crate::fusion::testing::ELEMENTS).map(|at| (at as f32 * seed + seed).sin()).collect()
    }

    fn distance(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn the_merged_task_vector_is_as_long_as_the_others_are_on_average() {
        let (base, experts) = (model(0.3), [model(0.7), model(1.9), model(2.3)]);
        let merged = fused("opcm", &[], &pool(Some(&base), &experts));
        let mean = experts.iter().map(|expert| distance(expert, &base)).sum::<f64>() / 3.0;
        assert!((distance(&merged, &base) - mean).abs() < 1e-5);
    }

    #[test]
    fn the_first_expert_alone_is_left_as_it_is_and_the_order_matters() {
        assert_close(&fused("opcm", &[], &pool(Some(&model(0.3)), &[model(0.7)])), &model(0.7), 1e-6);
        let three = pool(Some(&model(0.3)), &[model(0.7), model(1.9), model(2.3)]);
        let shuffled = |seed| fused("opcm", &[("shuffle", Bool(true)), ("seed", Int(seed))], &three);
        assert_eq!(shuffled(1), shuffled(1));
        assert!((0..20).any(|seed| shuffled(seed) != shuffled(1)));
    }
}
