//! What RegMean and RegMean++ have in common: one layer by least squares, everything else averaged, and what is said of
//! layers whose inputs leave directions free.

use super::names::Patterns;
use super::regression::{Merged, merge};
use super::tensors::Task;
use crate::fusion::{Context, FusionError, Gram, Layout, News, Pool};

/// The tensors that stay as the base has them.
///
/// # Errors
/// When some are named and there is no base.
pub(in crate::fusion) fn excluded(method: &'static str, text: &str, pool: &Pool) -> Result<Patterns, FusionError> {
    let exclude = Patterns::new(text);
    if exclude.is_empty() || pool.base().is_some() { Ok(exclude) } else { Err(FusionError::NeedsBase { method }) }
}

/// One linear layer by least squares, from each expert's Gram matrix.
///
/// # Errors
/// Gram matrices that do not fit the weights or are not finite; cancellation.
pub(in crate::fusion) fn layer(task: &Task<'_>, grams: &[Gram], alpha: f64) -> Result<Merged, FusionError> {
    let weights = (0..task.experts()).map(|expert| task.expert(expert)).collect::<Result<Vec<_>, _>>()?;
    for (weight, gram) in weights.iter().zip(grams) {
        let width = if gram.layout == Layout::OutIn { weight.columns } else { weight.rows };
        if gram.size != width || gram.layout != grams[0].layout {
            let reason = format!("`{}` has {width} inputs, its Gram matrix {}", task.name(), gram.size);
            return Err(FusionError::Unusable { method: task.method(), reason });
        }
        if gram.values.iter().any(|x| !x.is_finite()) {
            return Err(FusionError::NotFinite { tensor: task.name().to_owned() });
        }
    }
    Ok(merge(&weights, &grams.iter().collect::<Vec<_>>(), alpha))
}

/// The experts' mean.
///
/// # Errors
/// Numbers that are not finite; cancellation.
pub(in crate::fusion) fn average(task: &Task<'_>) -> Result<Vec<f64>, FusionError> {
    let share = 1.0 / task.experts() as f64;
    let mut mean = vec![0.0; task.row.info.len()];
    for expert in 0..task.experts() {
        mean.iter_mut().zip(&task.expert(expert)?.values).for_each(|(mean, x)| *mean += share * x);
    }
    Ok(mean)
}

/// Says which layers needed a ridge, given with the ridge as a share of the mean diagonal.
pub(in crate::fusion) fn report(mut singular: Vec<(String, f64)>, cx: &mut Context<'_>) {
    singular.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let Some((worst, ridge)) = singular.first() else { return };
    let how =
        if ridge.is_finite() { format!("a ridge of {ridge:.0e} of the mean diagonal") } else { "averaging".to_owned() };
    cx.tell(News::Warning(format!(
        "{} layers see fewer directions than they have inputs: solved with a ridge, towards the average \
         (at most {how}, in `{worst}`); more samples or a smaller α make that needless",
        singular.len()
    )));
}
