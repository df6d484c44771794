//! What a view draws with.

use super::hit::HitMap;
use super::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::Position;

/// Which characters the terminal can show, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Charset {
    Ascii,
    /// Box drawing and block elements.
    Box,
    Braille,
}

/// Handed through all views: where to draw, how, and where to note what can be clicked.
pub struct Cx<'a> {
    pub buf: &'a mut Buffer,
    pub theme: &'a Theme,
    pub charset: Charset,
    pub hits: &'a mut HitMap,
    /// Where the text cursor stands, if a text field has the focus.
    pub cursor: Option<Position>,
}
