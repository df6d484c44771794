//! Drawing that several screens share. Widgets know numbers, texts and styles; nothing of runs, methods or keys.

pub mod bars;
pub mod columns;
pub mod gallery;
pub mod gauge;
pub mod heatmap;
pub mod line_chart;
pub mod pane;
pub mod routing;
pub mod slider;
pub mod spinner;
pub mod table;
pub mod text;
pub mod tree;
