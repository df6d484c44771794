//! Deep model fusion: combining several fine-tuned networks into one.
//!
//! A [`Method`] turns parameters and a [`Pool`] (a base and its experts) into a [`Fused`] model. Every method is one
//! file in `methods/` and one word in [`registry`]; everything that shows or runs methods goes through the registry.
//! Methods may be run on a [window](Pool::window) of the models, so that models of any size can be fused; see [`stream`].
//! Methods that look at data ask a [`Calibration`], which whoever runs them has to bring.
//! Whatever is linear in the experts becomes a [`LinearPlan`], which [`Incremental`] re-fuses at the cost of what changed.

mod calibration;
mod context;
mod divergence;
mod effective_rank;
mod ensemble;
mod error;
mod incremental;
mod kernels;
mod linear;
mod masks;
mod method;
mod mixture;
mod options;
mod per_task;
mod pool;
pub mod registry;
pub(crate) mod seeded;
mod similarity;
pub mod stream;
mod survey;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use calibration::{Calibration, Draw, Entropy, Examples, Features, Gram, Grams, Layout, Routed, Shown, Slopes};
pub use context::{Adapted, Context, News, RoutedTask};
pub use divergence::{Divergence, divergence};
pub use effective_rank::{EffectiveRank, effective_rank};
pub use ensemble::EnsembleRule;
pub use error::FusionError;
pub use incremental::{Changed, Incremental};
pub use kernels::bits::Bits;
pub use kernels::names::Patterns;
pub use linear::{LinearPlan, Origin};
pub use masks::{MaskSource, SeededMasks};
pub use method::{Family, Fused, Method, Needs};
pub use mixture::{Affine, Body, Change, Matrix, Mixed, Mixture, Norms, Perceptron, Place, Router, Sees, Unit};
pub use per_task::{Adapter, Own, PER_TASK, PerTask, Storage};
pub use pool::{Groups, Pool, layer};
pub use registry::{METHODS, find, methods};
pub use similarity::{Similarity, similarity};
