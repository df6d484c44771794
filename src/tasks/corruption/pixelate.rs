//! Fewer, larger pixels: made smaller and larger again, by means over areas.

use super::Picture;

pub(super) fn pixelate(picture: &mut Picture, level: usize) {
    const SHARE: [f64; 5] = [0.95, 0.9, 0.85, 0.75, 0.65];
    let smaller = |length: usize| ((length as f64 * SHARE[level]) as usize).max(1);
    let (height, width) = (picture.height, picture.width);
    let (low, narrow) = (smaller(height), smaller(width));
    for plane in &mut picture.planes {
        let small = resized(plane, (height, width), (low, narrow));
        *plane = resized(&small, (low, narrow), (height, width));
    }
}

/// Every new pixel is the mean of the area that it covers.
fn resized(plane: &[f32], (height, width): (usize, usize), (rows, columns): (usize, usize)) -> Vec<f32> {
    let (down, across) = (shares(height, rows), shares(width, columns));
    let mut out = Vec::with_capacity(rows * columns);
    for row in &down {
        for column in &across {
            let line = |&(y, weight): &(usize, f64)| {
                weight * column.iter().map(|&(x, weight)| weight * f64::from(plane[y * width + x])).sum::<f64>()
            };
            out.push(row.iter().map(line).sum::<f64>() as f32);
        }
    }
    out
}

/// For each of `to` cells, which of `from` cells it covers, and what share of it they are.
fn shares(from: usize, to: usize) -> Vec<Vec<(usize, f64)>> {
    let step = from as f64 / to as f64;
    let of = |cell: usize| {
        let (start, end) = (cell as f64 * step, (cell + 1) as f64 * step);
        let last = (end.ceil() as usize).min(from);
        let share = |at: usize| (end.min((at + 1) as f64) - start.max(at as f64)) / step;
        (start as usize..last).map(|at| (at, share(at))).filter(|(_, share)| *share > 1e-9).collect()
    };
    (0..to).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_covered_once() {
        for (from, to) in [(28, 18), (18, 28), (5, 5), (3, 1), (1, 4)] {
            let shares = shares(from, to);
            assert!(shares.iter().all(|cell| (cell.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9));
        }
        assert_eq!(resized(&[0.0, 1.0, 2.0, 3.0], (2, 2), (1, 1)), [1.5]);
        assert_eq!(resized(&[1.0, 2.0], (1, 2), (1, 4)), [1.0, 1.0, 2.0, 2.0]);
    }
}
