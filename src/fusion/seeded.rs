//! Random numbers that depend on what they are for and on nothing else: not on threads, chunks, machines or what was drawn
//! before.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// The key of the random numbers for one purpose, such as `mask`: of a person's seed and of what tells one stream of that
/// purpose from the others, such as an expert's slot and a tensor's name.
pub(crate) fn key(purpose: &str, seed: u64, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(format!("fusebench {purpose}\0"));
    hash.update(seed.to_le_bytes());
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// The stream of that key; see [`key`].
pub(crate) fn stream(purpose: &str, seed: u64, parts: &[&[u8]]) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(key(purpose, seed, parts))
}

/// A standard normal number (Box–Muller).
pub(crate) fn normal(stream: &mut ChaCha8Rng) -> f32 {
    let mut uniform = || (f64::from(stream.next_u32()) + 0.5) / 4_294_967_296.0;
    let (radius, angle) = ((-2.0 * uniform().ln()).sqrt(), std::f64::consts::TAU * uniform());
    (radius * angle.cos()) as f32
}
