//! Drawing shared by the screens.

pub mod gallery;
pub mod heatmap;
pub mod pane;
pub mod table;
pub mod tree;
