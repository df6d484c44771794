//! Task singular vectors (Gargiulo et al. 2025): each task keeps its strongest directions, made orthogonal to the others'.

use crate::fusion::kernels::names::Patterns;
use crate::fusion::kernels::spectral::{Dense, Svd, compose, leading, polar};
use crate::fusion::kernels::tensors::{Task, each_tensor};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, PerModel, choice, flag, per_model, text};
use crate::weights::StateDict;
use faer::Mat;

crate::params! {
    /// Coefficient of the merged task vector, or one for each expert's part of it.
    scaling: PerModel = per_model(1.0, -1.0, 3.0, 0.05).unbounded().symbol("α");
    /// How many singular vectors of a matrix each task keeps: all tasks together its full rank, or each of them.
    rank: String = choice("shared", &["shared", "full"]).advanced();
    /// Make the singular vectors of all tasks orthogonal to one another; without, they are only cut off and summed.
    orthogonal: bool = flag(true).advanced();
    /// Tensors that are averaged instead, by name; `*` stands for anything.
    exclude: String = text("").advanced();
}

pub static METHOD: Method = Method {
    id: "tsv_m",
    name: "TSV-M",
    family: Family::Merging,
    formula: "θ = θ₀ + α·U⊥ΣV⊥ᵀ, U = [U₁ … U_T], the leading r/T singular vectors of each τᵢ, ⊥: polar factor",
    summary: "Of each weight matrix, every task keeps its strongest singular vectors, a T-th of the rank; all tasks' are \
              then made orthogonal, so that they do not disturb one another. One of the best without data. What is not a \
              matrix is averaged.",
    reference: "arXiv:2412.00081",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let plan = Plan::new(set, pool)?;
    each_tensor(METHOD.name, pool, cx, |task, out| {
        let delta = match plan.parts(task)? {
            Some(parts) => parts.sum(&plan.scaling),
            None => plan.mean(task)?,
        };
        task.write(1.0, &delta, out);
        Ok(())
    })
    .map(Fused::Weights)
}

/// The base with only one expert's part of the merged task vector: what is left of a task where the task is known.
///
/// # Errors
/// As the method itself; an expert that is not in the pool.
pub fn single(set: &ParamSet, pool: &Pool, expert: usize, cx: &mut Context<'_>) -> Result<StateDict, FusionError> {
    METHOD.check(pool.base().is_some(), pool.experts().len())?;
    let plan = Plan::new(set, pool)?;
    if expert >= pool.experts().len() {
        let reason = format!("there is no expert {expert} in a pool of {}", pool.experts().len());
        return Err(FusionError::Unusable { method: METHOD.name, reason });
    }
    each_tensor(METHOD.name, pool, cx, |task, out| {
        let delta = match plan.parts(task)? {
            Some(parts) => parts.of(expert, &plan.scaling),
            None => plan.mean(task)?,
        };
        task.write(1.0, &delta, out);
        Ok(())
    })
}

struct Plan {
    /// One an expert: it comes to the same whether task vectors are scaled before or after.
    scaling: Vec<f64>,
    shared: bool,
    orthogonal: bool,
    exclude: Patterns,
}

/// The experts' singular vectors side by side, the same number of columns each.
struct Parts {
    u: Mat<f64>,
    s: Vec<f64>,
    v: Mat<f64>,
    /// Columns of one expert.
    width: usize,
}

impl Plan {
    fn new(set: &ParamSet, pool: &Pool) -> Result<Self, FusionError> {
        let Params { scaling, rank, orthogonal, exclude } = METHOD.typed(Params::from_set(set))?;
        let scaling = METHOD.typed(scaling.resolve("scaling", pool.experts().len()))?;
        let scaling = scaling.into_iter().map(f64::from).collect();
        Ok(Self { scaling, shared: rank == "shared", orthogonal, exclude: Patterns::new(&exclude) })
    }

    fn mean(&self, task: &Task<'_>) -> Result<Dense, FusionError> {
        let experts = task.experts() as f64;
        task.sum(|expert| self.scaling[expert] / experts)
    }

    /// The singular vectors that the tasks keep; nothing for what is averaged.
    fn parts(&self, task: &Task<'_>) -> Result<Option<Parts>, FusionError> {
        if !task.is_matrix() || self.exclude.matches(task.name()) {
            return Ok(None);
        }
        let experts = task.experts();
        let like = Dense::like(task.row.info);
        let width = if self.shared { like.rank() / experts } else { like.rank() };
        let mut parts = Parts {
            u: Mat::zeros(like.rows, width * experts),
            s: vec![0.0; width * experts],
            v: Mat::zeros(like.columns, width * experts),
            width,
        };
        for expert in 0..experts {
            let delta = task.delta(expert)?;
            // An expert that does not count must not take directions from the others.
            if width > 0 && self.scaling[expert] != 0.0 {
                parts.put(expert, &task.solved(leading(delta.view(), width))?);
            }
        }
        if self.orthogonal {
            for side in [&mut parts.u, &mut parts.v] {
                let factor = task.solved(polar(side.as_ref()))?.factor;
                side.copy_from(factor.view());
            }
        }
        Ok(Some(parts))
    }
}

impl Parts {
    fn put(&mut self, expert: usize, svd: &Svd) {
        let first = expert * self.width;
        self.u.as_mut().subcols_mut(first, self.width).copy_from(&svd.u);
        self.v.as_mut().subcols_mut(first, self.width).copy_from(&svd.v);
        self.s[first..first + self.width].copy_from_slice(&svd.s);
    }

    fn sum(&self, scaling: &[f64]) -> Dense {
        compose(self.u.as_ref(), |j| self.s[j] * scaling[j / self.width], self.v.as_ref())
    }

    fn of(&self, expert: usize, scaling: &[f64]) -> Dense {
        let first = expert * self.width;
        let columns = |side: &Mat<f64>| side.subcols(first, self.width).to_owned();
        let (u, v) = (columns(&self.u), columns(&self.v));
        compose(u.as_ref(), |j| self.s[first + j] * scaling[expert], v.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{assert_close, fused, pool};
    use crate::params::Value::{Float, List, Text};

    fn model(seed: f32) -> Vec<f32> {
        (0..crate::fusion::testing::ELEMENTS).map(|at| (at as f32 * seed + seed).sin()).collect()
    }

    #[test]
    fn one_expert_is_left_as_it_is() {
        let pool = pool(Some(&model(0.3)), &[model(0.7)]);
        assert_close(&fused("tsv_m", &[], &pool), &model(0.7), 1e-5);
    }

    #[test]
    fn the_same_expert_twice_counts_once() {
        // Directions that two tasks share are halved between them, and add up again.
        let twice = pool(Some(&model(0.3)), &[model(0.7), model(0.7)]);
        let full = fused("tsv_m", &[("rank", Text("full".into()))], &twice);
        assert_close(&full, &model(0.7), 1e-5);
    }

    #[test]
    fn an_expert_without_weight_takes_no_directions() {
        let (a, b) = (model(0.7), model(1.9));
        let both = pool(Some(&model(0.3)), &[a.clone(), b]);
        let one = fused("tsv_m", &[("scaling", List(vec![1.0, 0.0])), ("rank", Text("full".into()))], &both);
        // The matrix stands first, with twelve elements; vectors are averaged over two experts.
        assert_close(&one[..12], &a[..12], 1e-5);
        let whole = fused("tsv_m", &[("scaling", Float(1.0))], &both);
        let list = fused("tsv_m", &[("scaling", List(vec![1.0, 1.0]))], &both);
        assert_eq!(whole, list);
    }
}
