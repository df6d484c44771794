//! WUDI merging (Cheng et al. 2025): the merged task vector that disturbs each task least where that task works.

use crate::fusion::kernels::adam::Adam;
use crate::fusion::kernels::names::Patterns;
use crate::fusion::kernels::spectral::{Dense, gram_of, scaled, svd};
use crate::fusion::kernels::tensors::{Task, each_tensor};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, choice, float, int, text};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

crate::params! {
    /// Adam from the summed task vectors, as the paper does, or the exact minimum in one step.
    solver: String = choice("gradient", &["gradient", "closed form"]).costly();
    /// Steps of Adam.
    steps: usize = int(400, 0, 2000, 50).at_least(0.0).up_to(1e6).costly();
    /// Learning rate of Adam.
    rate: f64 = float(1e-5, 1e-7, 1e-2, 1e-5).above(0.0).logarithmic().costly().advanced();
    /// Coefficient of the merged task vector.
    scaling: f64 = float(1.0, -1.0, 3.0, 0.05).unbounded().symbol("λ").advanced();
    /// Tensors that are averaged instead, by name; `*` stands for anything.
    exclude: String = text("").advanced();
}

pub static METHOD: Method = Method {
    id: "wudi",
    name: "WUDI",
    family: Family::Merging,
    formula: "θ = θ₀ + M, M = argmin Σ ‖(M − τᵢ)τᵢᵀ‖² / ‖τᵢ‖²",
    summary: "A layer's input lies near the rows of its task vector, so what a merged task vector M changes along those \
              rows disturbs that task. M is moved, from the sum of all, to where it disturbs least. The best without \
              data on CLIP. What is not a matrix is averaged.",
    reference: "arXiv:2503.08099",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let exclude = Patterns::new(&params.exclude);
    each_tensor(METHOD.name, pool, cx, |task, out| {
        let merged = if !task.is_matrix() || exclude.matches(task.name()) {
            task.mean()?
        } else {
            let problem = Problem::of(task)?;
            match params.solver.as_str() {
                "gradient" => problem.descend(task, params.steps, params.rate)?,
                _ => problem.solve(task)?,
            }
        };
        task.write(params.scaling, &merged, out);
        Ok(())
    })
    .map(Fused::Weights)
}

/// Σ ‖(M − τᵢ)τᵢᵀ‖² / ‖τᵢ‖², to be minimised.
struct Problem {
    /// Where Adam starts: Σ τᵢ.
    sum: Dense,
    /// τᵢ / ‖τᵢ‖ and τᵢ of every expert that moved the matrix; one that did not does not mind what happens to it. (The
    /// reference divides by zero.)
    directions: Vec<(Dense, Dense)>,
}

/// How the gradient 2 Σ (M − τᵢ)Aᵢ, Aᵢ = τᵢᵀτᵢ / ‖τᵢ‖², is computed.
enum Gradient<'a> {
    /// 2(M S − Q) with S = Σ Aᵢ and Q = Σ τᵢAᵢ: one product, whatever the number of experts.
    Whole { s: Mat<f64>, q: Dense },
    /// Expert by expert, where S would be much larger than all task vectors.
    Single(&'a [(Dense, Dense)]),
}

impl Problem {
    fn of(task: &Task<'_>) -> Result<Self, FusionError> {
        let mut sum = Dense::like(task.row.info);
        let mut directions = Vec::new();
        for expert in 0..task.experts() {
            let delta = task.delta(expert)?;
            let norm = delta.norm();
            if norm > 0.0 {
                sum.add(1.0, &delta);
                let mut direction = delta.clone();
                direction.values.iter_mut().for_each(|x| *x /= norm);
                directions.push((direction, delta));
            }
        }
        Ok(Self { sum, directions })
    }

    fn descend(self, task: &Task<'_>, steps: usize, rate: f64) -> Result<Dense, FusionError> {
        let Self { sum: mut merged, directions } = self;
        let gradient = Gradient::of(&directions, &merged);
        let mut adam = Adam::new(rate, merged.values.len());
        let mut slope = Dense::zeros(merged.rows, merged.columns);
        for _ in 0..steps {
            task.cancel.check()?;
            gradient.at(&merged, &mut slope);
            adam.step(&mut merged.values, &slope.values);
        }
        Ok(merged)
    }

    /// M = (Σ τᵢAᵢ)(Σ Aᵢ)⁺, the minimum of least norm.
    fn solve(&self, task: &Task<'_>) -> Result<Dense, FusionError> {
        let Self { sum, directions } = self;
        let mut stacked = Dense::zeros(sum.rows * directions.len(), sum.columns);
        for (direction, part) in directions.iter().zip(stacked.values.chunks_mut(sum.values.len().max(1))) {
            part.copy_from_slice(&direction.0.values);
        }
        // Σ Aᵢ = V diag(s²) Vᵀ of all directions one below the other.
        let svd = task.solved(svd(stacked.view()))?;
        let mut turned = Dense::zeros(sum.rows, svd.s.len());
        for (direction, delta) in directions {
            let along = Dense::product(direction.view(), svd.v.as_ref());
            let inner = Dense::product(delta.view(), direction.view().transpose());
            matmul(turned.view_mut(), Accum::Add, inner.view(), along.view(), 1.0, Par::Seq);
        }
        let inverse = |j: usize| if svd.s[j] > 0.0 { 1.0 / svd.s[j].powi(2) } else { 0.0 };
        Ok(Dense::product(turned.view(), scaled(svd.v.as_ref(), inverse).transpose()))
    }
}

impl<'a> Gradient<'a> {
    fn of(directions: &'a [(Dense, Dense)], sum: &Dense) -> Self {
        let (rows, columns) = (sum.rows, sum.columns);
        if 2 * directions.len() * rows < columns {
            return Self::Single(directions);
        }
        let (mut s, mut q) = (Mat::<f64>::zeros(columns, columns), Dense::zeros(rows, columns));
        for (direction, delta) in directions {
            let a = gram_of(direction.view());
            s += &a;
            matmul(q.view_mut(), Accum::Add, delta.view(), a.as_ref(), 1.0, Par::Seq);
        }
        Self::Whole { s, q }
    }

    fn at(&self, merged: &Dense, slope: &mut Dense) {
        match self {
            Self::Whole { s, q } => {
                slope.values.iter_mut().zip(&q.values).for_each(|(g, q)| *g = -2.0 * q);
                matmul(slope.view_mut(), Accum::Add, merged.view(), s.as_ref(), 2.0, Par::Seq);
            }
            Self::Single(directions) => {
                slope.values.fill(0.0);
                for (direction, delta) in *directions {
                    let mut rest = merged.clone();
                    rest.add(-1.0, delta);
                    let inner = Dense::product(rest.view(), direction.view().transpose());
                    matmul(slope.view_mut(), Accum::Add, inner.view(), direction.view(), 2.0, Par::Seq);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{assert_close, fused, pool};
    use crate::params::Value::{Int, Text};

    fn model(seed: f32) -> Vec<f32> {
        (0..crate::fusion::testing::ELEMENTS).map(|at| (at as f32 * seed + seed).sin()).collect()
    }

    #[test]
    fn one_expert_disturbs_nobody() {
        let pool = pool(Some(&model(0.3)), &[model(0.7)]);
        for solver in ["gradient", "closed form"] {
            assert_close(&fused("wudi", &[("solver", Text(solver.into()))], &pool), &model(0.7), 2e-5);
        }
    }

    #[test]
    fn an_expert_that_did_not_move_does_not_count() {
        let still = pool(Some(&model(0.3)), &[model(0.7), model(0.3)]);
        let exact = fused("wudi", &[("solver", Text("closed form".into()))], &still);
        assert_close(&exact[..12], &model(0.7)[..12], 1e-5);
    }

    #[test]
    fn the_closed_form_is_where_the_gradient_leads() {
        let pool = pool(Some(&model(0.3)), &[model(0.7), model(1.9)]);
        let exact = fused("wudi", &[("solver", Text("closed form".into()))], &pool);
        let rate = ("rate", crate::params::Value::Float(1e-2));
        let near = fused("wudi", &[("steps", Int(2000)), rate], &pool);
        // Directions that hardly any expert uses are approached slowly.
        let loss = |merged: &[f32]| {
            let base = model(0.3);
            let of = |seed: f32| {
                let tau: Vec<f64> = (0..12).map(|at| f64::from(model(seed)[at] - base[at])).collect();
                let rest: Vec<f64> = (0..12).map(|at| f64::from(merged[at] - base[at]) - tau[at]).collect();
                let product = |i: usize, j: usize| (0..4).map(|k| rest[4 * i + k] * tau[4 * j + k]).sum::<f64>();
                let pairs = (0..3).flat_map(|i| (0..3).map(move |j| (i, j)));
                pairs.map(|(i, j)| product(i, j).powi(2)).sum::<f64>() / tau.iter().map(|x| x * x).sum::<f64>()
            };
            of(0.7) + of(1.9)
        };
        assert!(loss(&exact) <= loss(&near) + 1e-9, "{} {}", loss(&exact), loss(&near));
        assert!(loss(&near) < loss(&exact) + 1e-3, "{} {}", loss(&exact), loss(&near));
    }
}
