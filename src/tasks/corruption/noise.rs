//! Noise pixel by pixel.

use super::Picture;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use std::f64::consts::TAU;

/// In (0, 1]: its logarithm is finite.
pub(super) fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (f64::from(random.next_u32()) + 1.0) / 4_294_967_296.0
}

/// Standard normal (Box and Muller).
pub(super) fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (radius, angle) = ((-2.0 * uniform(random).ln()).sqrt(), TAU * uniform(random));
    radius * angle.cos()
}

/// As from a sensor in poor light: the same spread everywhere.
pub(super) fn gaussian(picture: &mut Picture, level: usize, random: &mut ChaCha8Rng) {
    const SPREAD: [f64; 5] = [0.04, 0.06, 0.08, 0.09, 0.10];
    picture.each(|value| *value += (SPREAD[level] * normal(random)) as f32);
}

/// Salt and pepper: some values become black or white.
pub(super) fn impulse(picture: &mut Picture, level: usize, random: &mut ChaCha8Rng) {
    const SHARE: [f64; 5] = [0.01, 0.02, 0.03, 0.05, 0.07];
    picture.each(|value| {
        let drawn = uniform(random);
        if drawn < SHARE[level] {
            *value = if drawn < SHARE[level] / 2.0 { 0.0 } else { 1.0 };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::seeded;

    fn gray() -> Picture {
        Picture { height: 100, width: 100, planes: vec![vec![0.5; 10_000]] }
    }

    #[test]
    fn noise_has_its_spread() {
        let mut picture = gray();
        gaussian(&mut picture, 4, &mut seeded::stream("test", 1, &[]));
        let plane = &picture.planes[0];
        let mean = plane.iter().sum::<f32>() / 1e4;
        let spread = (plane.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 1e4).sqrt();
        assert!((mean - 0.5).abs() < 0.004 && (spread - 0.10).abs() < 0.004, "{mean} {spread}");
    }

    #[test]
    fn impulses_are_as_many_as_they_should_be() {
        let mut picture = gray();
        impulse(&mut picture, 4, &mut seeded::stream("test", 1, &[]));
        let count = |wanted: f32| picture.planes[0].iter().filter(|x| x.to_bits() == wanted.to_bits()).count();
        assert!((250..450).contains(&count(0.0)) && (250..450).contains(&count(1.0)), "{} {}", count(0.0), count(1.0));
        assert_eq!(count(0.0) + count(1.0) + count(0.5), 10_000);
    }
}
