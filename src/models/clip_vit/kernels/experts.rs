//! The loops that put an image's own weights together, and tell what each expert had to do with a slope.

use super::{LANES, madd};

/// Elements that are looked at for all images before the next: of so many, those of all experts stay in the first cache.
const CHUNK: usize = 512;
/// Elements that stay in registers while all experts are added.
const BLOCK: usize = 4 * LANES;

vectorised! {
    /// For every image, `plain + Σ share · change`: `shares` are `[images, changes]`, `out` is `[images, size]`.
    pub(in crate::models::clip_vit) fn assemble(plain: &[f32], changes: &[&[f32]], shares: &[f32], out: &mut [f32])
        = assemble_body
}

#[inline(always)]
fn assemble_body<const FMA: bool>(plain: &[f32], changes: &[&[f32]], shares: &[f32], out: &mut [f32]) {
    let size = plain.len();
    for start in (0..size).step_by(CHUNK) {
        let at = start..(start + CHUNK).min(size);
        for (out, shares) in out.chunks_exact_mut(size).zip(shares.chunks_exact(changes.len())) {
            let (blocks, rest) = out[at.clone()].as_chunks_mut::<BLOCK>();
            for (block, out) in blocks.iter_mut().enumerate() {
                let here = start + block * BLOCK..start + (block + 1) * BLOCK;
                out.copy_from_slice(&plain[here.clone()]);
                let mut sums = *out;
                for (change, &share) in changes.iter().zip(shares) {
                    let change = &change[here.clone()];
                    for lane in 0..BLOCK {
                        sums[lane] = madd::<FMA>(share, change[lane], sums[lane]);
                    }
                }
                *out = sums;
            }
            let here = at.end - rest.len()..at.end;
            rest.copy_from_slice(&plain[here.clone()]);
            for (change, &share) in changes.iter().zip(shares) {
                for (out, change) in rest.iter_mut().zip(&change[here.clone()]) {
                    *out = madd::<FMA>(share, *change, *out);
                }
            }
        }
    }
}

vectorised! {
    /// Adds the inner product of every image's slope, `[images, size]`, with every change to `found`, `[images, changes]`.
    pub(in crate::models::clip_vit) fn inner_products(changes: &[&[f32]], slopes: &[f32], found: &mut [f32])
        = inner_products_body
}

#[inline(always)]
fn inner_products_body<const FMA: bool>(changes: &[&[f32]], slopes: &[f32], found: &mut [f32]) {
    let size = changes.first().map_or(0, |change| change.len());
    for start in (0..size).step_by(CHUNK) {
        let at = start..(start + CHUNK).min(size);
        for (slope, found) in slopes.chunks_exact(size).zip(found.chunks_exact_mut(changes.len())) {
            let slope = &slope[at.clone()];
            for (change, found) in changes.iter().zip(found) {
                *found += dot::<FMA>(slope, &change[at.clone()]);
            }
        }
    }
}

vectorised! {
    /// `found[row] += left[row] · right[row]`, for rows as long as the slices say.
    pub(in crate::models::clip_vit) fn row_products(left: &[f32], right: &[f32], found: &mut [f32]) = row_products_body
}

#[inline(always)]
fn row_products_body<const FMA: bool>(left: &[f32], right: &[f32], found: &mut [f32]) {
    let width = left.len() / found.len().max(1);
    for ((left, right), found) in left.chunks_exact(width).zip(right.chunks_exact(width)).zip(found) {
        *found += dot::<FMA>(left, right);
    }
}

/// In lanes by index: iterators over all of them at once are taken apart into single numbers.
#[inline(always)]
fn dot<const FMA: bool>(left: &[f32], right: &[f32]) -> f32 {
    const REGISTERS: usize = 4;
    let mut sums = [[0.0f32; LANES]; REGISTERS];
    let (left, left_rest) = left.as_chunks::<{ REGISTERS * LANES }>();
    let (right, right_rest) = right.as_chunks::<{ REGISTERS * LANES }>();
    for (left, right) in left.iter().zip(right) {
        for register in 0..REGISTERS {
            for lane in 0..LANES {
                let at = register * LANES + lane;
                sums[register][lane] = madd::<FMA>(left[at], right[at], sums[register][lane]);
            }
        }
    }
    let rest = left_rest.iter().zip(right_rest).fold(0.0, |sum, (left, right)| madd::<FMA>(*left, *right, sum));
    rest + sums.iter().flatten().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_put_together_and_taken_apart_image_by_image() {
        // More than a chunk, and no multiple of the lanes.
        let size = CHUNK + 37;
        let wave = |by: f32| (0..size).map(|at| (at as f32 * by).sin()).collect::<Vec<f32>>();
        let (plain, one, two) = (wave(0.3), wave(0.7), wave(1.1));
        let changes = [&one[..], &two[..]];
        let shares = [0.5, -2.0, 0.0, 3.0];
        let mut own = vec![0.0; 2 * size];
        assemble(&plain, &changes, &shares, &mut own);
        for at in 0..size {
            assert!((own[at] - (plain[at] + 0.5 * one[at] - 2.0 * two[at])).abs() < 1e-5);
            assert!((own[size + at] - (plain[at] + 3.0 * two[at])).abs() < 1e-5);
        }
        let mut found = [1.0; 4];
        inner_products(&changes, &own, &mut found);
        let mut rows = [1.0; 2];
        row_products(&own, &[&one[..], &two[..]].concat(), &mut rows);
        let want = |image: usize, change: &[f32]| {
            own[image * size..].iter().zip(change).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32 + 1.0
        };
        for (found, want) in [
            (found[0], want(0, &one)),
            (found[1], want(0, &two)),
            (found[2], want(1, &one)),
            (found[3], want(1, &two)),
            (rows[0], want(0, &one)),
            (rows[1], want(1, &two)),
        ] {
            assert!((found - want).abs() < 1e-3 * want.abs().max(1.0), "{found} {want}");
        }
    }
}
