//! What JPEG loses: 8 × 8 blocks of cosines, rounded to multiples of the standard's tables (ITU-T T.81, annex K). Colours
//! are kept at full resolution; nothing is written to a file, for entropy coding loses nothing.

use super::Picture;
use std::f64::consts::PI;

const SIDE: usize = 8;
type Block = [f64; SIDE * SIDE];

/// Steps for brightness at quality 50, row by row.
const LUMINANCE: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];
/// Steps for colours.
const CHROMINANCE: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99,
];

pub(super) fn compress(picture: &mut Picture, level: usize) {
    const QUALITY: [f64; 5] = [80.0, 65.0, 58.0, 50.0, 40.0];
    let cosines = cosines();
    let (height, width) = (picture.height, picture.width);
    let lose = |plane: &mut [f32], table: &[u8; 64]| {
        round(plane, (height, width), &steps(table, QUALITY[level]), &cosines);
    };
    if let [red, green, blue] = &mut picture.planes[..] {
        for ((red, green), blue) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
            [*red, *green, *blue] = to_ycc([*red, *green, *blue]);
        }
        lose(red, &LUMINANCE);
        lose(green, &CHROMINANCE);
        lose(blue, &CHROMINANCE);
        for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
            [*red, *green, *blue] = to_rgb([*red, *green, *blue]);
        }
    } else {
        picture.planes.iter_mut().for_each(|plane| lose(plane, &LUMINANCE));
    }
}

/// The table at a quality, as the Independent JPEG Group scales it.
fn steps(table: &[u8; 64], quality: f64) -> Block {
    let scale = if quality < 50.0 { 5000.0 / quality } else { 200.0 - 2.0 * quality };
    table.map(|step| ((f64::from(step) * scale + 50.0) / 100.0).floor().clamp(1.0, 255.0))
}

fn to_ycc([r, g, b]: [f32; 3]) -> [f32; 3] {
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [y, (b - y) / 1.772 + 0.5, (r - y) / 1.402 + 0.5]
}

fn to_rgb([y, cb, cr]: [f32; 3]) -> [f32; 3] {
    let (r, b) = (y + 1.402 * (cr - 0.5), y + 1.772 * (cb - 0.5));
    [r, (y - 0.299 * r - 0.114 * b) / 0.587, b]
}

/// The orthonormal cosine transform's matrix: frequency by place.
fn cosines() -> Block {
    std::array::from_fn(|at| {
        let (frequency, place) = ((at / SIDE) as f64, (at % SIDE) as f64);
        let scale = if at < SIDE { (1.0 / SIDE as f64).sqrt() } else { (2.0 / SIDE as f64).sqrt() };
        scale * ((2.0 * place + 1.0) * frequency * PI / (2.0 * SIDE as f64)).cos()
    })
}

/// m · block · mᵀ, or mᵀ · block · m.
fn turned(block: &Block, m: &Block, back: bool) -> Block {
    let entry = |i: usize, j: usize| if back { m[j * SIDE + i] } else { m[i * SIDE + j] };
    let product = |left: &dyn Fn(usize, usize) -> f64, right: &dyn Fn(usize, usize) -> f64| -> Block {
        std::array::from_fn(|at| (0..SIDE).map(|k| left(at / SIDE, k) * right(k, at % SIDE)).sum())
    };
    let half = product(&entry, &|i, j| block[i * SIDE + j]);
    product(&|i, j| half[i * SIDE + j], &|i, j| entry(j, i))
}

/// Rounds a plane's cosines to multiples of the steps. Blocks that reach over the edge are filled with its last values.
fn round(plane: &mut [f32], (height, width): (usize, usize), steps: &Block, cosines: &Block) {
    for top in (0..height).step_by(SIDE) {
        for left in (0..width).step_by(SIDE) {
            let place = |at: usize| ((top + at / SIDE).min(height - 1), (left + at % SIDE).min(width - 1));
            let block: Block = std::array::from_fn(|at| {
                let (row, column) = place(at);
                f64::from(plane[row * width + column]) * 255.0 - 128.0
            });
            let mut waves = turned(&block, cosines, false);
            waves.iter_mut().zip(steps).for_each(|(wave, step)| *wave = (*wave / step).round() * step);
            let block = turned(&waves, cosines, true);
            for (at, value) in block.iter().enumerate() {
                let (row, column) = (top + at / SIDE, left + at % SIDE);
                if row < height && column < width {
                    plane[row * width + column] = ((value + 128.0) / 255.0) as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_go_there_and_back() {
        let block: Block = std::array::from_fn(|at| (at as f64 * 0.7).sin() * 100.0);
        let back = turned(&turned(&block, &cosines(), false), &cosines(), true);
        assert!(block.iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-9));
        let colour = [0.2, 0.7, 0.4];
        assert!(to_rgb(to_ycc(colour)).iter().zip(colour).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn steps_are_the_standards() {
        assert_eq!(steps(&LUMINANCE, 50.0)[..4], [16.0, 11.0, 10.0, 16.0]);
        assert_eq!(steps(&LUMINANCE, 80.0)[..3], [6.0, 4.0, 4.0]);
        assert_eq!(steps(&CHROMINANCE, 40.0)[..2], [21.0, 23.0]);
    }

    #[test]
    fn an_even_block_keeps_its_value_to_a_step() {
        let mut picture = Picture { height: 11, width: 9, planes: vec![vec![0.37; 99]] };
        compress(&mut picture, 4);
        // A step of 20 at quality 40, of a sum over 8: within 1.25 of 255.
        assert!(picture.planes[0].iter().all(|x| (x - 0.37).abs() < 1.3 / 255.0), "{:?}", picture.planes[0][0]);
    }
}
