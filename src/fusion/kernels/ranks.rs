//! Order statistics within each tensor: the k-th smallest magnitude of what each slot holds.

use super::chunks::Piece;
use super::rows::{Row, Scratch};
use super::select::{Deltas, bits, kth_magnitudes};
use crate::cancel::Cancel;
use crate::fusion::FusionError;
use rayon::prelude::*;

/// Tensors of so many elements and more are looked through chunk by chunk; smaller ones are copied, many at a time.
const LARGE: usize = 1 << 21;

/// The magnitudes at the given ranks (from 1), `[tensor][slot]`, in the shape of `ranks`. Tensors without any rank are not
/// read.
///
/// # Errors
/// Values that are not finite, unless they are let through (`lenient`); cancellation.
pub(in crate::fusion) fn magnitudes_at(
    source: &impl Deltas,
    rows: &[Row<'_>],
    ranks: &[Vec<Vec<usize>>],
    (cancel, lenient): (&Cancel, bool),
) -> Result<Vec<Vec<Vec<f32>>>, FusionError> {
    let find = |(at, wanted): (usize, &Vec<Vec<usize>>)| {
        let length = rows[at].info.len();
        if wanted.iter().all(Vec::is_empty) {
            Ok(vec![Vec::new(); wanted.len()])
        } else if length < LARGE {
            small(source, at, length, wanted, (cancel, lenient))
        } else {
            large(source, at, length, wanted, (cancel, lenient))
        }
    };
    ranks.par_iter().enumerate().map(find).collect()
}

fn small(
    source: &impl Deltas,
    tensor: usize,
    length: usize,
    ranks: &[Vec<usize>],
    (cancel, lenient): (&Cancel, bool),
) -> Result<Vec<Vec<f32>>, FusionError> {
    cancel.check()?;
    let mut found = vec![Vec::new(); ranks.len()];
    let (mut sizes, mut finite) = (Vec::new(), true);
    source.visit(&Piece { tensor, range: 0..length }, &mut Scratch::default(), &mut |slot, values| {
        sizes.clear();
        sizes.extend(values.iter().map(|value| bits(*value)));
        finite &= sizes.iter().fold(0, |largest, size| largest.max(*size)) < f32::INFINITY.to_bits();
        found[slot] = ranks[slot].iter().map(|rank| f32::from_bits(*sizes.select_nth_unstable(rank - 1).1)).collect();
    });
    if finite || lenient { Ok(found) } else { Err(FusionError::NotFinite { tensor: source.name(tensor).to_owned() }) }
}

fn large(
    source: &impl Deltas,
    tensor: usize,
    length: usize,
    ranks: &[Vec<usize>],
    (cancel, lenient): (&Cancel, bool),
) -> Result<Vec<Vec<f32>>, FusionError> {
    let mut found = vec![Vec::new(); ranks.len()];
    for turn in 0..ranks.iter().map(Vec::len).max().unwrap_or(0) {
        // Slots that want fewer are asked for anything.
        let now: Vec<usize> = ranks.iter().map(|ranks| ranks.get(turn).copied().unwrap_or(1)).collect();
        let values = kth_magnitudes(source, std::iter::once((tensor, length)), &[], &now, (cancel, lenient))?;
        for ((found, value), ranks) in found.iter_mut().zip(values).zip(ranks) {
            found.extend((turn < ranks.len()).then_some(value));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two slots of one tensor.
    struct Plain([Vec<f32>; 2]);

    impl Deltas for Plain {
        fn experts(&self) -> usize {
            2
        }

        fn visit(&self, piece: &Piece, _: &mut Scratch, visitor: &mut dyn FnMut(usize, &[f32])) {
            self.0.iter().enumerate().for_each(|(slot, values)| visitor(slot, &values[piece.range.clone()]));
        }

        fn name(&self, _: usize) -> &'static str {
            "w"
        }
    }

    #[test]
    fn copied_and_streamed_tensors_agree_with_sorting() {
        let noise = |seed: u32| -> Vec<f32> {
            (0..5000u32).map(|at| ((at ^ seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 1e6 - 8.0).collect()
        };
        let plain = Plain([noise(1), noise(77)]);
        let ranks = [vec![1, 5000, 2500], vec![4000]];
        let sorted = |slot: usize| {
            let mut sizes: Vec<f32> = plain.0[slot].iter().map(|x| x.abs()).collect();
            sizes.sort_by(f32::total_cmp);
            ranks[slot].iter().map(|rank| sizes[rank - 1]).collect::<Vec<_>>()
        };
        let expected = [sorted(0), sorted(1)];
        let cancel = Cancel::default();
        assert_eq!(small(&plain, 0, 5000, &ranks, (&cancel, false)).unwrap(), expected);
        assert_eq!(large(&plain, 0, 5000, &ranks, (&cancel, false)).unwrap(), expected);
    }
}
