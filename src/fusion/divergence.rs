//! How far each expert went from the base, in which direction, and where the experts get in each other's way.

use super::kernels::chunks::map_chunks;
use super::kernels::divergence::{Room, Sums, measure};
use super::kernels::rows::rows;
use super::{FusionError, Pool};
use crate::cancel::Cancel;
use std::cell::RefCell;

/// Measures of some tensors, or of one: of a base and its experts. They add up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Divergence(Sums);

impl Divergence {
    /// Those of the tensors of both.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.0.add(other.0);
        self
    }

    /// Number of elements.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.0.elements
    }

    /// ⟨a, b⟩ of θ₀ (0) and the task vectors (1, 2, …).
    fn product(&self, a: usize, b: usize) -> f64 {
        let (i, j, models) = (a.min(b), a.max(b), self.0.changed.len() + 1);
        self.0.products.get(i * (2 * models + 1 - i) / 2 + j - i).copied().unwrap_or(0.0)
    }

    /// ‖θ₀‖₂
    #[must_use]
    pub fn base_norm(&self) -> f64 {
        self.product(0, 0).sqrt()
    }

    /// ‖τ‖₂ of an expert.
    #[must_use]
    pub fn norm(&self, expert: usize) -> f64 {
        self.product(expert + 1, expert + 1).sqrt()
    }

    /// ‖τ‖/‖θ₀‖ of an expert; infinite for a step away from zero, 0 for none.
    #[must_use]
    pub fn relative(&self, expert: usize) -> f64 {
        let norm = self.norm(expert);
        if norm == 0.0 { 0.0 } else { norm / self.base_norm() }
    }

    /// The cosine of the angle between two task vectors; 0 where one of them is zero.
    #[must_use]
    pub fn cosine(&self, a: usize, b: usize) -> f64 {
        let square = |expert: usize| self.product(expert + 1, expert + 1);
        angle(self.product(a + 1, b + 1), square(a), square(b))
    }

    /// The cosine of the angle between an expert's weights and the base's: near 1 for what was fine-tuned from it, near 0
    /// for weights that have nothing to do with each other.
    #[must_use]
    pub fn cosine_to_base(&self, expert: usize) -> f64 {
        let (base, cross, step) =
            (self.product(0, 0), self.product(0, expert + 1), self.product(expert + 1, expert + 1));
        angle(base + cross, base, (base + 2.0 * cross + step).max(0.0))
    }

    /// Share of an expert's elements that differ from the base's.
    #[must_use]
    pub fn changed(&self, expert: usize) -> f64 {
        share(self.0.changed.get(expert).copied().unwrap_or(0), self.0.elements)
    }

    /// Values of a model that are not finite: of the base (nothing) or of an expert.
    #[must_use]
    pub fn not_finite(&self, expert: Option<usize>) -> u64 {
        self.0.not_finite.get(expert.map_or(0, |expert| expert + 1)).copied().unwrap_or(0)
    }

    /// The value that all elements of a model have, where there are several and they do.
    #[must_use]
    pub fn constant(&self, expert: Option<usize>) -> Option<f32> {
        let models = self.0.constant.as_ref().filter(|_| self.0.elements > 1)?;
        models.get(expert.map_or(0, |expert| expert + 1)).copied().flatten().map(f32::from_bits)
    }

    /// Of the elements that several experts changed, the share that not all of them moved in one direction. Independent
    /// directions of many experts give nearly 1.
    #[must_use]
    pub fn conflict(&self) -> f64 {
        share(self.0.conflicting, self.0.shared)
    }

    /// The same by pairs of experts: the share of pairs that moved an element in opposite directions. Independent
    /// directions give 0.5, whatever the number of experts.
    #[must_use]
    pub fn pair_conflict(&self) -> f64 {
        share(self.0.opposed, self.0.pairs)
    }

    /// Share of all that the experts moved which the others undo when the task vectors are added: (Σ|τ| − |Στ|)/Σ|τ|.
    #[must_use]
    pub fn cancelled(&self) -> f64 {
        if self.0.mass > 0.0 { ((self.0.mass - self.0.agreed) / self.0.mass).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Whether the sums of both experts are the same, as they are when their values are.
    #[must_use]
    pub fn looks_same(&self, a: usize, b: usize) -> bool {
        let (aa, bb, ab) = (self.product(a + 1, a + 1), self.product(b + 1, b + 1), self.product(a + 1, b + 1));
        aa == bb && aa == ab && self.product(0, a + 1) == self.product(0, b + 1)
    }
}

/// Cosine from a scalar product and two squared lengths; 0 where one of them is.
fn angle(product: f64, a: f64, b: f64) -> f64 {
    let scale = (a * b).sqrt();
    if scale > 0.0 { (product / scale).clamp(-1.0, 1.0) } else { 0.0 }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Measures every tensor of `pool`, which may be a window, in the reference's order: on all cores, in f64, the same whatever
/// their number. Integer buffers have no measures.
///
/// # Errors
/// A pool without a base; cancellation.
pub fn divergence(pool: &Pool, cancel: &Cancel) -> Result<Vec<Divergence>, FusionError> {
    thread_local! {
        static ROOM: RefCell<Room> = RefCell::default();
    }
    if pool.base().is_none() {
        return Err(FusionError::NeedsBase { method: "A comparison" });
    }
    let rows = rows(pool)?;
    let all: Vec<usize> = (0..pool.experts().len()).collect();
    let floats = rows.iter().enumerate().filter(|(_, row)| row.info.dtype.is_float());
    let partial = map_chunks(floats.map(|(at, row)| (at, row.info.len())), cancel, |piece, scratch| {
        rows[piece.tensor].read(&all, &piece.range, &mut scratch.decode, |base, experts| {
            ROOM.with_borrow_mut(|room| measure(base, experts, room))
        })
    })?;
    let mut measured = vec![Divergence::default(); rows.len()];
    // In order, so that the sums are the same whatever the number of cores.
    for (piece, sums) in partial {
        measured[piece.tensor].0.add(sums);
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::testing::{ELEMENTS, pool};
    use crate::fusion::{Similarity, similarity};
    use proptest::prelude::*;

    fn whole(base: &[f32], experts: &[Vec<f32>]) -> Divergence {
        let measured = divergence(&pool(Some(base), experts), &Cancel::default()).unwrap();
        measured.into_iter().fold(Divergence::default(), Divergence::with)
    }

    #[test]
    fn a_base_is_needed() {
        let error = divergence(&pool(None, &[vec![0.0; ELEMENTS]]), &Cancel::default()).unwrap_err();
        assert_eq!(error.to_string(), "A comparison needs a base model, and the pool has none");
    }

    #[test]
    fn unrelated_and_related_weights_are_told_apart() {
        let noise = |seed: usize| (0..ELEMENTS).map(|at| (((at + 1) * seed) as f32).sin()).collect::<Vec<f32>>();
        let base = noise(7);
        let related = base.iter().map(|x| x * 1.05 + 0.1).collect();
        let d = whole(&base, &[related, noise(9), base.clone(), vec![0.0; ELEMENTS]]);
        assert!(d.cosine_to_base(0) > 0.99 && d.cosine_to_base(1).abs() < 0.6, "{}", d.cosine_to_base(1));
        assert_eq!((d.relative(2), d.changed(2), d.cosine_to_base(2)), (0.0, 0.0, 1.0));
        assert_eq!((d.relative(3), d.cosine_to_base(3)), (1.0, 0.0));
        assert!(!d.looks_same(0, 1) && d.looks_same(1, 1));
    }

    fn models(experts: usize) -> impl Strategy<Value = (Vec<f32>, Vec<Vec<f32>>)> {
        let vector = || prop::collection::vec(-4f32..4.0, ELEMENTS);
        (vector(), prop::collection::vec(vector(), experts))
    }

    proptest! {
        #[test]
        fn the_order_of_experts_makes_no_difference((base, experts) in models(4), turn in 0usize..4) {
            let order: Vec<usize> = (0..4).map(|at| (at + turn) % 4).collect();
            let turned: Vec<Vec<f32>> = order.iter().map(|&at| experts[at].clone()).collect();
            let (a, b) = (whole(&base, &experts), whole(&base, &turned));
            for (i, &from) in order.iter().enumerate() {
                prop_assert_eq!((a.norm(from), a.changed(from)), (b.norm(i), b.changed(i)));
                prop_assert_eq!(a.cosine_to_base(from), b.cosine_to_base(i));
                for (j, &other) in order.iter().enumerate() {
                    prop_assert_eq!(a.cosine(from, other), b.cosine(i, j));
                    prop_assert_eq!(b.cosine(i, j), b.cosine(j, i));
                }
                prop_assert!((b.cosine(i, i) - 1.0).abs() < 1e-12);
            }
            prop_assert_eq!((a.conflict(), a.pair_conflict()), (b.conflict(), b.pair_conflict()));
            prop_assert!((a.cancelled() - b.cancelled()).abs() < 1e-6);
        }

        #[test]
        fn it_agrees_with_what_the_explorer_has_always_shown((base, experts) in models(3)) {
            let d = whole(&base, &experts);
            let Similarity { norms, base_norm, cosine, .. } =
                similarity(&pool(Some(&base), &experts), &Cancel::default()).unwrap();
            prop_assert!((d.base_norm() - base_norm).abs() < 1e-9);
            for i in 0..3 {
                prop_assert!((d.norm(i) - norms[i]).abs() < 1e-9);
                for j in 0..3 {
                    prop_assert!((d.cosine(i, j) - cosine[i][j]).abs() < 1e-9);
                }
            }
        }

        #[test]
        fn shares_are_shares_and_one_direction_is_no_conflict((base, experts) in models(3), scale in 0.1f32..3.0) {
            let d = whole(&base, &experts);
            for share in [d.conflict(), d.pair_conflict(), d.cancelled(), d.changed(1)] {
                prop_assert!((0.0..=1.0).contains(&share), "{}", share);
            }
            prop_assert!(d.pair_conflict() <= d.conflict() + 1e-12);
            let step = |factor: f32| base.iter().map(|x| x + factor).collect::<Vec<f32>>();
            let along = whole(&base, &[step(scale), step(2.0 * scale)]);
            prop_assert_eq!((along.conflict(), along.pair_conflict()), (0.0, 0.0));
            prop_assert!(along.cancelled() < 1e-6 && along.cosine(0, 1) > 0.9999);
            let against = whole(&base, &[step(scale), step(-scale)]);
            prop_assert_eq!((against.conflict(), against.pair_conflict()), (1.0, 1.0));
        }
    }
}
