//! The hot loops: walking over all models chunk by chunk on all cores, and what is done to a chunk.

pub(super) mod accumulate;
pub(super) mod chunks;
pub(super) mod rows;
