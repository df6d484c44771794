//! Adam's steps down a loss that may stop being a number, watched by someone who may have seen enough.

use super::adam::Adam;
use crate::fusion::{Context, FusionError, Method, News};
use crate::params::Value;

/// A loss that depends on a row of numbers.
pub(in crate::fusion) trait Hill {
    /// How the loss changes with the numbers, on the data of step `step`; nothing if it is no number itself.
    ///
    /// # Errors
    /// What the data report; cancellation.
    fn slope(&mut self, numbers: &[f64], step: usize, cx: &mut Context<'_>) -> Result<Option<Vec<f64>>, FusionError>;

    /// Says where the numbers stand after `done` steps.
    fn tell(&mut self, numbers: &[f64], done: usize, cx: &mut Context<'_>);
}

/// Moves the numbers `steps` steps down, `rate` being the learning rate of each; gives how many steps led to where they are.
///
/// A person who has seen enough, and a loss or slope that is no number, end it early: what it was worth before is kept, and
/// the context's listener is told how many steps that is.
///
/// # Errors
/// A loss that is no number from the beginning; what the hill reports.
pub(in crate::fusion) fn descend(
    method: &Method,
    (steps, rate): (usize, impl Fn(usize) -> f64),
    numbers: &mut Vec<f64>,
    hill: &mut impl Hill,
    cx: &mut Context<'_>,
) -> Result<usize, FusionError> {
    let mut before = numbers.clone();
    let mut adam = Adam::new(0.0, before.len());
    let mut done = 0;
    let settled = loop {
        if done == steps || cx.is_enough() {
            break done;
        }
        let Some(slope) = hill.slope(numbers, done, cx)? else {
            // Where it stands answers with no numbers; where it stood before did not.
            numbers.clone_from(&before);
            let kept = done.checked_sub(1).ok_or_else(|| no_start(method))?;
            warn(done, kept, cx);
            break kept;
        };
        if slope.iter().any(|x| !x.is_finite()) {
            warn(done + 1, done, cx);
            break done;
        }
        before.clone_from(numbers);
        adam.set_rate(rate(done));
        adam.step(numbers, &slope);
        done += 1;
        hill.tell(numbers, done, cx);
        cx.advance(1);
    };
    settle("steps", settled, steps, cx);
    Ok(settled)
}

/// That there is nothing to keep.
pub(in crate::fusion) fn no_start(method: &Method) -> FusionError {
    let reason = "the model's answers are not finite before the first step; use a smaller init".to_owned();
    FusionError::Unusable { method: method.name, reason }
}

/// Says that a step came to nothing, and what was kept.
pub(in crate::fusion) fn warn(failed: usize, kept: usize, cx: &mut Context<'_>) {
    let text = format!("step {failed} made the loss not finite; kept what step {kept} gave. A smaller rate helps");
    cx.tell(News::Warning(text));
}

/// Says that fewer steps were taken than asked for.
pub(in crate::fusion) fn settle(param: &'static str, done: usize, steps: usize, cx: &mut Context<'_>) {
    if done < steps {
        cx.tell(News::Settled { param, value: Value::Int(done as i64) });
    }
}
