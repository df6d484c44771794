//! Colours by what they mean.

pub mod load;

use ratatui::style::Style;

/// Semantic roles; screens use these and never a colour.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Theme {
    pub name: String,
    pub text: Style,
    pub dim: Style,
    /// Titles and the thing one acts on.
    pub accent: Style,
    pub border: Style,
    /// Border of the focused pane.
    pub focus: Style,
    /// The selected row or tab.
    pub selected: Style,
    /// Title bar and footer.
    pub bar: Style,
    /// Keys in footer and help.
    pub key: Style,
    pub ok: Style,
    pub warn: Style,
    pub error: Style,
    /// Marks of the base model, of each task's own expert, and of the pinned run.
    pub base: Style,
    pub expert: Style,
    pub pinned: Style,
    /// One per task or run, told apart also by marker and label.
    pub series: [Style; 8],
    /// From low over middle to high, for heat maps; foreground colours.
    pub heat: [Style; 7],
}
