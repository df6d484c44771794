//! Deep model fusion: combining several fine-tuned networks into one.
//!
//! A [`Method`] turns parameters and a [`Pool`] (a base and its experts) into a [`Fused`] model. Every method is one
//! file in `methods/` and one word in [`registry`]; everything that shows or runs methods goes through the registry.

mod error;
mod method;
mod pool;
mod similarity;

pub use error::FusionError;
pub use method::{Context, EnsembleRule, Family, Fused, LinearPlan, Method, Needs, Origin};
pub use pool::{Groups, Pool};
pub use similarity::Similarity;
