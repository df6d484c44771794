//! The hot loops: walking over all models chunk by chunk on all cores, and what is done to a chunk.

pub(super) mod accumulate;
pub(super) mod adam;
pub(super) mod chunks;
pub(super) mod conflict;
pub(super) mod dare;
mod disjoint;
mod eigen;
pub(super) mod elementwise;
pub(super) mod largest;
pub(super) mod min_norm;
pub(super) mod moments;
pub(super) mod names;
pub(super) mod order;
pub(super) mod rows;
pub(super) mod select;
pub(super) mod spectral;
pub(super) mod tensors;
pub(super) mod ties;
pub(super) mod vote;
pub(super) mod wide;
