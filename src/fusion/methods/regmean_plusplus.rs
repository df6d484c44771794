//! RegMean++ (Nguyen et al. 2025): RegMean block by block, on what the merged blocks before it give out.

use crate::fusion::kernels::chunks::check_finite;
use crate::fusion::kernels::names::Patterns;
use crate::fusion::kernels::regmean::{average, excluded, layer, report};
use crate::fusion::kernels::rows::{Row, rows};
use crate::fusion::kernels::tensors::{Task, each_tensor};
use crate::fusion::options::draw;
use crate::fusion::{Calibration, Context, Draw, Examples, Family, Fused, FusionError, Grams, Method, Needs, Pool};
use crate::params::{ParamSet, float, text};
use crate::weights::{Data, StateDict};
use rayon::prelude::*;
use std::sync::Arc;

crate::params! {
    /// Factor of the Gram matrices' off-diagonal elements; 0 weights each input by its size alone, 1 trusts the data.
    alpha: f64 = float(0.95, 0.0, 1.0, 0.05).symbol("α").costly();
    /// Tensors that stay as the base has them, by name; `*` stands for anything.
    exclude: String = text("").advanced().costly();
    ..draw: draw::Params;
}

pub static METHOD: Method = Method {
    id: "regmean_plusplus",
    name: "RegMean++",
    family: Family::Merging,
    formula: "Wˡ = Σ WᵢˡGᵢˡ (Σ Gᵢˡ)⁻¹, Gᵢˡ of what the merged blocks before l give out",
    summary: "RegMean, block after block from the first: every expert's block is shown what the merged blocks before it \
              give out, which is what it will have to work with, and not what the expert's own would have. No labels.",
    reference: "arXiv:2508.03121",
    specs: Params::SPECS,
    needs: Needs { base: false, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let (data, draw) = (METHOD.data(cx)?, params.draw.draw());
    let exclude = excluded(METHOD.name, &params.exclude, pool)?;
    let rows = rows(pool)?;
    let blocks = blocks(pool, &rows, &exclude);
    let counts = pool.experts().iter().map(|(task, _)| data.count(task, draw));
    let total = counts.sum::<Result<usize, FusionError>>()? * blocks.len();
    // What has no Gram matrix is averaged, in the embeddings and in every block; FusionBench leaves the last norm as the
    // base has it, although what it norms is merged.
    let mut merged = averages(pool, &exclude, cx)?;
    cx.phase("look at data", total, "examples");
    let mut singular = Vec::new();
    for block in &blocks {
        let grams = look(pool, &rows, &merged, block, (data, draw), cx)?;
        let solve = |&tensor: &usize| -> Result<_, FusionError> {
            let row = &rows[tensor];
            let own: Option<Vec<_>> = grams.iter().map(|grams| grams.get(&row.info.name).cloned()).collect();
            let Some(own) = own else { return Ok(None) };
            let found = layer(&Task::new(row, METHOD.name, cx.cancel), &own, params.alpha)?;
            Ok(Some((tensor, found)))
        };
        let solved: Vec<_> = block.matrices.par_iter().map(solve).collect::<Result<_, FusionError>>()?;
        for (tensor, found) in solved.into_iter().flatten() {
            let name = &rows[tensor].info.name;
            singular.extend(found.ridge.map(|ridge| (name.clone(), ridge)));
            if let Data::Float(out) = &mut merged.tensors_mut()[tensor].data {
                out.iter_mut().zip(&found.weight.values).for_each(|(out, x)| *out = *x as f32);
                if !cx.lenient {
                    check_finite(out, rows[tensor].info.dtype.written(), name)?;
                }
            }
        }
    }
    report(singular, cx);
    cx.phase("fuse", rows.len(), "tensors");
    cx.advance(rows.len());
    Ok(Fused::Weights(merged))
}

/// The tensors of one block, as indices into the pool's, and which of them may be linear layers.
struct Block {
    all: Vec<usize>,
    matrices: Vec<usize>,
}

/// The blocks that hold matrices, in the order in which a network runs through them; not what comes before the first:
/// embeddings are no linear layers.
fn blocks(pool: &Pool, rows: &[Row<'_>], exclude: &Patterns) -> Vec<Block> {
    let groups = pool.groups();
    let block = |group: usize| {
        let of = |row: &Row<'_>| groups.index(&row.info.name) == group && !exclude.matches(&row.info.name);
        let all: Vec<usize> = (0..rows.len()).filter(|&at| of(&rows[at])).collect();
        let matrix = |row: &Row<'_>| row.info.shape.len() == 2 && !row.info.is_empty() && row.info.dtype.is_float();
        let matrices = all.iter().copied().filter(|&at| matrix(&rows[at])).collect();
        Block { all, matrices }
    };
    (1..groups.len()).map(block).filter(|block| !block.matrices.is_empty()).collect()
}

fn averages(pool: &Pool, exclude: &Patterns, cx: &mut Context<'_>) -> Result<StateDict, FusionError> {
    each_tensor(METHOD.name, pool, cx, |task, out| {
        if exclude.matches(task.name()) {
            out.copy_from_slice(&task.base());
            return Ok(());
        }
        out.iter_mut().zip(&average(task)?).for_each(|(out, x)| *out = *x as f32);
        Ok(())
    })
}

/// The Gram matrices of one block: each expert's block behind the merged ones, on the expert's task.
///
/// The blocks before it are run again for every block: that takes half as long as there are blocks, and the memory of one
/// model instead of all examples' inner states.
fn look(
    pool: &Pool,
    rows: &[Row<'_>],
    merged: &StateDict,
    block: &Block,
    (data, draw): (&dyn Calibration, Draw),
    cx: &mut Context<'_>,
) -> Result<Vec<Grams>, FusionError> {
    let names: Vec<&str> = block.matrices.iter().map(|&at| rows[at].info.name.as_str()).collect();
    let of = |(slot, (task, _)): (usize, &(String, _))| {
        let mut candidate = merged.clone();
        for &at in &block.all {
            if let Data::Float(values) = &mut candidate.tensors_mut()[at].data {
                *values = rows[at].experts[slot].to_vec();
            }
        }
        data.block_grams(task, Arc::new(candidate), &names, draw, cx)
    };
    pool.experts().iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{ELEMENTS, assert_close, fused, pool};

    #[test]
    fn one_expert_stays_itself_and_equal_ones_too() {
        let values: Vec<f32> = (0..ELEMENTS).map(|at| (at as f32 * 0.7).sin()).collect();
        let base = [0.5; ELEMENTS];
        for experts in [vec![values.clone()], vec![values.clone(); 3]] {
            assert_close(&fused("regmean_plusplus", &[], &pool(Some(&base), &experts)), &values, 1e-5);
        }
    }

    #[test]
    fn where_inner_inputs_do_not_depend_on_weights_it_is_regmean() {
        // What is pretended to be seen depends on names only.
        let values = |seed: f32| (0..ELEMENTS).map(|at| (at as f32 * seed).sin()).collect::<Vec<_>>();
        let pool = pool(None, &[values(0.7), values(1.9)]);
        assert_close(&fused("regmean_plusplus", &[], &pool), &fused("regmean", &[], &pool), 1e-6);
    }
}
