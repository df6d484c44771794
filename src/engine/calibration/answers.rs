//! From features to answers, on whatever device and with whatever graph they come.

use crate::tasks::objective::cosine_logits;
use crate::zoo::Head;
use burn::tensor::{Tensor, TensorData};

/// What a head answers to features: `[n, dim]` → `[n, classes]`
pub(super) fn answers(features: Tensor<2>, head: &Head) -> Tensor<2> {
    let Head { classes, dim, rows, scale } = head;
    let rows = Tensor::<2>::from_data(TensorData::new(rows.clone(), [*classes, *dim]), &features.device());
    cosine_logits(features, rows, *scale)
}
