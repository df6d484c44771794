//! RegMean (Jin et al. 2023): every linear layer merged so that it answers like each expert's on that expert's inputs.

use crate::fusion::kernels::names::Patterns;
use crate::fusion::kernels::regmean::{average, excluded, layer, report};
use crate::fusion::kernels::tensors::each_tensor;
use crate::fusion::options::draw;
use crate::fusion::{Context, Examples, Family, Fused, FusionError, Gram, Grams, Method, Needs, Pool};
use crate::params::{ParamSet, float, text};
use crate::weights::StateDict;
use std::sync::{Arc, Mutex, PoisonError};

crate::params! {
    /// Factor of the Gram matrices' off-diagonal elements; 0 weights each input by its size alone, 1 trusts the data.
    alpha: f64 = float(0.95, 0.0, 1.0, 0.05).symbol("α");
    /// Tensors that stay as the base has them, by name; `*` stands for anything.
    exclude: String = text("").advanced();
    ..draw: draw::Params;
}

pub static METHOD: Method = Method {
    id: "regmean",
    name: "RegMean",
    family: Family::Merging,
    formula: "W = Σ WᵢGᵢ (Σ Gᵢ)⁻¹, Gᵢ = XᵢᵀXᵢ / n, off-diagonals × α",
    summary: "Shows every expert a few hundred inputs of its task, and merges each linear layer by least squares: the one \
              that answers most like every expert's layer on that expert's inputs. Everything else is averaged. No labels.",
    reference: "arXiv:2212.09849",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let draw = params.draw.draw();
    let data = METHOD.data(cx)?;
    let exclude = excluded(METHOD.name, &params.exclude, pool)?;
    let counts = pool.experts().iter().map(|(task, _)| data.count(task, draw));
    let total = counts.sum::<Result<usize, FusionError>>()?;
    cx.phase("look at data", total, "examples");
    let grams = pool.experts().iter().map(|(task, expert)| data.grams(task, expert, draw, cx));
    let grams = grams.collect::<Result<Vec<_>, _>>()?;
    cx.phase("fuse", pool.reference().map_or(0, |reference| reference.tensors().len()), "tensors");
    merge(pool, &grams, params.alpha, &exclude, cx).map(Fused::Weights)
}

/// The merged model, from the Gram matrices of each expert in pool order; weights without a Gram matrix are averaged.
///
/// FusionBench inverts the summed Gram matrix in f32 as it is; here it is factorised in f64, and where it is singular a
/// ridge draws towards the average, which the context's listener is told.
///
/// # Errors
/// Gram matrices that do not fit the weights; results that are not finite; cancellation.
fn merge(
    pool: &Pool,
    grams: &[Arc<Grams>],
    alpha: f64,
    exclude: &Patterns,
    cx: &mut Context<'_>,
) -> Result<StateDict, FusionError> {
    let singular: Mutex<Vec<(String, f64)>> = Mutex::default();
    let merged = each_tensor(METHOD.name, pool, cx, |task, out| {
        if exclude.matches(task.name()) {
            out.copy_from_slice(&task.base());
            return Ok(());
        }
        let of = |grams: &'_ Arc<Grams>| grams.get(task.name()).cloned();
        let weight = match grams.iter().map(of).collect::<Option<Vec<Gram>>>() {
            Some(grams) if task.is_matrix() => {
                let merged = layer(task, &grams, alpha)?;
                if let Some(ridge) = merged.ridge {
                    let mut singular = singular.lock().unwrap_or_else(PoisonError::into_inner);
                    singular.push((task.name().to_owned(), ridge));
                }
                merged.weight.values
            }
            _ => average(task)?,
        };
        out.iter_mut().zip(&weight).for_each(|(out, x)| *out = *x as f32);
        Ok(())
    })?;
    report(singular.into_inner().unwrap_or_else(PoisonError::into_inner), cx);
    Ok(merged)
}
