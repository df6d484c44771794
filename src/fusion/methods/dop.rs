//! Dual projections for continual merging (Yuan et al. 2025): stay close to the merged model and to the new one, each
//! where its own task vector is strong.

use crate::fusion::kernels::adam::Adam;
use crate::fusion::kernels::dare::is_linear_weight;
pub use crate::fusion::kernels::min_norm::min_norm;
use crate::fusion::kernels::names::Patterns;
use crate::fusion::kernels::order::order;
use crate::fusion::kernels::spectral::{Dense, scaled, svd};
use crate::fusion::kernels::tensors::{Task, each_tensor};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, choice, flag, float, int, seed, text};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

crate::params! {
    /// Weight of what was merged before against the new expert; where the balance starts when it is sought.
    alpha: f64 = float(0.8, 0.0, 1.0, 0.05).symbol("α").costly();
    /// Seek the balance at each step, so that neither side loses (MGDA).
    balance: bool = flag(true).costly();
    /// Let the balance move slowly: an exponential mean.
    smooth: bool = flag(true).costly().advanced();
    /// How slowly: the share of the old balance at each step.
    decay: f64 = float(0.999, 0.0, 1.0, 0.001).symbol("β").costly().advanced();
    /// Steps of Adam for each linear layer and expert.
    steps: usize = int(200, 0, 2000, 20).at_least(0.0).up_to(1e6).costly();
    /// Learning rate of Adam.
    rate: f64 = float(1e-4, 1e-7, 1e-1, 1e-5).above(0.0).logarithmic().costly().advanced();
    /// Share of the sum of singular values that the projections keep.
    energy: f64 = float(0.99999, 0.0, 1.0, 0.01).symbol("ε").costly().advanced();
    /// On which side of the weights: outputs (u), inputs (v) or both.
    space: String = choice("uv", &["uv", "u", "v"]).costly().advanced();
    /// Take the experts in a random order instead of the pool's.
    shuffle: bool = flag(false).costly();
    /// Seed of the order.
    seed: u64 = seed(0);
    /// Tensors that are averaged instead, by name; `*` stands for anything.
    exclude: String = text("").advanced();
}

pub static METHOD: Method = Method {
    id: "dop",
    name: "DOP",
    family: Family::Merging,
    formula: "W⁽ᵗ⁾ = argmin Σᵢ wᵢ(‖ΣᵢUᵢᵀ(W − Wᵢ)‖² + ‖(W − Wᵢ)VᵢΣᵢ‖²), i: merged so far, new",
    summary: "For experts that come one after another: each linear layer is moved between what was merged so far and the \
              new expert, holding on to either where its task vector is strong. Everything else is averaged pairwise, so \
              late experts count more there.",
    reference: "NeurIPS 2025, Continual Model Merging without Data: Dual Projections",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let exclude = Patterns::new(&params.exclude);
    let order = order(pool.experts().len(), params.shuffle.then_some(params.seed));
    each_tensor(METHOD.name, pool, cx, |task, out| {
        let linear = task.is_matrix() && is_linear_weight(task.row.info) && !exclude.matches(task.name());
        let mut merged = Dense::like(task.row.info);
        for (step, &expert) in order.iter().enumerate() {
            let new = task.delta(expert)?;
            if step == 0 {
                merged = new;
                continue;
            }
            let mut half = merged.clone();
            half.values.iter_mut().for_each(|x| *x *= 0.5);
            half.add(0.5, &new);
            merged = if linear { optimised(task, &params, half, [merged, new])? } else { half };
        }
        task.write(1.0, &merged, out);
        Ok(())
    })
    .map(Fused::Weights)
}

/// One of the two models that are merged: its task vector, and where it is strong.
struct Side {
    delta: Dense,
    /// U diag(s) and V diag(s) of the leading part.
    u: Mat<f64>,
    v: Mat<f64>,
}

impl Side {
    fn new(task: &Task<'_>, delta: Dense, energy: f64) -> Result<Self, FusionError> {
        let svd = task.solved(svd(delta.view()))?;
        let total: f64 = svd.s.iter().sum();
        let mut sum = 0.0;
        // The one that reaches the share is left out, as in the reference.
        let kept = svd.s.iter().take_while(|s| {
            sum += **s;
            sum < energy * total
        });
        let kept = kept.count();
        let strong = |side: &Mat<f64>| scaled(side.subcols(0, kept), |j| svd.s[j]);
        Ok(Self { u: strong(&svd.u), v: strong(&svd.v), delta })
    }

    /// The gradient of ‖UᵀD‖² + ‖DV‖², D = `merged` − this; returns the loss.
    fn gradient(&self, merged: &Dense, space: &str, gradient: &mut Dense) -> f64 {
        let mut rest = merged.clone();
        rest.add(-1.0, &self.delta);
        let (mut loss, square) = (0.0, |x: &Dense| x.values.iter().map(|x| x * x).sum::<f64>());
        gradient.values.fill(0.0);
        if space.contains('u') {
            let projected = Dense::product(self.u.transpose(), rest.view());
            loss += square(&projected);
            matmul(gradient.view_mut(), Accum::Add, self.u.as_ref(), projected.view(), 2.0, Par::Seq);
        }
        if space.contains('v') {
            let projected = Dense::product(rest.view(), self.v.as_ref());
            loss += square(&projected);
            matmul(gradient.view_mut(), Accum::Add, projected.view(), self.v.transpose(), 2.0, Par::Seq);
        }
        loss
    }
}

fn optimised(task: &Task<'_>, params: &Params, start: Dense, deltas: [Dense; 2]) -> Result<Dense, FusionError> {
    let mut merged = start;
    let [first, second] = deltas;
    let sides = [Side::new(task, first, params.energy)?, Side::new(task, second, params.energy)?];
    let mut weights = [params.alpha, 1.0 - params.alpha];
    let mut adam = Adam::new(params.rate, merged.values.len());
    let empty = Dense::zeros(merged.rows, merged.columns);
    let mut gradients = [empty.clone(), empty];
    for _ in 0..params.steps {
        task.cancel.check()?;
        let mut losses = [0.0; 2];
        for ((side, gradient), loss) in sides.iter().zip(&mut gradients).zip(&mut losses) {
            *loss = side.gradient(&merged, &params.space, gradient);
        }
        if params.balance {
            let found = balance(&gradients, losses);
            let old = if params.smooth { params.decay } else { 0.0 };
            weights.iter_mut().zip(found).for_each(|(weight, new)| *weight = old * *weight + (1.0 - old) * new);
        }
        let [first, second] = &mut gradients;
        first.values.iter_mut().zip(&second.values).for_each(|(a, b)| *a = weights[0] * *a + weights[1] * b);
        adam.step(&mut merged.values, &gradients[0].values);
    }
    Ok(merged)
}

/// The weights with which neither loss gets worse, gradients being measured by their losses.
fn balance(gradients: &[Dense; 2], losses: [f64; 2]) -> [f64; 2] {
    let dot = |i: usize, j: usize| {
        let product: f64 = gradients[i].values.iter().zip(&gradients[j].values).map(|(a, b)| a * b).sum();
        // Without a loss there is no gradient either, and nothing to divide by.
        let scale = losses[i] * losses[j];
        if scale > 0.0 { product / scale } else { 0.0 }
    };
    let (weights, _) = min_norm(&[vec![dot(0, 0), dot(0, 1)], vec![dot(1, 0), dot(1, 1)]]);
    [weights[0], weights[1]]
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{assert_close, fused, pool};
    use crate::params::Value::{Bool, Float, Int, Text};

    fn model(seed: f32) -> Vec<f32> {
        (0..crate::fusion::testing::ELEMENTS).map(|at| (at as f32 * seed + seed).sin()).collect()
    }

    #[test]
    fn one_expert_and_the_same_twice_are_left_as_they_are() {
        assert_close(&fused("dop", &[], &pool(Some(&model(0.3)), &[model(0.7)])), &model(0.7), 1e-6);
        let twice = pool(Some(&model(0.3)), &[model(0.7), model(0.7)]);
        assert_close(&fused("dop", &[], &twice), &model(0.7), 1e-6);
    }

    #[test]
    fn without_steps_it_is_the_mean_and_alpha_leans_to_a_side() {
        let (a, b) = (model(0.7), model(1.9));
        let two = pool(Some(&model(0.3)), &[a.clone(), b.clone()]);
        let mean = fused("simple_average", &[], &two);
        assert_close(&fused("dop", &[("steps", Int(0))], &two), &mean, 1e-6);
        assert_close(&fused("dop", &[("exclude", Text("*".into()))], &two), &mean, 1e-6);
        let near = |alpha: f64| {
            let given = [("alpha", Float(alpha)), ("balance", Bool(false)), ("rate", Float(1e-2))];
            let merged = fused("dop", &given, &two);
            merged[..12].iter().zip(&a).map(|(x, a)| (x - a).powi(2)).sum::<f32>()
        };
        assert!(near(1.0) < near(0.5) && near(0.5) < near(0.0));
    }
}
