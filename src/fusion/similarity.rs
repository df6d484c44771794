//! How large the task vectors are and which way they point.

use super::kernels::moments::{Of, products as tensor_products};
use super::{Context, FusionError, Pool};
use crate::cancel::Cancel;

/// Norms and angles of a pool's task vectors, over all float tensors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Similarity {
    /// The experts, in pool order.
    pub names: Vec<String>,
    /// ‖θᵢ − θ₀‖₂
    pub norms: Vec<f64>,
    /// ‖θ₀‖₂
    pub base_norm: f64,
    /// `[expert][expert]`: cosine of the angle between two task vectors; 0 where one of them is zero.
    pub cosine: Vec<Vec<f64>>,
    /// `[expert][group]`: ‖θᵢ − θ₀‖₂ over the tensors of one block, blocks as in [`Pool::groups`].
    pub group_norms: Vec<Vec<f64>>,
}

/// Measures the task vectors of `pool` in one pass, in f64.
///
/// # Errors
/// A pool without a base; cancellation.
pub fn similarity(pool: &Pool, cancel: &Cancel) -> Result<Similarity, FusionError> {
    if pool.base().is_none() {
        return Err(FusionError::NeedsBase { method: "Similarity" });
    }
    let tensors = pool.reference().map_or(&[][..], |reference| reference.tensors());
    let experts = pool.experts().len();
    let mut base = 0.0;
    let mut products = vec![vec![0.0; experts]; experts];
    let mut group_squares = vec![vec![0.0; pool.groups().len()]; experts];
    let mut silent = |_, _| {};
    for (info, product) in
        tensors.iter().zip(tensor_products(pool, Of::TaskVectors, &mut Context::new(cancel, &mut silent))?)
    {
        let group = pool.groups().index(&info.name);
        base += product.base;
        for i in 0..experts {
            group_squares[i][group] += product.at(i, i);
            products[i].iter_mut().enumerate().for_each(|(j, sum)| *sum += product.at(i, j));
        }
    }
    let norms: Vec<f64> = (0..experts).map(|i| products[i][i].sqrt()).collect();
    let cosine = |i: usize, j: usize| {
        let (product, scale) = (products[i][j], norms[i] * norms[j]);
        if scale > 0.0 { (product / scale).clamp(-1.0, 1.0) } else { 0.0 }
    };
    Ok(Similarity {
        names: pool.experts().iter().map(|(name, _)| name.clone()).collect(),
        base_norm: f64::sqrt(base),
        cosine: (0..experts).map(|i| (0..experts).map(|j| cosine(i, j)).collect()).collect(),
        group_norms: group_squares.into_iter().map(|row| row.into_iter().map(f64::sqrt).collect()).collect(),
        norms,
    })
}
