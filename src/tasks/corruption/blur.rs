//! Blurs: of a moving camera, and the plain one that other corruptions are made with.

use super::Picture;
use super::noise::uniform;
use rand_chacha::ChaCha8Rng;

/// A camera that moved along a line, at an angle of up to 45° to the horizontal: each pixel is a weighted mean of those behind
/// it, as many as the radius says.
pub(super) fn motion(picture: &mut Picture, level: usize, random: &mut ChaCha8Rng) {
    const RADIUS: [usize; 5] = [6, 6, 6, 8, 9];
    const SPREAD: [f64; 5] = [1.0, 1.5, 2.0, 2.0, 2.5];
    let angle = (2.0 * uniform(random) - 1.0) * std::f64::consts::FRAC_PI_4;
    let weights = bell(RADIUS[level], SPREAD[level]);
    let total: f64 = weights.iter().sum();
    let steps: Vec<(isize, isize, f32)> = weights
        .iter()
        .enumerate()
        .map(|(at, weight)| {
            let along = at as f64;
            let (down, right) = ((along * angle.sin()).round() as isize, (along * angle.cos()).round() as isize);
            (down, right, (weight / total) as f32)
        })
        .collect();
    let (height, width) = (picture.height as isize, picture.width as isize);
    for plane in &mut picture.planes {
        let before = plane.clone();
        for (at, value) in plane.iter_mut().enumerate() {
            let (row, column) = (at as isize / width, at as isize % width);
            let seen = |down: isize, right: isize| {
                // What lies outside is as the edge.
                let (row, column) = ((row + down).clamp(0, height - 1), (column + right).clamp(0, width - 1));
                before[(row * width + column) as usize]
            };
            *value = steps.iter().map(|&(down, right, weight)| weight * seen(down, right)).sum();
        }
    }
}

/// e^(−x²/2σ²) for x from 0 to the radius.
fn bell(radius: usize, spread: f64) -> Vec<f64> {
    (0..=radius).map(|at| (-(at as f64).powi(2) / (2.0 * spread * spread)).exp()).collect()
}

/// A Gaussian blur of one plane, edges mirrored; nothing happens where the spread is zero.
pub(super) fn gaussian(plane: &mut [f32], height: usize, width: usize, spread: f64) {
    if spread <= 0.0 {
        return;
    }
    let half = bell((4.0 * spread).ceil() as usize, spread);
    let total = 2.0 * half.iter().sum::<f64>() - half[0];
    let mirrored = |at: isize, length: usize| {
        let length = length as isize;
        let at = if at < 0 { -at - 1 } else { at };
        (if at >= length { 2 * length - 1 - at } else { at }).clamp(0, length - 1) as usize
    };
    for (lines, length, line, step) in [(height, width, width, 1), (width, height, 1, width)] {
        for start in (0..lines).map(|at| at * line) {
            let before: Vec<f64> = (0..length).map(|at| f64::from(plane[start + at * step])).collect();
            for at in 0..length {
                let side = |by: isize| before[mirrored(at as isize + by, length)];
                let sum = |(by, weight): (usize, &f64)| match by as isize {
                    0 => weight * side(0),
                    by => weight * (side(-by) + side(by)),
                };
                plane[start + at * step] = (half.iter().enumerate().map(sum).sum::<f64>() / total) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::seeded;

    #[test]
    fn what_is_even_stays_even_and_a_point_is_spread() {
        let mut even = vec![0.4f32; 15 * 9];
        gaussian(&mut even, 9, 15, 1.3);
        assert!(even.iter().all(|x| (x - 0.4).abs() < 1e-6));
        let mut point = vec![0.0f32; 21 * 21];
        point[10 * 21 + 10] = 1.0;
        gaussian(&mut point, 21, 21, 1.0);
        assert!((point.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(
            (point[10 * 21 + 10] - 0.1592).abs() < 1e-3 && (point[10 * 21 + 11] - point[11 * 21 + 10]).abs() < 1e-7
        );
    }

    #[test]
    fn motion_keeps_what_is_even() {
        let mut picture = Picture { height: 6, width: 8, planes: vec![vec![0.3; 48]; 3] };
        motion(&mut picture, 4, &mut seeded::stream("test", 0, &[]));
        assert!(picture.planes.iter().flatten().all(|x| (x - 0.3).abs() < 1e-6));
    }
}
