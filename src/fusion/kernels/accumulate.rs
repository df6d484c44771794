//! `out += Σ λᵢ(θᵢ − θ₀)` over one chunk, four experts a sweep so that `out` and `θ₀` stay in the nearest cache.

use super::wide::wide;

wide! {
    /// Adds `λᵢ(θᵢ − base)` for every expert; without a base, `λᵢθᵢ`. All slices are of one length.
    ///
    /// The order of the additions is fixed, so the result does not depend on the machine.
    pub(in crate::fusion) fn accumulate(out: &mut [f32], base: &[f32], experts: &[&[f32]], lambdas: &[f32]) = body
}

#[inline(always)]
fn body(out: &mut [f32], base: &[f32], experts: &[&[f32]], lambdas: &[f32]) {
    let quads = experts.as_chunks::<4>().0.iter().zip(lambdas.as_chunks::<4>().0);
    for (&[a, b, c, d], &[la, lb, lc, ld]) in quads {
        let experts = a.iter().zip(b).zip(c).zip(d);
        if base.is_empty() {
            for (out, (((a, b), c), d)) in out.iter_mut().zip(experts) {
                *out = *out + la * a + lb * b + lc * c + ld * d;
            }
        } else {
            for ((out, base), (((a, b), c), d)) in out.iter_mut().zip(base).zip(experts) {
                *out = *out + la * (a - base) + lb * (b - base) + lc * (c - base) + ld * (d - base);
            }
        }
    }
    let rest = experts.as_chunks::<4>().1.iter().zip(lambdas.as_chunks::<4>().1);
    for (expert, &lambda) in rest {
        if base.is_empty() {
            out.iter_mut().zip(*expert).for_each(|(out, a)| *out += lambda * a);
        } else {
            out.iter_mut().zip(base).zip(*expert).for_each(|((out, base), a)| *out += lambda * (a - base));
        }
    }
}

/// Makes `delta` the task vector θᵢ − θ₀.
pub(in crate::fusion) fn subtract(expert: &[f32], base: &[f32], delta: &mut Vec<f32>) {
    delta.resize(expert.len(), 0.0);
    for ((delta, expert), base) in delta.iter_mut().zip(expert).zip(base) {
        *delta = expert - base;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_experts_with_and_without_a_base() {
        for count in 0..10usize {
            let experts: Vec<Vec<f32>> = (0..count).map(|i| vec![i as f32, 2.0 * i as f32]).collect();
            let slices: Vec<&[f32]> = experts.iter().map(Vec::as_slice).collect();
            let lambdas = vec![0.5; count];
            let (mut with, mut without) = ([1.0, 1.0], [0.0, 0.0]);
            accumulate(&mut with, &[1.0, 1.0], &slices, &lambdas);
            accumulate(&mut without, &[], &slices, &lambdas);
            let sum: f32 = (0..count).map(|i| i as f32).sum();
            assert_eq!(without, [0.5 * sum, sum], "{count}");
            assert_eq!(with, [1.0 + 0.5 * (sum - count as f32), 1.0 + 0.5 * (2.0 * sum - count as f32)], "{count}");
        }
    }
}
