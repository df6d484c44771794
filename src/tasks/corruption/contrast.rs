//! Lower contrast: every channel nearer to its mean.

use super::Picture;

pub(super) fn contrast(picture: &mut Picture, level: usize) {
    const LEFT: [f32; 5] = [0.75, 0.5, 0.4, 0.3, 0.15];
    for plane in &mut picture.planes {
        let mean = plane.iter().sum::<f32>() / plane.len().max(1) as f32;
        for value in plane {
            *value = mean + LEFT[level] * (*value - mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_stays_and_the_rest_comes_nearer() {
        let mut picture = Picture { height: 1, width: 2, planes: vec![vec![0.2, 0.8], vec![0.0, 0.4]] };
        contrast(&mut picture, 1);
        let flat: Vec<f32> = picture.planes.concat();
        for (found, expected) in flat.iter().zip([0.35, 0.65, 0.1, 0.3]) {
            assert!((found - expected).abs() < 1e-6, "{flat:?}");
        }
    }
}
