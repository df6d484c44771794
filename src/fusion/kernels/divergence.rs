//! How far models lie apart, and where they pull in opposite directions: all sums of one slice in one pass.

use super::moments::dot;
use super::wide::wide;

/// Elements whose copies of some models fit into the nearest caches.
const BLOCK: usize = 512;

/// Sums over some elements of a base and its experts. `products` has the scalar products of (θ₀, τ₁, τ₂, …) for i ≤ j,
/// row by row; where a value is not finite, the element counts as unchanged.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::fusion) struct Sums {
    pub elements: u64,
    pub products: Vec<f64>,
    /// By expert: elements that differ from the base's.
    pub changed: Vec<u64>,
    /// Base first: values that are not finite.
    pub not_finite: Vec<u64>,
    /// Base first: the value that all elements have; outer nothing when there are no elements yet.
    pub constant: Option<Vec<Option<u32>>>,
    /// Elements that several experts changed, and those of them that not all moved in one direction.
    pub shared: u64,
    pub conflicting: u64,
    /// The same counted by pairs of experts.
    pub pairs: u64,
    pub opposed: u64,
    /// Σ|τᵢ| over elements and experts, and Σ|Σᵢτᵢ| over elements.
    pub mass: f64,
    pub agreed: f64,
}

impl Sums {
    /// Those of the elements of both.
    pub(in crate::fusion) fn add(&mut self, other: Self) {
        fn all<T: Copy + Default + std::ops::AddAssign>(mine: &mut Vec<T>, other: &[T]) {
            mine.resize(mine.len().max(other.len()), T::default());
            mine.iter_mut().zip(other).for_each(|(sum, x)| *sum += *x);
        }
        self.elements += other.elements;
        all(&mut self.products, &other.products);
        all(&mut self.changed, &other.changed);
        all(&mut self.not_finite, &other.not_finite);
        self.constant = match (self.constant.take(), other.constant) {
            (Some(a), Some(b)) => Some(a.into_iter().zip(b).map(|(a, b)| a.filter(|_| a == b)).collect()),
            (a, b) => a.or(b),
        };
        self.shared += other.shared;
        self.conflicting += other.conflicting;
        self.pairs += other.pairs;
        self.opposed += other.opposed;
        self.mass += other.mass;
        self.agreed += other.agreed;
    }
}

/// Buffers, kept from slice to slice.
#[derive(Debug, Default)]
pub(in crate::fusion) struct Room {
    /// θ₀ and all task vectors of a block.
    wide: Vec<f64>,
    /// One task vector.
    delta: Vec<f32>,
}

/// The sums of one slice of every model, all of one length.
pub(in crate::fusion) fn measure(base: &[f32], experts: &[&[f32]], room: &mut Room) -> Sums {
    let (count, length) = (experts.len(), base.len());
    if length == 0 {
        return Sums::default();
    }
    let models = || std::iter::once(base).chain(experts.iter().copied());
    let not_finite: Vec<u64> = models().map(|model| u64::from(not_finite(model))).collect();
    let clean = not_finite.iter().all(|bad| *bad == 0);
    let mut sums = Sums {
        elements: length as u64,
        products: vec![0.0; (count + 1) * (count + 2) / 2],
        changed: vec![0; count],
        constant: Some(models().map(constant).collect()),
        not_finite,
        ..Sums::default()
    };
    room.wide.resize((count + 1) * BLOCK, 0.0);
    room.delta.resize(BLOCK, 0.0);
    for start in (0..length).step_by(BLOCK) {
        let block = start..length.min(start + BLOCK);
        let (base, size) = (&base[block.clone()], block.len());
        let mut signs = Signs { up: [0; BLOCK], down: [0; BLOCK], mass: [0.0; BLOCK], sum: [0.0; BLOCK] };
        let (zeroth, vectors) = room.wide.split_at_mut(BLOCK);
        let finite = |x: f32| if x.is_finite() { x } else { 0.0 };
        zeroth.iter_mut().zip(base).for_each(|(wide, &x)| *wide = if clean { x } else { finite(x) }.into());
        for (at, expert) in experts.iter().enumerate() {
            let delta = &mut room.delta[..size];
            delta.iter_mut().zip(&expert[block.clone()]).zip(base).for_each(|((d, a), b)| *d = a - b);
            if !clean {
                for d in &mut *delta {
                    *d = finite(*d);
                }
            }
            sums.changed[at] += u64::from(count_signs(delta, &mut signs));
            let wide = &mut vectors[at * BLOCK..at * BLOCK + size];
            wide.iter_mut().zip(&*delta).for_each(|(wide, &d)| *wide = d.into());
        }
        let vector = |at: usize| &room.wide[at * BLOCK..at * BLOCK + size];
        let pairs = (0..=count).flat_map(|i| (i..=count).map(move |j| (i, j)));
        sums.products.iter_mut().zip(pairs).for_each(|(sum, (i, j))| *sum += dot(vector(i), vector(j)));
        signs.add_to(&mut sums, size);
    }
    sums
}

/// By element of a block: how many experts moved it up and down, how far together, and the sum of their steps.
struct Signs {
    up: [u32; BLOCK],
    down: [u32; BLOCK],
    mass: [f32; BLOCK],
    sum: [f32; BLOCK],
}

impl Signs {
    fn add_to(&self, sums: &mut Sums, size: usize) {
        for (&up, &down) in self.up[..size].iter().zip(&self.down) {
            let all = up + down;
            sums.shared += u64::from(all > 1);
            sums.conflicting += u64::from(up > 0 && down > 0);
            sums.pairs += u64::from(all * all.saturating_sub(1) / 2);
            sums.opposed += u64::from(up * down);
        }
        sums.mass += self.mass[..size].iter().map(|&x| f64::from(x)).sum::<f64>();
        sums.agreed += self.sum[..size].iter().map(|&x| f64::from(x.abs())).sum::<f64>();
    }
}

wide! {
    /// Takes one expert's steps into account; gives how many are not zero.
    fn count_signs(delta: &[f32], signs: &mut Signs) -> u32 = count_signs_body
}

#[inline(always)]
fn count_signs_body(delta: &[f32], signs: &mut Signs) -> u32 {
    let mut changed = 0;
    let places = signs.up.iter_mut().zip(&mut signs.down).zip(signs.mass.iter_mut().zip(&mut signs.sum));
    for (&d, ((up, down), (mass, sum))) in delta.iter().zip(places) {
        let (rises, falls) = (u32::from(d > 0.0), u32::from(d < 0.0));
        *up += rises;
        *down += falls;
        changed += rises + falls;
        *mass += d.abs();
        *sum += d;
    }
    changed
}

wide! {
    fn not_finite(values: &[f32]) -> u32 = not_finite_body
}

#[inline(always)]
fn not_finite_body(values: &[f32]) -> u32 {
    values.iter().fold(0, |bad, x| bad + u32::from(x.to_bits() & 0x7f80_0000 == 0x7f80_0000))
}

/// The bits of the one value that all elements have. Nearly always the second one ends the search.
fn constant(values: &[f32]) -> Option<u32> {
    let first = values.first()?.to_bits();
    values.iter().all(|x| x.to_bits() == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(base: &[f32], experts: &[&[f32]]) -> Sums {
        measure(base, experts, &mut Room::default())
    }

    #[test]
    fn a_few_elements_by_hand() {
        let s = sums(&[1.0, 2.0, 0.0, 4.0], &[&[2.0, 1.0, 0.0, 4.5], &[3.0, 3.0, 0.0, 4.0]]);
        // τ₁ = (1, −1, 0, 0.5), τ₂ = (2, 1, 0, 0)
        assert_eq!(s.products, [21.0, 1.0 - 2.0 + 2.0, 4.0, 2.25, 1.0, 5.0]);
        assert_eq!(
            (s.elements, &s.changed[..], s.shared, s.conflicting, s.pairs, s.opposed),
            (4, &[3, 2][..], 2, 1, 2, 1)
        );
        assert_eq!((s.mass, s.agreed), (5.5, 3.5));
        assert_eq!(s.constant, Some(vec![None; 3]));
    }

    #[test]
    fn slices_of_any_length_add_up_to_the_whole() {
        let values = |seed: usize| (0..1500).map(|at| ((at * seed) % 17) as f32 - 8.0).collect::<Vec<f32>>();
        let models = [values(3), values(5), values(7), values(3)];
        let part = |from: usize, to: usize| {
            let [base, experts @ ..] = &models;
            let experts: Vec<&[f32]> = experts.iter().map(|e| &e[from..to]).collect();
            sums(&base[from..to], &experts)
        };
        for cut in [0, 1, 511, 512, 513, 1499] {
            let mut both = part(0, cut);
            both.add(part(cut, 1500));
            assert_eq!(both, part(0, 1500), "{cut}");
        }
        // The third expert is the base.
        assert_eq!(part(0, 1500).changed[2], 0);
    }

    #[test]
    fn what_is_no_number_is_counted_and_does_not_spread() {
        let s = sums(&[1.0, f32::NAN, 1.0], &[&[2.0, 0.0, f32::INFINITY], &[2.0, 2.0, 2.0]]);
        assert_eq!(s.not_finite, [1, 1, 0]);
        assert_eq!(s.products, [2.0, 1.0, 2.0, 1.0, 1.0, 2.0]);
        assert_eq!(s.changed, [1, 2]);
        assert_eq!(s.constant.unwrap(), [None, None, Some(2f32.to_bits())]);
    }
}
