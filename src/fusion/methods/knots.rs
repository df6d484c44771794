//! KnOTS (Stoica et al. 2025): task vectors aligned by one SVD of all side by side, and TIES in that space.

use crate::fusion::kernels::spectral::{Dense, leading, scaled};
use crate::fusion::kernels::tensors::{Task, each_tensor};
use crate::fusion::kernels::ties::merge_rule;
use crate::fusion::kernels::vote::vote;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, choice, float};
use faer::Mat;

crate::params! {
    /// Coefficient of the merged task vector.
    scaling: f64 = float(0.6, -1.0, 3.0, 0.05).unbounded().symbol("λ");
    /// Share of the largest entries that each expert keeps in each tensor.
    density: f64 = float(0.3, 0.001, 1.0, 0.05).above(0.0).up_to(1.0).symbol("k");
    /// How the kept entries are combined.
    merge: String = choice("mean", &["mean", "sum", "max"]);
    /// Singular values up to this are noise: what tasks change along them is dropped.
    floor: f64 = float(1e-4, 0.0, 1.0, 1e-5).at_least(0.0).advanced();
}

pub static METHOD: Method = Method {
    id: "knots",
    name: "KnOTS-TIES",
    family: Family::Merging,
    formula: "θ = θ₀ + λ U S·TIES(V₁ … V_T), [τ₁ … τ_T] = U S [V₁ … V_T]",
    summary: "Writes the task vectors of each matrix in common output directions before TIES trims and votes, so that \
              entries of different experts speak of the same thing. Made for LoRA experts, whose task vectors hardly \
              share entries. What is not a matrix goes through TIES as it is.",
    reference: "arXiv:2410.19735",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scaling, density, merge, floor } = METHOD.typed(Params::from_set(set))?;
    let rule = merge_rule(&merge);
    each_tensor(METHOD.name, pool, cx, |task, out| {
        let deltas = task.deltas()?;
        let merged = if task.is_matrix() {
            let aligned = aligned(task, &deltas, floor)?;
            let merged = vote(&aligned.v, density, rule);
            Dense::product(scaled(aligned.u.as_ref(), |j| aligned.s[j]).as_ref(), merged.view())
        } else {
            vote(&deltas, density, rule)
        };
        task.write(scaling, &merged, out);
        Ok(())
    })
    .map(Fused::Weights)
}

/// Task vectors in common directions: τᵢ = U diag(s) Vᵢ.
pub struct Aligned {
    /// `[rows, k]`
    u: Mat<f64>,
    /// Singular values of all task vectors side by side, falling, without those that are noise.
    pub s: Vec<f64>,
    /// `[k, columns]` of each expert.
    v: Vec<Dense>,
}

impl Aligned {
    /// U diag(s) Vᵢ, row by row.
    #[must_use]
    pub fn task_vector(&self, expert: usize) -> Vec<f64> {
        Dense::product(scaled(self.u.as_ref(), |j| self.s[j]).as_ref(), self.v[expert].view()).values
    }

    /// The squared length of every row of Vᵢ: how much each direction is the expert's.
    #[must_use]
    pub fn shares(&self, expert: usize) -> Vec<f64> {
        let v = &self.v[expert];
        v.values.chunks(v.columns.max(1)).map(|row| row.iter().map(|x| x * x).sum()).collect()
    }
}

/// The experts' aligned task vectors of one matrix.
///
/// # Errors
/// A tensor that the pool does not have or that is not a matrix; numbers that are not finite; cancellation.
pub fn align(pool: &Pool, tensor: &str, floor: f64, cx: &mut Context<'_>) -> Result<Aligned, FusionError> {
    let rows = crate::fusion::kernels::rows::rows(pool)?;
    let row = rows.iter().find(|row| row.info.name == tensor && row.info.shape.len() == 2);
    let reason = format!("`{tensor}` is not a matrix of the pool");
    let row = row.ok_or(FusionError::Unusable { method: METHOD.name, reason })?;
    let task = Task::new(row, METHOD.name, cx.cancel);
    aligned(&task, &task.deltas()?, floor)
}

fn aligned(task: &Task<'_>, deltas: &[Dense], floor: f64) -> Result<Aligned, FusionError> {
    let (rows, columns) = deltas.first().map_or((0, 0), |delta| (delta.rows, delta.columns));
    let mut all = Mat::<f64>::zeros(rows, columns * deltas.len());
    for (expert, delta) in deltas.iter().enumerate() {
        all.as_mut().subcols_mut(expert * columns, columns).copy_from(delta.view());
    }
    let svd = task.solved(leading(all.as_ref(), rows.min(all.ncols())))?;
    let kept = svd.s.iter().take_while(|s| **s > floor).count();
    let part = |expert: usize| {
        let mut v = Dense::zeros(kept, columns);
        v.view_mut().copy_from(svd.v.submatrix(expert * columns, 0, columns, kept).transpose());
        v
    };
    let v = (0..deltas.len()).map(part).collect();
    Ok(Aligned { u: svd.u.subcols(0, kept).to_owned(), s: svd.s[..kept].to_vec(), v })
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{assert_close, fused, pool};
    use crate::params::Value::{Float, Text};

    fn model(seed: f32) -> Vec<f32> {
        (0..crate::fusion::testing::ELEMENTS).map(|at| (at as f32 * seed + seed).sin()).collect()
    }

    #[test]
    fn one_untrimmed_expert_is_left_as_it_is() {
        let one = pool(Some(&model(0.3)), &[model(0.7)]);
        let given = [("scaling", Float(1.0)), ("density", Float(1.0)), ("floor", Float(0.0))];
        assert_close(&fused("knots", &given, &one), &model(0.7), 1e-5);
        let twice = pool(Some(&model(0.3)), &[model(0.7), model(0.7)]);
        let sum = [given.to_vec(), vec![("merge", Text("sum".into()))]].concat();
        let expected: Vec<f32> = model(0.7).iter().zip(model(0.3)).map(|(a, b)| b + 2.0 * (a - b)).collect();
        assert_close(&fused("knots", &sum, &twice), &expected, 1e-5);
        assert_close(&fused("knots", &given, &twice), &model(0.7), 1e-5);
    }
}
