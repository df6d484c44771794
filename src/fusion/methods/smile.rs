//! SMILE (Tang et al. 2024): sparse mixture of low-rank experts from pretrained models, without data or training.

use crate::fusion::kernels::dare::is_linear_weight;
use crate::fusion::kernels::rows::{Row, rows};
use crate::fusion::kernels::spectral::{Dense, leading, svd};
use crate::fusion::kernels::tensors::{Task, each_tensor};
use crate::fusion::{
    Body, Change, Context, Examples, Family, Fused, FusionError, Matrix, Method, Mixed, Mixture, Needs, Norms, Place,
    Pool, Router,
};
use crate::params::{ParamSet, choice, flag, int};
use faer::Mat;
use std::sync::{Arc, Mutex, PoisonError};

crate::params! {
    /// Rank of every expert in every linear layer; −1: all of the change.
    rank: i64 = int(32, -1, 1024, 8).at_least(-1.0).symbol("k");
    /// How many of an expert's input directions the router looks at.
    router_rank: i64 = int(16, 1, 256, 1).at_least(1.0);
    /// Experts that answer for a token.
    top_k: i64 = int(1, 1, 8, 1).at_least(1.0);
    /// Whose input directions the router looks along: those of the change, or those of the expert's whole weight.
    routing: String = choice("change", &["change", "weight"]).advanced();
    /// Whether everything but the linear layers is the experts' mean instead of the base's.
    average_experts: bool = flag(false).advanced();
}

pub static METHOD: Method = Method {
    id: "smile",
    name: "SMILE",
    family: Family::Mixing,
    formula: "y = W₀x + b₀ + Σᵢ gᵢ(UₖΣₖVₖᵀx + Δbᵢ), g = top-k softmax ‖Vᵢᵀx‖",
    summary: "Keeps what each expert changed of every linear layer, at low rank, beside the base's weight. For each token, \
              the experts whose strongest input directions it lies along answer. Needs no data and no training.",
    reference: "arXiv:2408.10174",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::None },
    fuse,
};

/// Changes no larger than this are none: a layer in which no expert has any is left as it is.
const NOTHING: f64 = 1e-8;

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let all = rows(pool)?;
    let found = Mutex::new(Vec::new());
    let backbone = each_tensor(METHOD.name, pool, cx, |task, out| {
        let linear = is_linear_weight(task.row.info) && task.is_matrix();
        // A layer's bias stays the base's too: the experts' are in their changes, and FusionBench's models for
        // transformers add the base's twice.
        if params.average_experts && !linear && !belongs_to_linear(&all, &task.row.info.name) {
            task.write(1.0, &task.mean()?, out);
            return Ok(());
        }
        out.copy_from_slice(&task.base());
        if linear && let Some(place) = place(task, &all, &params)? {
            found.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        }
        Ok(())
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let position = |name: &str| all.iter().position(|row| row.info.name == name);
    found.sort_by_key(|(place, _): &(Place, Router)| position(&place.layers[0].weight));
    let (places, routers) = found.into_iter().unzip();
    let experts = pool.experts().iter().map(|(name, _)| name.clone()).collect();
    Ok(Fused::Mixture(Mixture { body: Arc::new(Body { backbone, experts, places }), routers }))
}

fn belongs_to_linear(rows: &[Row<'_>], bias: &str) -> bool {
    let weight = bias.strip_suffix("bias").map(|stem| format!("{stem}weight"));
    weight.is_some_and(|weight| rows.iter().any(|row| row.info.name == weight && is_linear_weight(row.info)))
}

/// A layer's experts and router; nothing where no expert changes it.
fn place(task: &Task<'_>, all: &[Row<'_>], params: &Params) -> Result<Option<(Place, Router)>, FusionError> {
    let deltas = task.deltas()?;
    if deltas.iter().all(|delta| delta.values.iter().all(|x| x.abs() <= NOTHING)) {
        return Ok(None);
    }
    let name = task.name().strip_suffix(".weight").unwrap_or(task.name()).to_owned();
    let bias = all.iter().find(|row| row.info.name == format!("{name}.bias"));
    let bias = bias.map(|row| Task::new(row, METHOD.name, task.cancel));
    let (outputs, inputs) = (deltas[0].rows, deltas[0].columns);
    let most = deltas[0].rank();
    let router_rank = usize::try_from(params.router_rank).unwrap_or(1).clamp(1, most);
    let rank = usize::try_from(params.rank).ok().filter(|rank| *rank > 0).map(|rank| rank.min(most));
    let (mut changes, mut directions) = (Vec::with_capacity(deltas.len()), Vec::new());
    for (expert, delta) in deltas.iter().enumerate() {
        task.cancel.check()?;
        let along_change = params.routing == "change";
        let needed = rank.unwrap_or(0).max(if along_change { router_rank } else { 0 });
        // Few directions, or all: whichever route is meant for it.
        let of = |matrix: &Dense, k: usize| {
            task.solved(if k == most { svd(matrix.view()) } else { leading(matrix.view(), k) })
        };
        let parts = of(delta, needed)?;
        if along_change {
            extend(&mut directions, &parts.v, router_rank, |_| 1.0);
        } else {
            extend(&mut directions, &of(&task.expert(expert)?, router_rank)?.v, router_rank, |_| 1.0);
        }
        let weight = match rank {
            None => Matrix::Dense(delta.values.iter().map(|x| *x as f32).collect()),
            Some(rank) => {
                let mut left = Vec::with_capacity(outputs * rank);
                (0..outputs).for_each(|row| left.extend((0..rank).map(|j| parts.u[(row, j)] as f32)));
                let mut right = Vec::with_capacity(rank * inputs);
                extend(&mut right, &parts.v, rank, |j| parts.s[j]);
                Matrix::LowRank { rank, left, right }
            }
        };
        let bias = bias.as_ref().map(|bias| bias.delta(expert)).transpose()?;
        let bias = bias.map_or_else(Vec::new, |bias| bias.values.iter().map(|x| *x as f32).collect());
        changes.push(Change { weight, bias });
    }
    let top = usize::try_from(params.top_k).unwrap_or(1).clamp(1, deltas.len());
    let router = Router::Norms(Arc::new(Norms { rank: router_rank, inputs, directions, top }));
    let layers = vec![Mixed { weight: task.name().to_owned(), outputs, inputs, changes }];
    Ok(Some((Place { name, layers }, router)))
}

/// Adds the first `rank` columns of `v`, each times a factor, as rows.
fn extend(rows: &mut Vec<f32>, v: &Mat<f64>, rank: usize, factor: impl Fn(usize) -> f64) {
    for j in 0..rank {
        rows.extend((0..v.nrows()).map(|i| (factor(j) * v[(i, j)]) as f32));
    }
}
