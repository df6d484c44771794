//! A scene as SVG.

use super::error::ChartError;
use super::font::FAMILY;
use super::palette::Color;
use super::scene::{Anchor, Scene, Shape, Text};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// plotters' coordinates are whole numbers: tenths of a logical pixel are fine enough for print.
const SCALE: f64 = 10.0;

/// plotters divides the font's size by this to get the SVG's.
const EM: f64 = 1.24;

pub(super) fn render(scene: &Scene) -> Result<String, ChartError> {
    let size = |length: f64| (length * SCALE).round() as u32;
    let (width, height) = (size(scene.width), size(scene.height));
    let mut text = String::new();
    let mut svg = SVGBackend::with_string(&mut text, (width, height));
    draw(scene, &mut svg)?;
    drop(svg);
    // Noisy lines have sharp corners, which would grow spikes. (A "<" of a text is escaped and not found here.)
    let text = text.replace("<polyline ", "<polyline stroke-linejoin=\"round\" ");
    // The view box keeps the fine coordinates, the picture gets its logical size.
    Ok(text.replacen(
        &format!("width=\"{width}\" height=\"{height}\""),
        &format!("width=\"{}\" height=\"{}\"", scene.width.round(), scene.height.round()),
        1,
    ))
}

fn draw<B: DrawingBackend>(scene: &Scene, svg: &mut B) -> Result<(), ChartError> {
    svg.draw_rect((0, 0), at(scene.width, scene.height), &rgb(super::palette::WHITE), true)
        .map_err(ChartError::draw)?;
    for shape in &scene.shapes {
        match shape {
            Shape::Polygon { points, color } => svg.fill_polygon(points.iter().map(|&(x, y)| at(x, y)), &rgb(*color)),
            Shape::Path { points, width, color } => {
                let style = rgb(*color).stroke_width((width * SCALE).round() as u32);
                svg.draw_path(points.iter().map(|&(x, y)| at(x, y)), &style)
            }
        }
        .map_err(ChartError::draw)?;
    }
    for text in &scene.texts {
        draw_text(text, svg)?;
    }
    svg.present().map_err(ChartError::draw)
}

fn draw_text<B: DrawingBackend>(text: &Text, svg: &mut B) -> Result<(), ChartError> {
    let horizontal = match text.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let weight = if text.bold { FontStyle::Bold } else { FontStyle::Normal };
    let turn = if text.upwards { FontTransform::Rotate270 } else { FontTransform::None };
    let font = FontDesc::new(FontFamily::Name(FAMILY), text.em * SCALE * EM, weight).transform(turn);
    let color = RGBColor(text.color.0, text.color.1, text.color.2);
    let style = TextStyle::from(font).color(&color).pos(Pos::new(horizontal, VPos::Top));
    // plotters shifts text that is anchored at its top down by 0.76 em; take that back to anchor it at its baseline.
    let lift = 0.76 * text.em;
    let (x, y) = if text.upwards { (text.at.0 - lift, text.at.1) } else { (text.at.0, text.at.1 - lift) };
    svg.draw_text(&text.content, &style, at(x, y)).map_err(ChartError::draw)
}

fn at(x: f64, y: f64) -> (i32, i32) {
    ((x * SCALE).round() as i32, (y * SCALE).round() as i32)
}

fn rgb(color: Color) -> ShapeStyle {
    ShapeStyle::from(RGBColor(color.0, color.1, color.2))
}
