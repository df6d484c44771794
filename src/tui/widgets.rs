//! Drawing shared by the screens.

pub mod columns;
pub mod gallery;
pub mod gauge;
pub mod heatmap;
pub mod pane;
pub mod table;
pub mod text;
pub mod tree;
