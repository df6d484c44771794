//! What the values of a tensor are like: mean, spread, extremes, zeros, and what is no number.

use super::wide::wide;
use super::{DType, TensorRef};
use crate::cancel::{Cancel, Cancelled};
use rayon::prelude::*;
use serde::Serialize;

/// Elements of a piece: few enough to stay in a cache between its two passes.
const PIECE: usize = 16 * 1024;

/// Statistics of the finite values; counts of the others. Computed in f64, the same whatever the number of cores.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Stats {
    /// Elements, finite or not.
    pub count: u64,
    pub zeros: u64,
    pub nan: u64,
    /// Positive and negative infinities.
    pub inf: u64,
    /// Of the finite values; 0 when there are none.
    pub mean: f64,
    pub min: f64,
    pub max: f64,
    /// Σ (x − mean)²
    #[serde(skip)]
    scatter: f64,
}

impl Stats {
    /// Of a tensor of any dtype; an adapter's change counts.
    ///
    /// # Errors
    /// Cancellation, at the next piece.
    pub fn of(tensor: &TensorRef<'_>, cancel: &Cancel) -> Result<Self, Cancelled> {
        let length = tensor.info.len();
        // What f32 cannot hold exactly is decoded to f64.
        let narrow = tensor.info.dtype.is_float() && tensor.info.dtype != DType::F64;
        let starts: Vec<usize> = (0..length).step_by(PIECE).collect();
        let measure = |scratch: &mut Vec<f32>, &start: &usize| {
            cancel.check()?;
            let range = start..length.min(start + PIECE);
            if narrow {
                return Ok(Self::of_values(tensor.read(range, scratch)));
            }
            Ok(Self::of_wide(&tensor.read_f64(range)))
        };
        let parts: Vec<Self> = starts.par_iter().map_init(Vec::new, measure).collect::<Result<_, Cancelled>>()?;
        Ok(parts.into_iter().fold(Self::default(), Self::with))
    }

    /// Of values in memory.
    #[must_use]
    pub fn of_values(values: &[f32]) -> Self {
        let [sum, bad] = sum_and_bad(values);
        if bad == 0.0 {
            let count = values.len() as u64;
            let mean = if count == 0 { 0.0 } else { sum / count as f64 };
            let [scatter, min, max, zeros] = spread(values, mean);
            return Self { count, zeros: zeros as u64, mean, min, max, scatter, ..Self::default() };
        }
        Self::of_wide(&values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>())
    }

    /// The careful way, for what is rare.
    fn of_wide(values: &[f64]) -> Self {
        let mut stats = Self { count: values.len() as u64, ..Self::default() };
        stats.nan = values.iter().filter(|x| x.is_nan()).count() as u64;
        stats.inf = values.iter().filter(|x| x.is_infinite()).count() as u64;
        let finite = || values.iter().copied().filter(|x| x.is_finite());
        let n = stats.finite();
        if n > 0 {
            stats.zeros = finite().filter(|x| *x == 0.0).count() as u64;
            stats.mean = finite().sum::<f64>() / n as f64;
            stats.scatter = finite().map(|x| (x - stats.mean).powi(2)).sum();
            stats.min = finite().fold(f64::INFINITY, f64::min);
            stats.max = finite().fold(f64::NEG_INFINITY, f64::max);
        }
        stats
    }

    /// Of the values of both (Chan, Golub & LeVeque 1979: means and scatters of parts, without cancellation).
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let (a, b) = (self.finite() as f64, other.finite() as f64);
        let counts = Self {
            count: self.count + other.count,
            zeros: self.zeros + other.zeros,
            nan: self.nan + other.nan,
            inf: self.inf + other.inf,
            ..Self::default()
        };
        if a == 0.0 || b == 0.0 {
            let Self { mean, min, max, scatter, .. } = if a == 0.0 { other } else { self };
            return Self { mean, min, max, scatter, ..counts };
        }
        let step = other.mean - self.mean;
        Self {
            mean: self.mean + step * (b / (a + b)),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            scatter: self.scatter + other.scatter + step * step * (a * b / (a + b)),
            ..counts
        }
    }

    /// Number of finite values.
    #[must_use]
    pub fn finite(&self) -> u64 {
        self.count - self.nan - self.inf
    }

    /// Standard deviation of the finite values, of all of them and not of a sample.
    #[must_use]
    pub fn std(&self) -> f64 {
        if self.finite() == 0 { 0.0 } else { (self.scatter / self.finite() as f64).sqrt() }
    }

    /// ‖x‖₂ of the finite values.
    #[must_use]
    pub fn norm(&self) -> f64 {
        (self.scatter + self.finite() as f64 * self.mean * self.mean).sqrt()
    }

    /// Share of zeros among all elements.
    #[must_use]
    pub fn zero_share(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.zeros as f64 / self.count as f64 }
    }

    /// Whether there are several values and all are the same.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.count > 1 && self.finite() == self.count && self.min == self.max
    }
}

wide! {
    /// The sum, and how many values are not finite.
    fn sum_and_bad(values: &[f32]) -> [f64; 2] = sum_and_bad_body
}

#[inline(always)]
fn sum_and_bad_body(values: &[f32]) -> [f64; 2] {
    let (chunks, rest) = values.as_chunks::<16>();
    let (mut sums, mut bad) = ([0.0f64; 16], [0u32; 16]);
    for chunk in chunks {
        for lane in 0..16 {
            sums[lane] += f64::from(chunk[lane]);
            bad[lane] += u32::from(chunk[lane].to_bits() & 0x7f80_0000 == 0x7f80_0000);
        }
    }
    let bad = bad.iter().sum::<u32>() as usize + rest.iter().filter(|x| !x.is_finite()).count();
    [sums.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x)).sum::<f64>(), bad as f64]
}

wide! {
    /// Σ (x − mean)², smallest, largest, and how many are zero, of finite values.
    fn spread(values: &[f32], mean: f64) -> [f64; 4] = spread_body
}

#[inline(always)]
fn spread_body(values: &[f32], mean: f64) -> [f64; 4] {
    let Some(&first) = values.first() else { return [0.0; 4] };
    let (chunks, rest) = values.as_chunks::<16>();
    let (mut scatter, mut zeros) = ([0.0f64; 16], [0u32; 16]);
    let (mut min, mut max) = ([first; 16], [first; 16]);
    for chunk in chunks {
        for lane in 0..16 {
            let (x, off) = (chunk[lane], f64::from(chunk[lane]) - mean);
            scatter[lane] += off * off;
            zeros[lane] += u32::from(x == 0.0);
            min[lane] = if x < min[lane] { x } else { min[lane] };
            max[lane] = if x > max[lane] { x } else { max[lane] };
        }
    }
    let tail: f64 = rest.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
    let zeros = zeros.iter().sum::<u32>() as usize + rest.iter().filter(|x| **x == 0.0).count();
    let min = min.iter().chain(rest).fold(first, |min, &x| min.min(x));
    let max = max.iter().chain(rest).fold(first, |max, &x| max.max(x));
    [scatter.iter().sum::<f64>() + tail, min.into(), max.into(), zeros as f64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Checkpoint, Data, Source, Tensor};
    use proptest::prelude::*;

    fn stats(dtype: DType, data: Data, shape: &[usize]) -> Stats {
        let tensor = Tensor { name: "w".to_owned(), shape: shape.to_vec(), dtype, data };
        let bytes = safetensors::serialize([("w", &tensor)], None).unwrap();
        let checkpoint = Checkpoint::from_source("test", Source::Owned(bytes.into())).unwrap();
        Stats::of(&checkpoint.get("w").unwrap(), &Cancel::default()).unwrap()
    }

    #[test]
    fn small_numbers_by_hand() {
        let s = stats(DType::F32, Data::Float(vec![0.0, 2.0, -2.0, 4.0]), &[2, 2]);
        assert_eq!((s.count, s.zeros, s.nan, s.inf, s.mean, s.min, s.max), (4, 1, 0, 0, 1.0, -2.0, 4.0));
        assert!((s.std() - 5f64.sqrt()).abs() < 1e-15 && (s.norm() - 24f64.sqrt()).abs() < 1e-15);
        assert!(!s.is_constant() && stats(DType::F16, Data::Float(vec![0.5; 40]), &[40]).is_constant());
        assert_eq!(stats(DType::F32, Data::Float(vec![]), &[0]), Stats::default());
        let integers = [3i64, -1, 0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let s = stats(DType::I64, Data::Raw(integers), &[3]);
        assert_eq!((s.count, s.zeros, s.min, s.max), (3, 1, -1.0, 3.0));
    }

    #[test]
    fn what_is_no_number_is_counted_and_left_out() {
        let mut values = vec![1.0; 100];
        (values[3], values[50], values[51], values[99]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3.0);
        let s = Stats::of_values(&values);
        assert_eq!((s.nan, s.inf, s.finite(), s.min, s.max), (1, 2, 97, 1.0, 3.0));
        assert!((s.mean - 99.0 / 97.0).abs() < 1e-15 && s.norm().is_finite());
        let none = Stats::of_values(&[f32::NAN; 20]);
        assert_eq!((none.finite(), none.std(), none.norm(), none.is_constant()), (0, 0.0, 0.0, false));
    }

    #[test]
    fn a_large_mean_leaves_the_spread_exact() {
        let values: Vec<f32> = (0..100_000).map(|at| 1e6 + (at % 2) as f32).collect();
        let s = stats(DType::F32, Data::Float(values), &[100_000]);
        assert!((s.std() - 0.5).abs() < 1e-9 && s.mean == 1e6 + 0.5, "{s:?}");
    }

    proptest! {
        #[test]
        fn parts_give_the_whole(values in prop::collection::vec(-1e3f32..1e3, 0..200), cut in 0usize..200) {
            let (a, b) = values.split_at(cut.min(values.len()));
            let (whole, parts) = (Stats::of_values(&values), Stats::of_values(a).with(Stats::of_values(b)));
            prop_assert_eq!((whole.count, whole.zeros), (parts.count, parts.zeros));
            prop_assert!((whole.mean - parts.mean).abs() < 1e-9 && (whole.norm() - parts.norm()).abs() < 1e-6);
            prop_assert!((whole.std() - parts.std()).abs() < 1e-8);
            prop_assert_eq!((whole.min, whole.max), (parts.min, parts.max));
            let exact = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            prop_assert!((whole.norm() - exact).abs() <= 1e-9 * exact.max(1.0));
        }
    }
}
