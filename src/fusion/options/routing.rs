//! How routers are trained: without labels, on inputs of all tasks. The papers take 1000 steps at a rate of 1e-4; ours are
//! moved from the centre of what they see (`kernels/centre.rs`), and further steps only make wrong answers surer.

use crate::fusion::{Draw, Shown};
use crate::params::{choice, float, int, seed};

crate::params! {
    /// Steps of Adam; each looks at one batch of every expert's task.
    steps: usize = int(100, 0, 2000, 50).at_least(0.0).up_to(1e6).costly();
    /// Learning rate of Adam.
    rate: f64 = float(5e-4, 1e-5, 1.0, 5e-4).above(0.0).logarithmic().symbol("η").costly();
    /// Coefficient of all task vectors: what routers answer before the first step, and that of all tensors without a router.
    init: f64 = float(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ").costly();
    /// Inputs that routers are trained on: test inputs make the result transductive, and it is labelled so.
    data: String = choice("validation", &["validation", "test"]).costly();
    /// Inputs of each task in a step.
    batch: usize = int(16, 1, 512, 8).at_least(1.0).costly().advanced();
    /// Inputs of each task that are drawn from; all where a task has fewer.
    samples: usize = int(4096, 1, 4096, 64).at_least(1.0).costly().advanced();
    /// Seed of the routers' first numbers and of the order of inputs.
    seed: u64 = seed(0).costly();
}

impl Params {
    pub(in crate::fusion) fn draw(&self) -> Draw {
        Draw { shown: Shown::named(&self.data), samples: self.samples, batch: self.batch, seed: self.seed }
    }
}
