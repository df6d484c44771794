//! The built-in font: how wide a text is, and its pixels.

use super::scene::{Anchor, Text};
use crate::text::printable;
use ab_glyph::{Font, FontRef, Glyph, PxScale, PxScaleFont, ScaleFont, point};
use std::sync::LazyLock;

/// What an SVG asks for, with fonts of the same or similar widths where DejaVu is not installed.
pub(super) const FAMILY: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

type Face = Option<FontRef<'static>>;

static REGULAR: LazyLock<Face> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("../../assets/fonts/DejaVuSans.ttf")).ok());
static BOLD: LazyLock<Face> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("../../assets/fonts/DejaVuSans-Bold.ttf")).ok());

fn face(em: f64, bold: bool) -> Option<PxScaleFont<&'static FontRef<'static>>> {
    let font = if bold { BOLD.as_ref() } else { REGULAR.as_ref() }?;
    let height = font.height_unscaled() / font.units_per_em()?;
    Some(font.as_scaled(PxScale::from(em as f32 * height)))
}

/// The glyphs of `text` from the origin, and the width of all.
fn shape(text: &str, em: f64, bold: bool) -> (Vec<Glyph>, f32) {
    let Some(face) = face(em, bold) else { return (Vec::new(), 0.0) };
    let mut glyphs: Vec<Glyph> = Vec::with_capacity(text.len());
    let mut x = 0.0;
    for c in text.chars() {
        let mut glyph = face.scaled_glyph(c);
        if let Some(last) = glyphs.last() {
            x += face.kern(last.id, glyph.id);
        }
        glyph.position = point(x, 0.0);
        x += face.h_advance(glyph.id);
        glyphs.push(glyph);
    }
    (glyphs, x)
}

/// The width of `text` in pixels.
pub(super) fn width(text: &str, em: f64, bold: bool) -> f64 {
    f64::from(shape(text, em, bold).1)
}

/// `text` made safe to show, and cut to `room` pixels with an ellipsis.
pub(super) fn fit(text: &str, em: f64, bold: bool, room: f64) -> String {
    // Noncharacters are not allowed in XML.
    let safe: String =
        printable(text).chars().map(|c| if u32::from(c) & 0xfffe == 0xfffe { '\u{fffd}' } else { c }).collect();
    // No picture has room for more; keeps a hostile name from costing time.
    let mut kept: Vec<char> = safe.chars().take(400).collect();
    if kept.len() == safe.chars().count() && width(&safe, em, bold) <= room {
        return safe;
    }
    loop {
        let candidate: String = kept.iter().collect::<String>().trim_end().to_owned() + "…";
        if kept.pop().is_none() || width(&candidate, em, bold) <= room {
            return candidate;
        }
    }
}

/// Calls `put` with every pixel that `text` covers and how much of it (0 to 1), at `scale` pixels to a logical one.
pub(super) fn draw(text: &Text, scale: f64, mut put: impl FnMut(i32, i32, f32)) {
    let Some(face) = face(text.em * scale, text.bold) else { return };
    let (glyphs, width) = shape(&text.content, text.em * scale, text.bold);
    let back = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => width / 2.0,
        Anchor::End => width,
    };
    let (x, y) = ((text.at.0 * scale) as f32, (text.at.1 * scale) as f32);
    // Lines start on whole pixels, so that equal labels look equal.
    let (start, baseline) = if text.upwards { (-y - back, x.round()) } else { (x - back, y.round()) };
    for mut glyph in glyphs {
        glyph.position.x += start;
        let Some(outline) = face.outline_glyph(glyph) else { continue };
        let (left, top) = (outline.px_bounds().min.x as i32, outline.px_bounds().min.y as i32 + baseline as i32);
        outline.draw(|dx, dy, coverage| {
            let (along, across) = (left + dx as i32, top + dy as i32);
            if text.upwards { put(across, -along, coverage) } else { put(along, across, coverage) }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_symbols_of_the_field_have_glyphs() {
        for font in [&REGULAR, &BOLD] {
            let font = font.as_ref().unwrap();
            for c in "λθτΣΔ−×±·…‖₀aZ09%".chars() {
                assert_ne!(font.glyph_id(c).0, 0, "{c}");
            }
        }
    }

    #[test]
    fn long_texts_are_cut_to_the_room() {
        let long = "a".repeat(100_000);
        let cut = fit(&long, 14.0, false, 100.0);
        assert!(cut.ends_with('…') && width(&cut, 14.0, false) <= 100.0 && cut.len() > 8, "{cut}");
        assert_eq!(fit("mnist", 14.0, false, 100.0), "mnist");
        assert_eq!(fit("a\x1b[2J\u{ffff}", 14.0, false, 100.0), "a\u{fffd}[2J\u{fffd}");
    }

    #[test]
    fn upwards_text_covers_the_turned_pixels() {
        let pixels = |upwards| {
            let mut seen = Vec::new();
            draw(&Text { upwards, ..Text::new("Fλ", (0.0, 0.0), 20.0) }, 1.0, |x, y, coverage| {
                if coverage > 0.5 {
                    seen.push((x, y));
                }
            });
            seen.sort_unstable();
            seen
        };
        let mut turned: Vec<_> = pixels(false).into_iter().map(|(x, y)| (y, -x)).collect();
        turned.sort_unstable();
        assert!(turned.len() > 30);
        assert_eq!(pixels(true), turned);
    }
}
