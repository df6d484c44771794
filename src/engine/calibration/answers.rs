//! From features to answers, on whatever device and with whatever graph they come.

use crate::engine::EngineError;
use crate::tasks::objective::{cosine_logits, information};
use crate::zoo::Head;
use burn::tensor::{Tensor, TensorData};

/// What a head answers to features: `[n, dim]` → `[n, classes]`
pub(super) fn answers(features: Tensor<2>, head: &Head) -> Tensor<2> {
    let Head { classes, dim, rows, scale } = head;
    let rows = Tensor::<2>::from_data(TensorData::new(rows.clone(), [*classes, *dim]), &features.device());
    cosine_logits(features, rows, *scale)
}

/// A loss of answers that leaves in `told` how far they tell their images apart.
pub(super) fn telling(
    told: &mut Option<Tensor<1>>,
    loss: impl FnOnce(Tensor<2>) -> Tensor<1>,
) -> impl FnOnce(Tensor<2>) -> Result<Tensor<1>, EngineError> {
    |logits| {
        *told = Some(information(logits.clone().detach()));
        Ok(loss(logits))
    }
}
