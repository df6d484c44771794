//! Images to model input.

use super::Images;
use thiserror::Error;

/// What a model wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputShape {
    pub channels: usize,
    /// Height and width, in pixels.
    pub side: usize,
}

/// Images that a model cannot look at.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("images of {height}×{width} with {got} channels do not fit a model for {side}×{side} with {channels}")]
pub struct PreprocessError {
    height: usize,
    width: usize,
    got: usize,
    side: usize,
    channels: usize,
}

/// The images at `indices` as `[n, channels, side, side]`, x/127.5 − 1, gray repeated over the channels.
///
/// # Errors
/// Images of another size, colour images for a model with other channels.
pub fn pixels(images: &Images, indices: &[usize], input: InputShape) -> Result<Vec<f32>, PreprocessError> {
    let &Images { height, width, channels, .. } = images;
    if (height, width) != (input.side, input.side) || (channels != 1 && channels != input.channels) {
        let InputShape { channels: wanted, side } = input;
        return Err(PreprocessError { height, width, got: channels, side, channels: wanted });
    }
    let table: [f32; 256] = std::array::from_fn(|byte| byte as f32 / 127.5 - 1.0);
    let plane = height * width;
    let mut out = Vec::with_capacity(indices.len() * input.channels * plane);
    for &at in indices {
        let image = images.image(at);
        for channel in 0..input.channels {
            let first = channel.min(channels - 1);
            out.extend(image[first..].iter().step_by(channels).map(|&byte| table[usize::from(byte)]));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: InputShape = InputShape { channels: 3, side: 2 };

    #[test]
    fn gray_is_repeated_and_colour_is_split_into_planes() {
        let gray =
            Images { height: 2, width: 2, channels: 1, pixels: vec![9, 9, 9, 9, 0, 255, 51, 102], labels: vec![0, 1] };
        let plane = [-1.0, 1.0, -0.6, -0.2];
        let got = pixels(&gray, &[1], INPUT).unwrap();
        assert!(got.iter().zip(plane.iter().cycle()).all(|(a, b)| (a - b).abs() < 1e-6) && got.len() == 12);
        let colour = Images { height: 2, width: 2, channels: 3, pixels: (0..12).collect(), labels: vec![0] };
        let got: Vec<u8> =
            pixels(&colour, &[0], INPUT).unwrap().iter().map(|x| ((x + 1.0) * 127.5).round() as u8).collect();
        assert_eq!(got, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
    }

    #[test]
    fn a_wrong_size_is_an_error() {
        let images = Images { height: 3, width: 2, channels: 1, pixels: vec![0; 6], labels: vec![0] };
        assert!(pixels(&images, &[0], INPUT).unwrap_err().to_string().contains("3×2"));
    }
}
