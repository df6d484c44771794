//! A scene as pixels.

use super::error::ChartError;
use super::font;
use super::palette::{self, Color};
use super::scene::{Point, Scene, Shape};
use plotters::prelude::*;

/// Pixels of the picture per logical one: sharp in print and on dense screens.
pub(super) const DENSITY: usize = 2;

/// Samples per pixel and direction for shapes, whose edges plotters does not smooth.
const SAMPLES: usize = 2;

/// Rows of RGB bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pixels {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<u8>,
}

pub(super) fn render(scene: &Scene) -> Result<Pixels, ChartError> {
    let length = |logical: f64| logical.round().clamp(1.0, 10_000.0) as usize * DENSITY;
    let (width, height) = (length(scene.width), length(scene.height));
    let (fine_width, fine_height) = (width * SAMPLES, height * SAMPLES);
    // White.
    let mut fine = vec![255; 3 * fine_width * fine_height];
    let mut bitmap = BitMapBackend::with_buffer(&mut fine, (fine_width as u32, fine_height as u32));
    draw_shapes(scene, &mut bitmap)?;
    drop(bitmap);
    let mut pixels = Pixels { width, height, rgb: shrink(&fine, width, height) };
    for text in &scene.texts {
        font::draw(text, DENSITY as f64, |x, y, coverage| pixels.blend(x, y, text.color, coverage));
    }
    Ok(pixels)
}

fn draw_shapes<B: DrawingBackend>(scene: &Scene, bitmap: &mut B) -> Result<(), ChartError> {
    let scale = (DENSITY * SAMPLES) as f64;
    let mut fill = |points: &[Point], color: Color| {
        let points = points.iter().map(|&(x, y)| ((x * scale).round() as i32, (y * scale).round() as i32));
        let style = ShapeStyle::from(RGBColor(color.0, color.1, color.2)).filled();
        bitmap.fill_polygon(points, &style).map_err(ChartError::draw)
    };
    for shape in &scene.shapes {
        match shape {
            Shape::Polygon { points, color } => fill(points, *color)?,
            Shape::Path { points, width, color } => {
                for polygon in outline(points, *width) {
                    fill(&polygon, *color)?;
                }
            }
        }
    }
    bitmap.present().map_err(ChartError::draw)
}

/// A line with round joints as polygons: plotters' own joints grow spikes at the corners of noisy lines.
fn outline(points: &[Point], width: f64) -> Vec<Vec<Point>> {
    let half = width / 2.0;
    let segments = points.windows(2).filter_map(|pair| {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let (dx, dy) = (half * (y1 - y0) / length, half * (x0 - x1) / length);
        (length > 0.0).then(|| vec![(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)])
    });
    let inner = points.get(1..points.len().saturating_sub(1)).unwrap_or_default();
    let joints = inner.iter().filter(|_| width > 1.0).map(|&joint| palette::disc(joint, half));
    segments.chain(joints).collect()
}

/// Averages blocks of `SAMPLES` × `SAMPLES`.
fn shrink(fine: &[u8], width: usize, height: usize) -> Vec<u8> {
    let stride = 3 * width * SAMPLES;
    let mut rgb = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let corner = y * SAMPLES * stride + 3 * x * SAMPLES + channel;
                let sum: u32 = (0..SAMPLES * SAMPLES)
                    .map(|sample| u32::from(fine[corner + sample / SAMPLES * stride + 3 * (sample % SAMPLES)]))
                    .sum();
                rgb.push((sum / (SAMPLES * SAMPLES) as u32) as u8);
            }
        }
    }
    rgb
}

impl Pixels {
    fn blend(&mut self, x: i32, y: i32, color: Color, coverage: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= self.width || y >= self.height {
            return;
        }
        let start = 3 * (y * self.width + x);
        for (under, over) in self.rgb[start..start + 3].iter_mut().zip([color.0, color.1, color.2]) {
            let mixed = f32::from(*under) + coverage.clamp(0.0, 1.0) * (f32::from(over) - f32::from(*under));
            *under = mixed.round() as u8;
        }
    }
}
