//! What must hold for the methods whatever the weights: identities between methods, and the defects of FusionBench
//! that are not copied (reference/fusionbench.md §9 and §10).

mod faults;
mod identities;
mod machines;
mod per_task;
mod recipes;
mod reuse;
mod windows;
