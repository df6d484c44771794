//! Task vectors confined to a zone of the base's singular directions (Tang et al. 2024, the analysis behind SMILE).

use crate::fusion::kernels::dare::is_linear_weight;
use crate::fusion::kernels::spectral::{Dense, Svd, svd};
use crate::fusion::kernels::tensors::{Task, each_tensor};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, choice, flag, float, int};
use faer::Mat;

crate::params! {
    /// Which of the base's directions the task vectors may use: the `rank` largest, or all others.
    zone: String = choice("high", &["low", "high"]);
    /// How many singular directions the low zone has; −1: as many as hold half of the sum of singular values.
    rank: i64 = int(128, -1, 8192, 16).at_least(-1.0);
    /// Let the high zone reach into the null space of matrices that are not square.
    null_space: bool = flag(true).advanced();
    /// Coefficient of the task vectors.
    scaling: f64 = float(1.0, -1.0, 2.0, 0.05).unbounded().symbol("λ");
}

pub static METHOD: Method = Method {
    id: "singular_projection",
    name: "Singular projection",
    family: Family::Merging,
    formula: "W = W₀ + λ U_zU_zᵀ (Σ τᵢ) V_zV_zᵀ, W₀ = UΣVᵀ",
    summary: "Task arithmetic in which each linear layer's task vector may use only the strongest singular directions of \
              the base (zone low), or only the others (zone high). With one expert it shows where fine-tuning stores what \
              a task needs: mostly in the high zone.",
    reference: "arXiv:2408.10174",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    each_tensor(METHOD.name, pool, cx, |task, out| {
        let mut delta = task.sum(|_| 1.0)?;
        if task.is_matrix() && is_linear_weight(task.row.info) {
            delta = projected(task, &params, &delta)?;
        }
        task.write(params.scaling, &delta, out);
        Ok(())
    })
    .map(Fused::Weights)
}

fn projected(task: &Task<'_>, params: &Params, delta: &Dense) -> Result<Dense, FusionError> {
    let mut base = Dense::like(task.row.info);
    base.values.iter_mut().zip(task.base()).for_each(|(wide, x)| *wide = x.into());
    if base.values.iter().any(|x| !x.is_finite()) {
        return Err(FusionError::NotFinite { tensor: task.name().to_owned() });
    }
    let svd = task.solved(svd(base.view()))?;
    let all = svd.s.len();
    let rank = usize::try_from(params.rank).unwrap_or_else(|_| half(&svd)).min(all);
    let columns = |side: &Mat<f64>, first: usize, count: usize| side.subcols(first, count).to_owned();
    if params.zone == "high" && params.null_space {
        // Everything outside the low zone, without the full U and V: I − PPᵀ on both sides.
        let (u, v) = (columns(&svd.u, 0, rank), columns(&svd.v, 0, rank));
        let mut rest = delta.clone();
        let left = Dense::product(u.transpose(), rest.view());
        rest.add(-1.0, &Dense::product(u.as_ref(), left.view()));
        let right = Dense::product(rest.view(), v.as_ref());
        rest.add(-1.0, &Dense::product(right.view(), v.transpose()));
        return Ok(rest);
    }
    let (first, count) = if params.zone == "low" { (0, rank) } else { (rank, all - rank) };
    let (u, v) = (columns(&svd.u, first, count), columns(&svd.v, first, count));
    let inner = Dense::product(Dense::product(u.transpose(), delta.view()).view(), v.as_ref());
    Ok(Dense::product(Dense::product(u.as_ref(), inner.view()).view(), v.transpose()))
}

/// How many singular values, from the largest, reach half of their sum.
fn half(svd: &Svd) -> usize {
    let total: f64 = svd.s.iter().sum();
    let mut sum = 0.0;
    let below = svd.s.iter().take_while(|s| {
        sum += **s;
        sum < 0.5 * total
    });
    below.count() + 1
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{assert_close, fused, pool};
    use crate::params::Value::{Int, Text};

    fn model(seed: f32) -> Vec<f32> {
        (0..crate::fusion::testing::ELEMENTS).map(|at| (at as f32 * seed + seed).sin()).collect()
    }

    #[test]
    fn both_zones_at_their_widest_are_the_expert() {
        let pool = pool(Some(&model(0.3)), &[model(0.7)]);
        assert_close(&fused("singular_projection", &[("rank", Int(0))], &pool), &model(0.7), 1e-5);
        let low = |rank| fused("singular_projection", &[("zone", Text("low".into())), ("rank", Int(rank))], &pool);
        // Nothing of the matrix, which stands first; everything else is the expert's.
        assert_close(&low(0)[..12], &model(0.3)[..12], 1e-6);
        assert_close(&low(0)[12..], &model(0.7)[12..], 1e-6);
        assert_ne!(low(-1), low(3));
    }
}
