//! Drawing that several screens share. Widgets know numbers, texts and styles; nothing of runs, methods or keys.

<<<<<<< HEAD
pub mod columns;
=======
pub mod bars;
>>>>>>> 2176038 (feat(tui): Tune and Run screens, shared widgets, run reducer; feat(tasks): Wilson intervals and McNemar's test)
pub mod gallery;
pub mod gauge;
pub mod heatmap;
pub mod line_chart;
pub mod pane;
pub mod slider;
pub mod spinner;
pub mod table;
pub mod text;
pub mod tree;
