//! Charts for papers and reports as SVG and PNG, tables as Markdown, CSV and LaTeX, and thinning of long series.
//!
//! Every chart becomes a scene of shapes in logical pixels, which is then drawn by plotters. The same description
//! gives the same picture on every machine: the font is built in.

mod bars;

mod data;
mod decimate;
mod error;
mod font;
mod frame;
mod heatmap;
mod legend;
mod lines;
mod marks;
mod output;
mod palette;
mod png;
mod raster;
mod scene;
mod svg;
pub mod table;
mod ticks;

pub use data::{Bars, Heatmap, Line, Lines, Mark, Series};
pub use decimate::decimate;
pub use error::ChartError;

use std::path::Path;

/// Writes grouped bars to `path`; its extension, `.svg` or `.png`, says how.
///
/// # Errors
/// [`ChartError`] when there is nothing to draw, lengths do not match, the extension is another one, or the file cannot
/// be written. Then nothing is.
pub fn bars(chart: &Bars, path: &Path) -> Result<(), ChartError> {
    output::write(&bars::scene(chart)?, path)
}

/// Writes lines over a common axis to `path`; its extension, `.svg` or `.png`, says how.
///
/// # Errors
/// As [`bars`].
pub fn lines(chart: &Lines, path: &Path) -> Result<(), ChartError> {
    output::write(&lines::scene(chart)?, path)
}

/// Writes a matrix as coloured cells to `path`; its extension, `.svg` or `.png`, says how.
///
/// # Errors
/// As [`bars`].
pub fn heatmap(chart: &Heatmap, path: &Path) -> Result<(), ChartError> {
    output::write(&heatmap::scene(chart)?, path)
}

#[cfg(test)]
mod tests;
