//! Isotropic merging in the common subspace (Marczak et al. 2025): all directions of the summed task vector alike.

use crate::fusion::kernels::names::Patterns;
use crate::fusion::kernels::spectral::polar;
use crate::fusion::kernels::tensors::each_tensor;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float, text};

crate::params! {
    /// Coefficient of the merged task vector; the published results use 1.5.
    scaling: f64 = float(1.0, -1.0, 3.0, 0.05).unbounded().symbol("α");
    /// Tensors that are averaged instead, by name; `*` stands for anything.
    exclude: String = text("").advanced();
}

pub static METHOD: Method = Method {
    id: "iso_c",
    name: "Iso-C",
    family: Family::Merging,
    formula: "θ = θ₀ + α·σ̄·UVᵀ, UΣVᵀ = Σ τᵢ, σ̄ = mean σ",
    summary: "Sums the task vectors of each weight matrix and makes all its singular values equal, so that no direction \
              that many tasks share drowns those of single tasks. What is not a matrix is averaged.",
    reference: "arXiv:2502.04959",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scaling, exclude } = METHOD.typed(Params::from_set(set))?;
    let exclude = Patterns::new(&exclude);
    each_tensor(METHOD.name, pool, cx, |task, out| {
        if !task.is_matrix() || exclude.matches(task.name()) {
            task.write(scaling, &task.mean()?, out);
            return Ok(());
        }
        let sum = task.sum(|_| 1.0)?;
        // Only the polar factor is needed. Where the sum has no direction, as with low-rank experts, the reference adds
        // arbitrary ones; here such directions stay as the base has them.
        let polar = task.solved(polar(sum.view()))?;
        task.write(scaling * polar.nuclear / sum.rank() as f64, &polar.factor, out);
        Ok(())
    })
    .map(Fused::Weights)
}

#[cfg(test)]
mod tests {
    use crate::fusion::Pool;
    use crate::fusion::kernels::spectral::{Dense, svd};
    use crate::fusion::testing::{checkpoint, fuse, tensor};
    use crate::params::Value::Text;
    use crate::weights::DType;

    fn pool() -> Pool {
        let model = |seed: f32| {
            let values: Vec<f32> = (0..12).map(|at| (at as f32 * seed + seed * seed).sin()).collect();
            checkpoint(vec![tensor("fc.weight", &[4, 3], DType::F32, values)])
        };
        let zero = checkpoint(vec![tensor("fc.weight", &[4, 3], DType::F32, vec![0.0; 12])]);
        Pool::new(Some(zero), vec![("a".into(), model(1.3)), ("b".into(), model(2.7))]).unwrap()
    }

    #[test]
    fn all_singular_values_become_their_mean() {
        let dense = |values: Vec<f64>| Dense { rows: 4, columns: 3, values };
        let sum = |at: usize| pool().experts().iter().map(|(_, e)| e.get("fc.weight").unwrap().to_f64_vec()[at]).sum();
        let before = svd(dense((0..12).map(sum).collect()).view()).unwrap().s;
        let mean = before.iter().sum::<f64>() / 3.0;
        let fused = fuse("iso_c", &[], &pool()).unwrap();
        let after = fused.tensors()[0].values().unwrap().iter().map(|&x| f64::from(x)).collect();
        for s in svd(dense(after).view()).unwrap().s {
            assert!((s - mean).abs() < 1e-6, "{s} and {mean}");
        }
    }

    #[test]
    fn what_is_excluded_is_averaged() {
        let fused = fuse("iso_c", &[("exclude", Text("fc.*".into()))], &pool()).unwrap();
        assert_eq!(fused, fuse("simple_average", &[], &pool()).unwrap());
    }
}
