//! A picture as a list of shapes in logical pixels, y downwards.

use super::palette::Color;

pub(super) type Point = (f64, f64);

/// Which part of a text lies at its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// One line of text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    pub content: String,
    /// On the baseline.
    pub at: Point,
    /// Font size, in pixels per em.
    pub em: f64,
    pub bold: bool,
    pub color: Color,
    pub anchor: Anchor,
    /// Reads upwards instead of to the right.
    pub upwards: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Filled.
    Polygon { points: Vec<Point>, color: Color },
    /// An open line through all points.
    Path { points: Vec<Point>, width: f64, color: Color },
}

/// Shapes in drawing order, texts above all of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scene {
    pub width: f64,
    pub height: f64,
    pub shapes: Vec<Shape>,
    pub texts: Vec<Text>,
}

impl Scene {
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, shapes: Vec::new(), texts: Vec::new() }
    }

    pub fn polygon(&mut self, points: Vec<Point>, color: Color) {
        self.shapes.push(Shape::Polygon { points, color });
    }

    pub fn rect(&mut self, (left, top): Point, (right, bottom): Point, color: Color) {
        self.polygon(vec![(left, top), (right, top), (right, bottom), (left, bottom)], color);
    }

    pub fn path(&mut self, points: Vec<Point>, width: f64, color: Color) {
        self.shapes.push(Shape::Path { points, width, color });
    }

    pub fn line(&mut self, from: Point, to: Point, width: f64, color: Color) {
        self.path(vec![from, to], width, color);
    }

    pub fn text(&mut self, text: Text) {
        if !text.content.is_empty() {
            self.texts.push(text);
        }
    }
}

impl Text {
    /// Black, regular, starting at `at`.
    pub fn new(content: impl Into<String>, at: Point, em: f64) -> Self {
        let color = super::palette::TEXT;
        Self { content: content.into(), at, em, bold: false, color, anchor: Anchor::Start, upwards: false }
    }

    pub fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub fn color(self, color: Color) -> Self {
        Self { color, ..self }
    }

    pub fn anchor(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub fn upwards(self) -> Self {
        Self { upwards: true, ..self }
    }
}
