//! How a Concrete mask is learned before coefficients are. The learning rates are each method's own.

use super::adaptation;
use crate::params::{choice, float, int};

crate::params! {
    /// Steps over the mask; each looks at two batches of every expert's task.
    mask_steps: usize = int(60, 0, 2000, 20).at_least(0.0).up_to(1e6).costly();
    /// How far coefficients go down their slope before a mask is judged.
    base_rate: f64 = float(0.05, 0.0, 1.0, 0.01).at_least(0.0).costly().advanced();
    /// Temperature of masks while they are learned: the lower, the nearer to keeping all or nothing.
    temperature: f64 = float(0.5, 0.05, 5.0, 0.05).above(0.0).costly().advanced();
    /// Every logit of the mask before the first step.
    logit: f64 = float(0.0, -5.0, 5.0, 0.5).unbounded().costly().advanced();
    /// The mask in the end: what masks are on average, or one more that is drawn, as in the paper's code.
    mask: String = choice("expected", &["expected", "sampled"]).costly();
    ..adaptation: adaptation::Params;
}
