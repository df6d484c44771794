//! Isotropic merging in common and task-specific subspaces (Marczak et al. 2025).

use crate::fusion::kernels::names::Patterns;
use crate::fusion::kernels::spectral::{Dense, compose, leading, polar};
use crate::fusion::kernels::tensors::{Task, each_tensor};
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Method, Needs, Pool};
use crate::params::{ParamSet, float, text};
use faer::Mat;

crate::params! {
    /// Coefficient of the merged task vector; the published results use 1.5.
    scaling: f64 = float(1.0, -1.0, 3.0, 0.05).unbounded().symbol("α");
    /// Share of a matrix's directions that come from the summed task vector; the tasks divide the others.
    common: f64 = float(0.8, 0.0, 1.0, 0.05);
    /// Tensors that are averaged instead, by name; `*` stands for anything.
    exclude: String = text("").advanced();
}

pub static METHOD: Method = Method {
    id: "iso_cts",
    name: "Iso-CTS",
    family: Family::Merging,
    formula: "θ = θ₀ + α·σ̄·U*V*ᵀ, U* = orth [U₁ … U_T U_c], Uᵢ of τᵢ − U_cU_cᵀτᵢ",
    summary: "Iso-C in which the weakest directions of the summed task vector give way to the strongest that each task \
              has outside of it: better with many tasks. What is not a matrix is averaged.",
    reference: "arXiv:2502.04959",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let Params { scaling, common, exclude } = METHOD.typed(Params::from_set(set))?;
    let exclude = Patterns::new(&exclude);
    each_tensor(METHOD.name, pool, cx, |task, out| {
        if !task.is_matrix() || exclude.matches(task.name()) {
            task.write(scaling, &task.mean()?, out);
            return Ok(());
        }
        task.write(scaling, &merged(task, common)?, out);
        Ok(())
    })
    .map(Fused::Weights)
}

/// How many directions each task gets, and how many are common, of `rank` in all.
fn shares(rank: usize, experts: usize, common: f64) -> (usize, usize) {
    let rest = rank - ((rank as f64 * common) as usize).min(rank);
    // FusionBench rounds half to even. It fails where that asks for more directions than there are; we round down then.
    let own = (rest as f64 / experts as f64).round_ties_even() as usize;
    let own = own.min(rank / experts);
    (own, rank - own * experts)
}

fn merged(task: &Task<'_>, common: f64) -> Result<Dense, FusionError> {
    let sum = task.sum(|_| 1.0)?;
    let (own, shared) = shares(sum.rank(), task.experts(), common);
    let whole = task.solved(leading(sum.view(), shared))?;
    let rank = sum.rank();
    let (mut u, mut v) = (Mat::<f64>::zeros(sum.rows, rank), Mat::<f64>::zeros(sum.columns, rank));
    let mut total: f64 = whole.s.iter().sum();
    for expert in 0..if own == 0 { 0 } else { task.experts() } {
        let mut delta = task.delta(expert)?;
        // Outside the common space, as seen from the left.
        let inside = Dense::product(whole.u.transpose(), delta.view());
        delta.add(-1.0, &Dense::product(whole.u.as_ref(), inside.view()));
        let best = task.solved(leading(delta.view(), own))?;
        u.as_mut().subcols_mut(expert * own, own).copy_from(&best.u);
        v.as_mut().subcols_mut(expert * own, own).copy_from(&best.v);
        total += best.s.iter().sum::<f64>();
    }
    u.as_mut().subcols_mut(rank - shared, shared).copy_from(&whole.u);
    v.as_mut().subcols_mut(rank - shared, shared).copy_from(&whole.v);
    let (u, v) = (task.solved(polar(u.as_ref()))?.factor, task.solved(polar(v.as_ref()))?.factor);
    let mean = total / rank as f64;
    Ok(compose(u.view(), |_| mean, v.view()))
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn directions_are_divided_as_the_reference_does_where_it_can() {
        assert_eq!(shares(16, 4, 0.8), (1, 12));
        assert_eq!(shares(10, 4, 0.0), (2, 2));
        assert_eq!(shares(16, 3, 1.0), (0, 16));
        // Eleven by four would be rounded to three each, which are twelve.
        assert_eq!(shares(11, 4, 0.0), (2, 3));
        assert_eq!(shares(1, 4, 0.0), (0, 1));
    }
}
