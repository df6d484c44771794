//! Singular value calibration (2026): any merging method, and then the directions that it counts several times turned down.

use crate::fusion::kernels::inner::merged;
use crate::fusion::kernels::spectral::{Dense, svd};
use crate::fusion::kernels::tensors::{Task, each_tensor};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, Value, float, text};

crate::params! {
    /// Least share that a task is taken to have in a direction; the larger, the less small directions are raised.
    alpha: f64 = float(0.1, 0.01, 2.0, 0.05).above(0.0).symbol("α");
    /// Coefficient of the inner method, where it has one called so.
    scaling: f64 = float(0.3, -1.0, 3.0, 0.05).unbounded().symbol("λ");
    /// The inner method and any of its other parameters, as in `ties density=0.1 merge=mean`.
    inner: String = text("task_arithmetic");
}

pub static METHOD: Method = Method {
    id: "svc",
    name: "SVC",
    family: Family::Merging,
    formula: "Δ = U diag(γ∘σ) Vᵀ of any method's Δ, γᵣ = T / Σᵢ max(α, ⟨uᵣᵀΔ, uᵣᵀτᵢ⟩ / ‖uᵣᵀτᵢ‖²)",
    summary: "Runs another merging method, then looks at each singular direction of the merged matrices: where it says \
              more along a direction than the tasks do, it is turned down, where less, up. α = 0.1 suits task \
              arithmetic, averages and TIES; 1 suits TSV-M and WUDI (with λ = 1).",
    reference: "arXiv:2602.05536",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { alpha, scaling, inner } = METHOD.typed(Params::from_set(set))?;
    let merged = merged(&METHOD, &inner, ("scaling", Value::Float(scaling)), pool, cx)?;
    each_tensor(METHOD.name, pool, cx, |task, out| {
        let (_, values) = merged.require(task.name())?;
        if task.is_matrix() {
            task.write(1.0, &calibrated(task, values, alpha)?, out);
        } else {
            out.copy_from_slice(values);
        }
        Ok(())
    })
    .map(Fused::Weights)
}

/// The calibrated difference to the base.
fn calibrated(task: &Task<'_>, merged: &[f32], alpha: f64) -> Result<Dense, FusionError> {
    let mut delta = Dense::like(task.row.info);
    let base = task.base();
    let pairs = merged.iter().zip(&base);
    delta.values.iter_mut().zip(pairs).for_each(|(x, (a, b))| *x = f64::from(*a) - f64::from(*b));
    let svd = task.solved(svd(delta.view()))?;
    let mut shares = vec![0.0; svd.s.len()];
    for expert in 0..task.experts() {
        // uᵣᵀτᵢ, row by row; uᵣᵀΔ is σᵣvᵣᵀ.
        let response = Dense::product(svd.u.transpose(), task.delta(expert)?.view());
        for (r, share) in shares.iter_mut().enumerate() {
            let row = &response.values[r * response.columns..(r + 1) * response.columns];
            let along: f64 = row.iter().enumerate().map(|(j, x)| svd.s[r] * svd.v[(j, r)] * x).sum();
            let square: f64 = row.iter().map(|x| x * x).sum();
            *share += (along / square.max(1e-12)).max(alpha);
        }
    }
    let experts = task.experts() as f64;
    Ok(svd.compose(|r| svd.s[r] * experts / shares[r]))
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{assert_close, fuse, fused, pool};
    use crate::params::Value::{Float, Text};

    fn model(seed: f32) -> Vec<f32> {
        (0..crate::fusion::testing::ELEMENTS).map(|at| (at as f32 * seed + seed).sin()).collect()
    }

    #[test]
    fn what_is_counted_once_stays_and_what_is_counted_thrice_is_divided() {
        let (base, expert) = (model(0.3), model(0.7));
        let one = pool(Some(&base), std::slice::from_ref(&expert));
        assert_close(&fused("svc", &[("scaling", Float(1.0))], &one), &expert, 1e-5);
        let three = pool(Some(&base), &[expert.clone(), expert.clone(), expert.clone()]);
        assert_close(&fused("svc", &[("scaling", Float(1.0))], &three)[..12], &expert[..12], 1e-5);
    }

    #[test]
    fn any_method_can_be_inside() {
        let pool = pool(Some(&model(0.3)), &[model(0.7), model(1.9)]);
        for inner in ["ties density=0.5 merge=mean", "simple_average", "tsv_m", "model_stock"] {
            let inside = fuse("svc", &[("inner", Text(inner.into()))], &pool).unwrap();
            assert_ne!(inside, fuse("svc", &[], &pool).unwrap(), "{inner}");
        }
        let error = |inner: &str| fuse("svc", &[("inner", Text(inner.into()))], &pool).unwrap_err().to_string();
        assert!(error("tais").ends_with("`inner`: unknown method `tais`, did you mean `ties`?"));
        assert_eq!(error("ties densty=1"), "TIES: unknown parameter `densty`, did you mean `density`?");
        assert!(
            error("ties 0.3").contains("name=value")
                && error("svc").contains("itself")
                && error(" ").contains("no method")
        );
        assert!(error("simple_ensemble").contains("does not merge weights"));
    }
}
