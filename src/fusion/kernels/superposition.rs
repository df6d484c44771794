//! Random signs and places under which task vectors are added up, made again from their seed.

use super::order::order;
use super::wide::wide;
use crate::fusion::pool::split_layer;
use crate::fusion::seeded;
use crate::weights::TensorInfo;
use rand_chacha::rand_core::RngCore;
use std::collections::BTreeMap;
use std::ops::Range;

/// Where an expert's tensors go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) enum Shuffle {
    /// To their own layer.
    Keep,
    /// As many layers on, in a circle, as the expert's slot.
    Shift,
    /// To a random layer.
    Random,
}

/// A sign for each element of the last dimension, independent for every seed, expert's slot and tensor name: not, as in
/// FusionBench, of a hash that is another one in every process.
pub(in crate::fusion) fn signs(seed: u64, expert: usize, info: &TensorInfo) -> Vec<f32> {
    let mut stream = seeded::stream("signs", seed, &[&(expert as u64).to_le_bytes(), info.name.as_bytes()]);
    let width = info.shape.last().copied().unwrap_or(1);
    let mut signs = Vec::with_capacity(width);
    while signs.len() < width {
        let word = stream.next_u32();
        signs.extend((0..32.min(width - signs.len())).map(|bit| if word >> bit & 1 == 1 { 1.0 } else { -1.0 }));
    }
    signs
}

/// For each tensor, the place of the tensor that an expert's is added to: one of the same name and shape in another layer,
/// or its own. A permutation; only tensors that are a `target` change places.
pub(in crate::fusion) fn places(
    infos: &[&TensorInfo],
    target: &[bool],
    shuffle: Shuffle,
    seed: u64,
    expert: usize,
) -> Vec<usize> {
    let mut places: Vec<usize> = (0..infos.len()).collect();
    if shuffle == Shuffle::Keep {
        return places;
    }
    // Tensors that could stand for one another, by layer.
    let mut alike: BTreeMap<(String, &[usize]), BTreeMap<usize, usize>> = BTreeMap::new();
    for (at, info) in infos.iter().enumerate().filter(|(at, _)| target[*at]) {
        if let Some((layer, rest)) = split_layer(&info.name) {
            alike.entry((rest, &info.shape)).or_default().insert(layer, at);
        }
    }
    for layers in alike.into_values() {
        let layers: Vec<usize> = layers.into_values().collect();
        let count = layers.len();
        let to: Vec<usize> = match shuffle {
            Shuffle::Shift => (0..count).map(|at| (at + expert) % count).collect(),
            // The same for all tensors of as many layers, as if whole layers were moved.
            _ => order(count, Some(seed.wrapping_add(1 + expert as u64))),
        };
        for (from, to) in to.into_iter().enumerate() {
            places[layers[from]] = layers[to];
        }
    }
    places
}

/// out += signs∘(expert − base) of a chunk that begins at `start`; without signs, all of them are plus.
pub(in crate::fusion) fn add_flipped(expert: &[f32], base: &[f32], start: usize, signs: &[f32], out: &mut [f32]) {
    for_rows(start, signs, out.len(), |range, signs| {
        let (expert, base, out) = (&expert[range.clone()], &base[range.clone()], &mut out[range]);
        if signs.is_empty() { add(expert, base, out) } else { add_signed(expert, base, signs, out) }
    });
}

/// Writes base + scale · signs∘values of a chunk that begins at `start`; without signs, all of them are plus.
pub(in crate::fusion) fn retrieve(
    base: &[f32],
    values: &[f32],
    start: usize,
    signs: &[f32],
    scale: f32,
    out: &mut [f32],
) {
    for_rows(start, signs, out.len(), |range, signs| {
        let (base, values, out) = (&base[range.clone()], &values[range.clone()], &mut out[range]);
        let elements = out.iter_mut().zip(base).zip(values);
        if signs.is_empty() {
            elements.for_each(|((out, base), value)| *out = base + scale * value);
        } else {
            elements.zip(signs).for_each(|(((out, base), value), sign)| *out = base + scale * (sign * value));
        }
    });
}

/// Cuts a chunk of `length` elements that begins at `start` into its rows, each with the signs of its columns.
fn for_rows(start: usize, signs: &[f32], length: usize, mut body: impl FnMut(Range<usize>, &[f32])) {
    if signs.is_empty() {
        return body(0..length, signs);
    }
    let (mut at, mut column) = (0, start % signs.len());
    while at < length {
        let signs = &signs[column..][..(signs.len() - column).min(length - at)];
        body(at..at + signs.len(), signs);
        (at, column) = (at + signs.len(), 0);
    }
}

wide! {
    fn add(expert: &[f32], base: &[f32], out: &mut [f32]) = add_body
}

#[inline(always)]
fn add_body(expert: &[f32], base: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(expert).zip(base).for_each(|((out, expert), base)| *out += expert - base);
}

wide! {
    fn add_signed(expert: &[f32], base: &[f32], signs: &[f32], out: &mut [f32]) = add_signed_body
}

#[inline(always)]
fn add_signed_body(expert: &[f32], base: &[f32], signs: &[f32], out: &mut [f32]) {
    let elements = out.iter_mut().zip(expert).zip(base).zip(signs);
    elements.for_each(|(((out, expert), base), sign)| *out += sign * (expert - base));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::testing::{checkpoint, tensor};
    use crate::weights::DType;

    fn info(name: &str, shape: &[usize]) -> TensorInfo {
        let zeros = vec![0.0; shape.iter().product()];
        checkpoint(vec![tensor(name, shape, DType::F32, zeros)]).tensors()[0].clone()
    }

    #[test]
    fn signs_follow_the_columns_wherever_a_chunk_begins() {
        let (signs, base) = ([1.0, -1.0, -1.0], [2.0; 10]);
        for start in 0..7 {
            let mut out = [0.0; 10];
            add_flipped(&[3.0; 10], &base, start, &signs, &mut out);
            let expected: Vec<f32> = (start..start + 10).map(|at| signs[at % 3]).collect();
            assert_eq!(out[..], expected);
            // The same signs bring back what they have turned around.
            let mut back = [0.0; 10];
            retrieve(&base, &out, start, &signs, 0.5, &mut back);
            assert_eq!(back, [2.5; 10]);
        }
    }

    #[test]
    fn signs_are_fair_and_of_seed_expert_and_name() {
        let wide = info("a", &[2, 10_000]);
        let drawn = signs(1, 0, &wide);
        assert_eq!(drawn.len(), 10_000);
        let sum: f32 = drawn.iter().sum();
        assert!(drawn.iter().all(|sign| sign.abs() == 1.0) && sum.abs() < 400.0, "{sum}");
        assert_eq!(drawn, signs(1, 0, &wide));
        for other in [signs(2, 0, &wide), signs(1, 1, &wide), signs(1, 0, &info("b", &[2, 10_000]))] {
            assert_ne!(drawn, other);
        }
        assert_eq!(signs(1, 0, &info("scalar", &[])).len(), 1);
    }

    #[test]
    fn layers_change_places_with_their_like() {
        let mut all: Vec<TensorInfo> = (0..4).map(|layer| info(&format!("layers.{layer}.fc"), &[2, 3])).collect();
        all.extend([info("layers.0.odd", &[2]), info("head", &[2, 3])]);
        let infos: Vec<&TensorInfo> = all.iter().collect();
        let at = |shuffle, expert| places(&infos, &[true; 6], shuffle, 7, expert);
        assert_eq!(at(Shuffle::Keep, 3), [0, 1, 2, 3, 4, 5]);
        assert_eq!(at(Shuffle::Shift, 0), [0, 1, 2, 3, 4, 5]);
        assert_eq!(at(Shuffle::Shift, 3), [3, 0, 1, 2, 4, 5]);
        let mut random = at(Shuffle::Random, 1);
        assert_eq!(random[4..], [4, 5]);
        assert!((0..20).any(|expert| at(Shuffle::Random, expert) != random));
        random.sort_unstable();
        assert_eq!(random, [0, 1, 2, 3, 4, 5]);
        // What is not superposed stays.
        assert_eq!(places(&infos, &[true, false, true, false, true, true], Shuffle::Shift, 7, 1), [2, 1, 0, 3, 4, 5]);
    }
}
