//! What a chart shows, without a word about how it looks.

/// One colour of bars.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    pub name: String,
    /// One a category, as shares of 1. `None` and NaN leave a gap.
    pub values: Vec<Option<f64>>,
    /// Confidence intervals (low, high), one a category, drawn as whiskers; or empty.
    pub intervals: Vec<Option<(f64, f64)>>,
    /// What the others are compared with (base, experts): drawn in grey.
    pub reference: bool,
}

/// Accuracy (or another share of 1, shown in percent) per category, several series side by side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bars {
    pub title: String,
    /// The task names.
    pub categories: Vec<String>,
    pub series: Vec<Series>,
    /// `accuracy` when empty; the unit is added.
    pub y_label: String,
}

/// One line of a [`Lines`] chart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    pub name: String,
    /// (x, y), in any order. Points that are not finite are left out and break the line.
    pub points: Vec<(f64, f64)>,
    /// The one that matters most, e.g. the average: thick and black.
    pub bold: bool,
}

/// A point that is pointed out, e.g. the best λ.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mark {
    pub x: f64,
    pub y: f64,
    pub label: String,
}

/// Several lines over a common axis: accuracy over λ, accuracy over samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lines {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub series: Vec<Line>,
    pub marks: Vec<Mark>,
    /// Values of y are shares of 1 and shown in percent.
    pub percent: bool,
}

/// A matrix as colours around zero, e.g. the cosines between task vectors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heatmap {
    pub title: String,
    pub rows: Vec<String>,
    pub columns: Vec<String>,
    /// `[row][column]`. Where rows and columns have the same names, the diagonal says nothing and is left gray.
    pub values: Vec<Vec<f64>>,
    /// What the colours mean, beside the colour bar.
    pub value_label: String,
}
