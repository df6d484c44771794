//! DOGE task arithmetic (Wei et al. 2025): one shared correction of all task vectors, found by projected gradient descent.

use crate::fusion::kernels::adam::Adam;
use crate::fusion::kernels::dare::is_linear_weight;
use crate::fusion::kernels::largest::largest;
use crate::fusion::kernels::names::Patterns;
use crate::fusion::kernels::spectral::{Dense, leading};
use crate::fusion::kernels::tensors::{Task, each_tensor};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float, int, text};
use crate::weights::TensorInfo;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

crate::params! {
    /// Length that every task vector is given in every matrix.
    scaling: f64 = float(0.07, 0.0, 1.0, 0.01).unbounded().symbol("λ").costly();
    /// Share of the largest changes that each expert keeps.
    density: f64 = float(0.3, 0.001, 1.0, 0.05).above(0.0).up_to(1.0).symbol("K").costly();
    /// The shared directions that the correction must not touch are the rank divided by this.
    subspace: usize = int(6, 1, 64, 1).at_least(1.0).costly();
    /// Steps of Adam for each matrix.
    steps: usize = int(400, 0, 2000, 50).at_least(0.0).up_to(1e6).costly();
    /// Learning rate of Adam.
    rate: f64 = float(1e-4, 1e-7, 1e-1, 1e-5).above(0.0).logarithmic().costly().advanced();
    /// Which matrices, by name (`*` stands for anything); if empty, the weights of all linear layers.
    tensors: String = text("").advanced();
}

pub static METHOD: Method = Method {
    id: "doge_ta",
    name: "DOGE-TA",
    family: Family::Merging,
    formula: "θ = θ₀ + Σ λᵢ mᵢ∘(τᵢ + Δ), λᵢ = λ/‖τᵢ‖, Δ ⊥ shared subspace, mᵢ: the largest of τᵢ",
    summary: "Task arithmetic on linear layers with equally long task vectors, trimmed as in TIES, and a common \
              correction Δ that narrows the gap between the merged model and each expert without touching directions that \
              tasks share. Everything else stays as the base has it.",
    reference: "arXiv:2501.01230",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let patterns = Patterns::new(&params.tensors);
    let chosen = |info: &TensorInfo| {
        let named = if patterns.is_empty() { is_linear_weight(info) } else { patterns.matches(&info.name) };
        named && info.dtype.is_float() && info.shape.len() == 2 && !info.is_empty()
    };
    let thresholds = largest(pool, chosen, params.density, cx)?;
    if thresholds.is_empty() && !patterns.is_empty() {
        let reason = format!("no matrix of the pool has a name like `tensors` = \"{}\"", params.tensors);
        return Err(FusionError::Unusable { method: METHOD.name, reason });
    }
    each_tensor(METHOD.name, pool, cx, |task, out| {
        let deltas = task.deltas()?;
        let merged = if chosen(task.row.info) {
            merged(task, &params, &deltas, &thresholds)?
        } else {
            Dense::like(task.row.info)
        };
        task.write(1.0, &merged, out);
        Ok(())
    })
    .map(Fused::Weights)
}

fn merged(task: &Task<'_>, params: &Params, deltas: &[Dense], thresholds: &[f32]) -> Result<Dense, FusionError> {
    let lambda = |delta: &Dense| match delta.norm() {
        // An expert that did not move this matrix; the reference divides by zero.
        0.0 => 0.0,
        norm => params.scaling / norm,
    };
    let lambdas: Vec<f64> = deltas.iter().map(lambda).collect();
    let correction = correction(task, params, deltas, &lambdas)?;
    let mut merged = Dense::zeros(correction.rows, correction.columns);
    for ((delta, lambda), threshold) in deltas.iter().zip(&lambdas).zip(thresholds) {
        let both = delta.values.iter().zip(&correction.values);
        for (sum, (x, d)) in merged.values.iter_mut().zip(both) {
            // In f32, as the threshold was found.
            if (*x as f32).abs() >= *threshold {
                *sum += lambda * (x + d);
            }
        }
    }
    Ok(merged)
}

/// Δ: descends Σⱼ Σ_rows ⟨vⱼ, vⱼ − Σ λᵢ(vᵢ + Δ)⟩², row by row, outside of the shared subspace.
fn correction(task: &Task<'_>, params: &Params, deltas: &[Dense], lambdas: &[f64]) -> Result<Dense, FusionError> {
    let shared = shared(task, deltas, params.subspace)?;
    let mut sum = Dense::like(task.row.info);
    deltas.iter().zip(lambdas).for_each(|(delta, lambda)| sum.add(*lambda, delta));
    let (total, columns): (f64, usize) = (lambdas.iter().sum(), sum.columns);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // ⟨vⱼ, vⱼ − Σ λᵢvᵢ⟩ of each row
    let gaps = |delta: &Dense| -> Vec<f64> {
        let rows = delta.values.chunks(columns).zip(sum.values.chunks(columns));
        rows.map(|(v, s)| dot(v, v) - dot(v, s)).collect()
    };
    let gaps: Vec<Vec<f64>> = deltas.iter().map(gaps).collect();
    let mut found = Dense::zeros(sum.rows, columns);
    let (mut gradient, mut adam) = (found.clone(), Adam::new(params.rate, found.values.len()));
    for _ in 0..params.steps {
        task.cancel.check()?;
        gradient.values.fill(0.0);
        for (delta, gaps) in deltas.iter().zip(&gaps) {
            let rows = delta.values.chunks(columns).zip(found.values.chunks(columns)).zip(gaps);
            for (g, ((v, d), gap)) in gradient.values.chunks_mut(columns).zip(rows) {
                let factor = -2.0 * total * (gap - total * dot(v, d));
                g.iter_mut().zip(v).for_each(|(g, v)| *g += factor * v);
            }
        }
        let inside = Dense::product(shared.transpose(), gradient.view());
        matmul(gradient.view_mut(), Accum::Add, shared.as_ref(), inside.view(), -1.0, Par::Seq);
        // Adam's steps are not the gradient's multiples, so Δ does not stay outside exactly; the reference is the same.
        adam.step(&mut found.values, &gradient.values);
    }
    Ok(found)
}

/// An orthonormal basis of the directions that tasks share: the leading ones among each task's leading ones.
fn shared(task: &Task<'_>, deltas: &[Dense], subspace: usize) -> Result<Mat<f64>, FusionError> {
    let rows = deltas.first().map_or(0, |delta| delta.rows);
    let rank = deltas.first().map_or(0, Dense::rank);
    let width = rank / deltas.len().max(1);
    let mut all = Mat::<f64>::zeros(rows, width * deltas.len());
    for (expert, delta) in deltas.iter().enumerate() {
        let best = task.solved(leading(delta.view(), width))?;
        all.as_mut().subcols_mut(expert * width, width).copy_from(&best.u);
    }
    let count = (rank / subspace.max(1)).min(all.ncols());
    Ok(task.solved(leading(all.as_ref(), count))?.u)
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{assert_close, fuse, fused, pool};
    use crate::params::Value::{Float, Int, Text};

    fn model(seed: f32) -> Vec<f32> {
        (0..crate::fusion::testing::ELEMENTS).map(|at| (at as f32 * seed + seed).sin()).collect()
    }

    #[test]
    fn without_correction_or_trimming_every_task_vector_has_length_lambda() {
        let (base, expert) = (model(0.3), model(0.7));
        let one = pool(Some(&base), std::slice::from_ref(&expert));
        let plain = [("steps", Int(0)), ("density", Float(1.0)), ("scaling", Float(0.5))];
        let merged = fused("doge_ta", &plain, &one);
        let length = |x: &[f32]| x.iter().zip(&base).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        assert!((length(&merged[..12]) - 0.5).abs() < 1e-6);
        assert_close(&merged[12..], &base[12..], 0.0);
    }

    #[test]
    fn a_still_expert_does_no_harm_and_names_that_fit_nothing_are_an_error() {
        let still = pool(Some(&model(0.3)), &[model(0.3), model(0.7)]);
        assert!(fused("doge_ta", &[], &still).iter().all(|x| x.is_finite()));
        let error = fuse("doge_ta", &[("tensors", Text("*attention*".into()))], &still).unwrap_err();
        assert!(error.to_string().contains("`tensors`"), "{error}");
    }
}
