//! Data for methods that look at some: statistics of networks shown a zoo's examples.
//!
//! A method asks `Statistics` for a whole statistic; that is put together from small pieces of `Work`, each of which
//! is one batch a core. Whoever owns the device carries them out between other things (`Asking`), so that a nudge
//! never waits for a method, or at once where there is nobody else (`Direct`).
//!
//! | file | what |
//! |---|---|
//! | `source` | where examples and heads come from |
//! | `draws` | which examples, in which order |
//! | `work` | what is computed of a few batches |
//! | `compute` | computing it |
//! | `executor` | who computes it |
//! | `answers` | features to answers |
//! | `tracked` | slopes |
//! | `two_way` | there and back on the CPU |
//! | `spare` | room for the next slopes |
//! | `mixed` | what routers say, and slopes over their numbers |
//! | `memo` | what need not be computed again |
//! | `statistics` | batches to statistics |

mod answers;
mod compute;
mod draws;
mod executor;
mod memo;
mod mixed;
mod source;
mod spare;
mod statistics;
#[cfg(test)]
mod tests;
mod tracked;
mod two_way;
mod work;

pub use executor::Direct;
pub use source::Source;
pub use statistics::Statistics;

pub(super) use compute::Computer;
pub(super) use executor::{Asking, Question};
pub(super) use memo::Memo;
