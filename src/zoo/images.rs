//! A data set's file: gzipped safetensors of `images` (u8, `[n, height, width, channels]`) and `labels` (u8, `[n]`);
//! gray ones may come with `colours` (u8, `[2, 3]`), which are those of black and white.

use super::ZooError;
use super::files::Files;
use crate::tasks::Images;
use crate::weights::{Checkpoint, DType, Source};
use flate2::read::GzDecoder;
use std::io::Read;

/// More than any split of the zoo holds; a damaged length must not take all memory.
const LIMIT: u64 = 1 << 30;

/// Decompresses and checks a split of `count` images with labels below `classes`.
pub(super) fn read(files: &Files, name: &str, count: usize, classes: usize) -> Result<Images, ZooError> {
    let damaged = |reason: String| ZooError::Damaged { file: name.to_owned(), reason };
    let packed = files.get(name)?;
    let mut bytes = Vec::new();
    GzDecoder::new(packed.bytes())
        .take(LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|error| damaged(format!("it does not decompress: {error}")))?;
    let file = Checkpoint::from_source(files.label(name), Source::Owned(bytes.into()))?;
    let (images, labels) = (file.require("images")?, file.require("labels")?);
    if images.info.dtype != DType::U8 || labels.info.dtype != DType::U8 {
        return Err(damaged("images and labels must be bytes".to_owned()));
    }
    let &[n, height, width, channels] = &images.info.shape[..] else {
        return Err(damaged(format!("images have shape {:?}, not [n, height, width, channels]", images.info.shape)));
    };
    if n != count || labels.info.shape != [n] {
        let (images, labels) = (n, &labels.info.shape);
        return Err(damaged(format!("it holds {images} images and labels {labels:?}, the task says {count}")));
    }
    let labels: Vec<u16> = labels.raw().iter().map(|&label| u16::from(label)).collect();
    if let Some(at) = labels.iter().position(|&label| usize::from(label) >= classes) {
        return Err(damaged(format!("image {at} has label {}, but there are {classes} classes", labels[at])));
    }
    let mut pixels = images.raw().to_vec();
    if file.metadata().get("filter").is_some_and(|filter| filter == "left") {
        undo_left(&mut pixels, width, channels);
    }
    let mut channels = channels;
    if let Some(colours) = file.get("colours") {
        let (&[black, white], 1) = (colours.raw().as_chunks::<3>().0, channels) else {
            return Err(damaged("colours are two of three bytes, of gray images".to_owned()));
        };
        (pixels, channels) = (coloured(&pixels, black, white), 3);
    }
    Ok(Images { height, width, channels, pixels, labels })
}

/// Undoes the differences to the pixel on the left that the file was written with.
fn undo_left(pixels: &mut [u8], width: usize, channels: usize) {
    for row in pixels.chunks_exact_mut(width * channels) {
        for at in channels..row.len() {
            row[at] = row[at].wrapping_add(row[at - channels]);
        }
    }
}

/// Gray values as points between two colours, rounded to bytes.
fn coloured(gray: &[u8], black: [u8; 3], white: [u8; 3]) -> Vec<u8> {
    let between = |gray: u8, channel: usize| {
        let (black, white) = (f32::from(black[channel]), f32::from(white[channel]));
        (black + (white - black) * (f32::from(gray) / 255.0)).round() as u8
    };
    gray.iter().flat_map(|&gray| (0..3).map(move |channel| between(gray, channel))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn black_and_white_become_colours_and_gray_what_is_between() {
        let pixels = coloured(&[0, 255, 51], [200, 0, 10], [100, 255, 10]);
        assert_eq!(pixels, [200, 0, 10, 100, 255, 10, 180, 51, 10]);
    }

    #[test]
    fn differences_are_summed_up_again_per_channel() {
        let mut pixels = vec![10, 200, 5, 100, 250, 1, 7, 7, 1, 1, 1, 1];
        undo_left(&mut pixels, 3, 2);
        assert_eq!(pixels, [10, 200, 15, 44, 9, 45, 7, 7, 8, 8, 9, 9]);
    }
}
