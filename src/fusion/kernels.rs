//! The hot loops: walking over all models chunk by chunk on all cores, and what is done to a chunk.

pub(super) mod accumulate;
pub(super) mod chunks;
pub(super) mod dare;
mod disjoint;
pub(super) mod elementwise;
pub(super) mod moments;
pub(super) mod rows;
pub(super) mod select;
pub(super) mod ties;
pub(super) mod wide;
