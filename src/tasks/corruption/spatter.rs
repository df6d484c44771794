//! Drops of water (severities 1 to 3) and of mud (4 and 5) on the lens.
//!
//! The drops are where blurred noise is above a threshold, as in the original; of its water, the highlights along the edges
//! of drops, which are smaller than a pixel here, are left out.

use super::Picture;
use super::blur::gaussian;
use super::noise::normal;
use rand_chacha::ChaCha8Rng;

/// Of one severity: the noise's mean, spread and blur, the threshold, and how the drops are blurred or how dense they are.
struct Drops {
    mean: f64,
    spread: f64,
    blur: f64,
    threshold: f32,
    last: f64,
    mud: bool,
}

const DROPS: [Drops; 5] = [
    Drops { mean: 0.62, spread: 0.1, blur: 0.7, threshold: 0.7, last: 0.5, mud: false },
    Drops { mean: 0.65, spread: 0.1, blur: 0.8, threshold: 0.7, last: 0.5, mud: false },
    Drops { mean: 0.65, spread: 0.3, blur: 1.0, threshold: 0.69, last: 0.5, mud: false },
    Drops { mean: 0.65, spread: 0.1, blur: 0.7, threshold: 0.69, last: 0.6, mud: true },
    Drops { mean: 0.65, spread: 0.1, blur: 0.5, threshold: 0.68, last: 0.6, mud: true },
];

/// Pale turquoise, and brown.
const WATER: [f32; 3] = [175.0 / 255.0, 238.0 / 255.0, 238.0 / 255.0];
const MUD: [f32; 3] = [63.0 / 255.0, 42.0 / 255.0, 20.0 / 255.0];

pub(super) fn spatter(picture: &mut Picture, level: usize, random: &mut ChaCha8Rng) {
    let Drops { mean, spread, blur, threshold, last, mud } = DROPS[level];
    let (height, width) = (picture.height, picture.width);
    let mut liquid: Vec<f32> = (0..height * width).map(|_| (mean + spread * normal(random)) as f32).collect();
    gaussian(&mut liquid, height, width, blur);
    let mut drops: Vec<f32> = liquid.iter().map(|&x| if x > threshold { 1.0 } else { 0.0 }).collect();
    if mud {
        gaussian(&mut drops, height, width, last);
        drops.iter_mut().filter(|drop| **drop < 0.8).for_each(|drop| *drop = 0.0);
    } else {
        // As dense as they are deep.
        let deepest = liquid.iter().copied().fold(threshold, f32::max) - threshold;
        for (drop, depth) in drops.iter_mut().zip(&liquid) {
            *drop *= last as f32 * ((depth - threshold) / deepest.max(f32::EPSILON)).clamp(0.0, 1.0);
        }
        gaussian(&mut drops, height, width, 0.5);
    }
    let colour = if mud { MUD } else { WATER };
    let gray = colour.iter().sum::<f32>() / 3.0;
    let single = picture.planes.len() == 1;
    for (channel, plane) in picture.planes.iter_mut().enumerate() {
        let colour = if single { gray } else { colour[channel.min(2)] };
        for (value, drop) in plane.iter_mut().zip(&drops) {
            // Water lets light through, mud does not.
            *value = if mud { *value * (1.0 - drop) + colour * drop } else { *value + colour * drop };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::seeded;

    #[test]
    fn water_only_adds_light_and_mud_is_brown() {
        let black = Picture { height: 40, width: 40, planes: vec![vec![0.0; 1600]; 3] };
        for level in 0..5 {
            let mut picture = black.clone();
            spatter(&mut picture, level, &mut seeded::stream("test", 3, &[]));
            let sum = |channel: usize| picture.planes[channel].iter().sum::<f32>();
            assert!(sum(0) > 0.0 && picture.planes.iter().flatten().all(|x| *x >= 0.0), "{level}");
            assert!(if level < 3 { sum(0) < sum(2) } else { sum(0) > 2.0 * sum(2) }, "{level}");
        }
    }
}
