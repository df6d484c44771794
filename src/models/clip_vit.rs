//! The vision tower of CLIP (Radford et al., arXiv:2103.00020), in exactly Hugging Face's layout and names.
//!
//! | file | what |
//! |---|---|
//! | `config` | sizes, from `config.json` |
//! | `layout` | names, shapes and order of the tensors |
//! | `linear` | the linear layers, by what they are given |
//! | `mixed` | the tower with experts behind routers in some of its linear layers |
//! | `module` | the tensors, by name, in the layout that runs fast |
//! | `forward` | the forward pass in burn operations: every device, differentiable |
//! | `host` | the same passes for the CPU, experts or none, and the way back: matrix products with hand-written loops between |
//! | `kernels` | those loops |
//! | `init` | random weights to start training from |

mod config;
mod forward;
mod host;
mod init;
mod kernels;
mod layout;
mod linear;
mod mixed;
mod module;
#[cfg(test)]
mod tests;

pub use config::{Activation, ClipVitConfig};
pub use host::{HostMixture, HostRouted, MixedPassage, Passage, TracedClipVit, WeightSlope};
pub use init::random_weights;
pub use linear::{Linear, Part};
pub use mixed::{MixedClipVit, Routed};
pub use module::ClipVit;
