//! How coefficients are adapted to a task's inputs. The learning rate is each method's own: one coefficient for a whole
//! model weighs more than one for a tensor.

use crate::fusion::{Draw, Shown};
use crate::params::{choice, flag, float, int, seed};

crate::params! {
    /// Steps of Adam; each looks at one batch of every expert's task.
    steps: usize = int(100, 0, 2000, 50).at_least(0.0).up_to(1e6).costly();
    /// Every coefficient before the first step.
    init: f64 = float(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ₀").costly();
    /// Inputs that are adapted to: test inputs make the result transductive, and it is labelled so.
    data: String = choice("validation", &["validation", "test"]).costly();
    /// Inputs of each task in a step.
    batch: usize = int(16, 1, 512, 8).at_least(1.0).costly().advanced();
    /// Inputs of each task that are drawn from; all where a task has fewer.
    samples: usize = int(4096, 1, 4096, 64).at_least(1.0).costly().advanced();
    /// Keep coefficients between 0 and 1 where they are used.
    clamp: bool = flag(false).costly().advanced();
    /// Seed of the order of inputs.
    seed: u64 = seed(0).costly();
}

impl Params {
    pub(in crate::fusion) fn draw(&self) -> Draw {
        Draw { shown: Shown::named(&self.data), samples: self.samples, batch: self.batch, seed: self.seed }
    }
}
