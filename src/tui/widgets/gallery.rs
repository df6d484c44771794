//! Images drawn with characters: two pixels a cell in colour, a ramp of characters without.

use crate::tasks::Images;
use crate::tui::theme::Theme;
use crate::tui::view_cx::{Charset, Cx};
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

/// Pictures in a grid, each with a caption below.
#[derive(Debug)]
pub struct Gallery<'a> {
    pub images: &'a Images,
    /// Indices of the images to show, in order; as many as fit are drawn.
    pub indices: &'a [usize],
    /// Captions by label.
    pub classes: &'a [String],
    /// Width of a picture in cells; half as many cells high.
    pub size: u16,
}

const RAMP: [&str; 10] = [" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"];

/// How many pictures of width `size` fit beside and above each other.
#[must_use]
pub fn grid(area: Rect, size: u16) -> (u16, u16) {
    ((area.width + 1) / (size + 1), area.height / (size.div_ceil(2) + 1))
}

impl Gallery<'_> {
    /// Draws as many pictures as fit into `area`; gives how many.
    pub fn draw(&self, area: Rect, cx: &mut Cx<'_>) -> usize {
        let area = area.intersection(cx.buf.area);
        let (columns, rows) = grid(area, self.size);
        let tall = self.size.div_ceil(2);
        let mut drawn = 0;
        for (at, &index) in self.indices.iter().take(usize::from(columns * rows)).enumerate() {
            let (column, row) = (at as u16 % columns, at as u16 / columns);
            let place = Rect::new(area.x + column * (self.size + 1), area.y + row * (tall + 1), self.size, tall);
            picture(place, self.images, index, cx);
            let label = self.images.labels.get(index).copied().unwrap_or_default();
            let caption = self.classes.get(usize::from(label)).map_or("?", String::as_str);
            cx.print(place.x, place.bottom(), place.width, caption, cx.theme.dim);
            drawn += 1;
        }
        drawn
    }
}

/// Draws one image over all of `place`, averaging pixels where it has more of them than there is room for.
pub fn picture(place: Rect, images: &Images, index: usize, cx: &mut Cx<'_>) {
    if index >= images.len() || place.is_empty() {
        return;
    }
    let colours = cx.charset != Charset::Ascii && has_colours(cx.theme);
    let pixels = Scaled { images, bytes: images.image(index), columns: place.width, rows: 2 * place.height };
    for y in 0..place.height {
        for x in 0..place.width {
            let (upper, lower) = (pixels.at(x, 2 * y), pixels.at(x, 2 * y + 1));
            let Some(cell) = cx.buf.cell_mut((place.x + x, place.y + y)) else { continue };
            if colours {
                cell.set_symbol("▀").set_style(Style::new().fg(rgb(upper)).bg(rgb(lower)));
            } else {
                let level = u32::midpoint(luminance(upper), luminance(lower)) * RAMP.len() as u32 / 256;
                cell.set_symbol(RAMP[level as usize]).set_style(cx.theme.text);
            }
        }
    }
}

/// Whether a theme has colours at all; without them pixels need a ramp of characters.
fn has_colours(theme: &Theme) -> bool {
    theme.heat.iter().any(|style| style.fg.is_some_and(|colour| colour != Color::Reset))
}

struct Scaled<'a> {
    images: &'a Images,
    bytes: &'a [u8],
    columns: u16,
    rows: u16,
}

impl Scaled<'_> {
    /// Mean colour of the box of pixels that falls onto one half cell.
    fn at(&self, column: u16, row: u16) -> [u8; 3] {
        let Images { height, width, channels, .. } = *self.images;
        let span = |at: u16, of: u16, pixels: usize| {
            let (at, of) = (usize::from(at), usize::from(of));
            let first = (at * pixels / of).min(pixels - 1);
            first..((at + 1) * pixels / of).clamp(first + 1, pixels)
        };
        let (xs, ys) = (span(column, self.columns, width), span(row, self.rows, height));
        let mut sum = [0_u32; 3];
        for y in ys.clone() {
            for x in xs.clone() {
                for (channel, sum) in sum.iter_mut().enumerate() {
                    *sum += u32::from(self.bytes[(y * width + x) * channels + channel.min(channels - 1)]);
                }
            }
        }
        let count = (xs.len() * ys.len()) as u32;
        sum.map(|sum| (sum / count) as u8)
    }
}

fn rgb([r, g, b]: [u8; 3]) -> Color {
    Color::Rgb(r, g, b)
}

fn luminance([r, g, b]: [u8; 3]) -> u32 {
    (299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b)) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::catalog::fixture;
    use crate::tui::testing::{draw, draw_with, mono};

    fn gallery(area: Rect, cx: &mut Cx<'_>) -> usize {
        let classes = vec!["zero".to_owned(), "one\x1b[2J".to_owned()];
        Gallery { images: &fixture::images(9, 2), indices: &[1, 0, 1, 0], classes: &classes, size: 8 }.draw(area, cx)
    }

    #[test]
    fn two_pixels_share_a_cell_in_colour() {
        let shot = draw(20, 5, |area, cx| assert_eq!(gallery(area, cx), 2));
        let cell = &shot.buffer[(5, 0)];
        assert_eq!((cell.symbol(), cell.fg, cell.bg), ("▀", Color::Rgb(245, 245, 245), Color::Rgb(245, 245, 245)));
        assert_eq!(shot.buffer[(0, 0)].fg, Color::Rgb(0, 0, 0));
        assert_eq!(shot.buffer[(14, 0)].fg, Color::Rgb(255, 255, 255));
        assert_eq!(shot.line(4), "one\u{fffd}[2J  zero");
    }

    #[test]
    fn without_colours_brightness_becomes_characters() {
        for charset in [Charset::Ascii, Charset::Box] {
            let shot = draw_with(20, 5, charset, &mono(), |area, cx| _ = gallery(area, cx));
            assert_eq!(shot.line(0), "    @@@@     @@@@");
        }
    }

    #[test]
    fn pictures_shrink_by_averaging_and_nothing_is_drawn_outside() {
        let images = fixture::images(1, 1);
        let shot = draw(3, 1, |_, cx| picture(Rect::new(0, 0, 1, 1), &images, 0, cx));
        assert_eq!(shot.buffer[(0, 0)].fg, Color::Rgb(127, 127, 127));
        assert_eq!(shot.buffer[(1, 0)].symbol(), " ");
        draw(3, 1, |_, cx| picture(Rect::new(0, 0, 9, 9), &images, 0, cx));
        draw(3, 1, |_, cx| picture(Rect::new(0, 0, 1, 1), &images, 7, cx));
    }
}
