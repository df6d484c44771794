//! mergekit's and PEFT's methods by the book: plain loops in f64, written apart from ours, with a note wherever a
//! selection could go either way within the peer's rounding.

use crate::compare::ulp;
use fusebench::weights::DType;

/// One element: its exact value, how large what it is made of is, and whether a choice was close.
#[derive(Clone, Copy, Default)]
pub struct Exact {
    pub value: f64,
    pub size: f64,
    pub unsure: bool,
    /// The peer is known to be wrong here.
    pub defect: bool,
}

/// One tensor of every model, flattened.
pub struct Tensor {
    pub shape: Vec<usize>,
    pub dtype: DType,
    pub base: Vec<f64>,
    pub experts: Vec<Vec<f64>>,
    /// What the peer kept of each expert's task vector, where it drew masks.
    pub masks: Vec<Option<Vec<bool>>>,
}

impl Tensor {
    fn is_half(&self) -> bool {
        matches!(self.dtype, DType::F16 | DType::Bf16)
    }

    fn deltas(&self) -> Vec<Vec<f64>> {
        self.experts.iter().map(|expert| expert.iter().zip(&self.base).map(|(a, b)| a - b).collect()).collect()
    }

    /// How far the peer's rounding may have moved a difference.
    fn slack(&self, delta: f64) -> f64 {
        2.0 * ulp(delta.abs(), self.dtype)
    }

    /// The peer's relative error in a sum over the tensor.
    fn relative(&self) -> f64 {
        if self.is_half() { 0.03 } else { 1e-5 }
    }
}

/// Which entries a method keeps.
pub enum Keep {
    /// So many of the largest, as a function of the tensor's length.
    Largest {
        density: Vec<f64>,
        least: usize,
    },
    Middle {
        density: Vec<f64>,
        gamma: Vec<f64>,
    },
    Given,
}

/// mergekit's generalised task arithmetic, and PEFT's forms of it.
pub struct Deltas {
    pub weights: Vec<f64>,
    pub keep: Keep,
    /// Scale to the norm before (`None`), or by these factors.
    pub rescale: Rescale,
    /// `None`: everything is added. Otherwise whether entries vote with their weights.
    pub vote: Option<Vote>,
    pub normalize: bool,
    pub lambda: f64,
}

#[derive(Clone, PartialEq)]
pub enum Rescale {
    No,
    Norm,
    By(Vec<f64>),
}

#[derive(Clone, Copy, PartialEq)]
pub enum Vote {
    Weighted,
    Total,
    Frequency,
}

impl Deltas {
    pub fn of(&self, tensor: &Tensor) -> Vec<Exact> {
        let mut deltas = tensor.deltas();
        let mut unsure = vec![false; tensor.base.len()];
        for (i, delta) in deltas.iter_mut().enumerate() {
            let before: f64 = delta.iter().map(|x| x.abs()).sum();
            let dropped = match &self.keep {
                Keep::Given => tensor.masks[i].is_some(),
                Keep::Largest { density, .. } | Keep::Middle { density, .. } => density[i] < 1.0,
            };
            self.thin(tensor, i, delta, &mut unsure);
            let after: f64 = delta.iter().map(|x| x.abs()).sum();
            let factor = match &self.rescale {
                Rescale::Norm if dropped && before >= 1e-7 && after >= 1e-7 => before / after,
                Rescale::By(factors) if dropped => factors[i],
                _ => 1.0,
            };
            for x in delta.iter_mut() {
                *x *= factor;
            }
        }
        (0..tensor.base.len()).map(|at| self.element(tensor, &deltas, at, unsure[at])).collect()
    }

    fn thin(&self, tensor: &Tensor, i: usize, delta: &mut [f64], unsure: &mut [bool]) {
        let n = delta.len();
        let mut sizes: Vec<f64> = delta.iter().map(|x| x.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let (first, last) = match &self.keep {
            Keep::Given => {
                if let Some(mask) = &tensor.masks[i] {
                    delta.iter_mut().zip(mask).filter(|(_, keep)| !**keep).for_each(|(x, _)| *x = 0.0);
                }
                return;
            }
            Keep::Largest { density, .. } | Keep::Middle { density, .. } if density[i] >= 1.0 => return,
            Keep::Largest { density, least } => {
                let count = ((n as f64 * density[i]) as usize).max(if density[i] > 0.0 { *least } else { 0 });
                (n - count.min(n), n)
            }
            Keep::Middle { density, gamma } => {
                let (count, top) = ((n as f64 * density[i]) as usize, (n as f64 * gamma[i]) as usize);
                let first = n.saturating_sub(count + top);
                (first, first + count)
            }
        };
        if first >= last {
            return delta.fill(0.0);
        }
        let (low, high) = (sizes[first], sizes[last - 1]);
        for (x, unsure) in delta.iter_mut().zip(unsure) {
            let near = |edge: f64| (x.abs() - edge).abs() <= tensor.slack(*x);
            // The smallest and the largest of all are an edge to nobody.
            *unsure |= (first > 0 && near(low)) || (last < n && near(high));
            if x.abs() < low || x.abs() > high {
                *x = 0.0;
            }
        }
    }

    fn element(&self, tensor: &Tensor, deltas: &[Vec<f64>], at: usize, unsure: bool) -> Exact {
        let entries: Vec<(f64, f64)> = deltas.iter().zip(&self.weights).map(|(delta, w)| (delta[at], *w)).collect();
        let base = tensor.base[at];
        let size = base.abs() + entries.iter().map(|(d, w)| d.abs() + (d * w).abs()).sum::<f64>();
        let (mut unsure, mut sum, mut divisor) = (unsure, 0.0, 0.0);
        if let Some(vote) = self.vote {
            let cast = |&(d, w): &(f64, f64)| match vote {
                Vote::Weighted => d * w,
                Vote::Total => d,
                Vote::Frequency => {
                    if d == 0.0 {
                        0.0
                    } else {
                        d.signum()
                    }
                }
            };
            let votes: f64 = entries.iter().map(cast).sum();
            let slack: f64 = entries
                .iter()
                .map(|e| {
                    if vote == Vote::Frequency {
                        0.0
                    } else {
                        tensor.slack(cast(e)) + cast(e).abs() * tensor.relative()
                    }
                })
                .sum();
            unsure |= votes.abs() <= slack && (votes != 0.0 || slack > 0.0);
            let side = if votes >= 0.0 { 1.0 } else { -1.0 };
            for &(d, w) in &entries {
                if (if vote == Vote::Weighted { d * w } else { d }) * side > 0.0 {
                    sum += d * w;
                    divisor += if vote == Vote::Weighted { w } else { 1.0 };
                }
            }
        } else {
            sum = entries.iter().map(|(d, w)| d * w).sum();
            divisor = self.weights.iter().sum();
        }
        let divide = self.normalize && divisor.abs() > 1e-8;
        Exact { value: base + self.lambda * if divide { sum / divisor } else { sum }, size, unsure, defect: false }
    }
}

/// SCE, with weights in proportion to the mean squares whatever their size.
pub fn sce(tensor: &Tensor, share: f64) -> Vec<Exact> {
    let mut deltas = tensor.deltas();
    let (count, n) = (deltas.len() as f64, tensor.base.len());
    let mut unsure = vec![false; n];
    if share < 1.0 {
        let variance = |at: usize| {
            let mean = deltas.iter().map(|delta| delta[at]).sum::<f64>() / count;
            deltas.iter().map(|delta| (delta[at] - mean).powi(2)).sum::<f64>() / count
        };
        let variances: Vec<f64> = (0..n).map(variance).collect();
        let mut sorted = variances.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let selected = (sorted.iter().filter(|x| **x > 0.0).count() as f64 * share) as usize;
        let edge = if selected > 0 { sorted[selected - 1] } else { f64::INFINITY };
        for at in 0..n {
            unsure[at] = (variances[at] - edge).abs() <= edge * tensor.relative();
            if variances[at] < edge {
                for delta in &mut deltas {
                    delta[at] = 0.0;
                }
            }
        }
    }
    let squares: Vec<f64> = deltas.iter().map(|delta| delta.iter().map(|x| x * x).sum::<f64>()).collect();
    let sum: f64 = squares.iter().sum();
    let weights: Vec<f64> = squares.iter().map(|x| if sum > 0.0 { x / sum } else { 1.0 / count }).collect();
    let element = |at: usize| {
        let votes: f64 = deltas.iter().map(|delta| delta[at]).sum();
        let slack: f64 = deltas.iter().map(|delta| tensor.slack(delta[at])).sum();
        let side = if votes >= 0.0 { 1.0 } else { -1.0 };
        let agree = deltas.iter().zip(&weights).filter(|(delta, _)| delta[at] * side > 0.0);
        let (sum, divisor) = agree.fold((0.0, 0.0), |(sum, div), (delta, w)| (sum + delta[at] * w, div + w));
        let size = tensor.base[at].abs() + deltas.iter().map(|delta| delta[at].abs()).sum::<f64>();
        let value = tensor.base[at] + if divisor > 0.0 { sum / divisor } else { 0.0 };
        let unsure = unsure[at] || (votes.abs() <= slack && size > tensor.base[at].abs());
        // mergekit takes weights for equal where mean squares add up to less than this.
        Exact { value, size, unsure, defect: sum / n as f64 * 0.99 < 1e-6 }
    };
    (0..n).map(element).collect()
}

/// RAM, and with (r, alpha) RAM+.
pub fn ram(tensor: &Tensor, epsilon: f64, gain: Option<(f64, f64)>) -> Vec<Exact> {
    let deltas = tensor.deltas();
    let counts: Vec<usize> =
        (0..tensor.base.len()).map(|at| deltas.iter().filter(|delta| delta[at].abs() > epsilon).count()).collect();
    let gains: Vec<f64> = deltas
        .iter()
        .map(|delta| {
            let number = |several: bool| {
                let changed = delta.iter().zip(&counts).filter(|(x, _)| x.abs() > epsilon);
                changed.filter(|(_, count)| (**count > 1) == several).count() as f64
            };
            gain.map_or(1.0, |(r, alpha)| 1.0 + r * (number(true) / number(false).max(epsilon)).min(alpha))
        })
        .collect();
    let element = |at: usize| {
        let changed = deltas.iter().zip(&gains).filter(|(delta, _)| delta[at].abs() > epsilon);
        let sum: f64 = changed
            .map(|(delta, gain)| if counts[at] > 1 { delta[at] / counts[at] as f64 } else { delta[at] * gain })
            .sum();
        let near = |delta: &Vec<f64>| (delta[at].abs() - epsilon).abs() <= tensor.slack(epsilon);
        let size = tensor.base[at].abs() + deltas.iter().map(|delta| delta[at].abs()).sum::<f64>();
        Exact { value: tensor.base[at] + sum, size, unsure: deltas.iter().any(near), defect: false }
    };
    (0..tensor.base.len()).map(element).collect()
}

pub fn nearswap(tensor: &Tensor, t: f64) -> Vec<Exact> {
    let element = |(base, value): (&f64, &f64)| {
        let share = (t / (base - value).abs().max(1e-6)).min(1.0);
        Exact {
            value: share * value + (1.0 - share) * base,
            size: base.abs() + value.abs(),
            unsure: false,
            defect: false,
        }
    };
    tensor.base.iter().zip(&tensor.experts[0]).map(element).collect()
}

/// Arcee fusion: `noise` is what rounding may have done to the peer's divergences.
pub fn arcee_fusion(tensor: &Tensor) -> Vec<Exact> {
    let noise = if tensor.is_half() { 0.05 } else { 5e-7 };
    let row = tensor.shape.last().copied().unwrap_or(1).max(1);
    let softmax = |values: &[f64]| -> Vec<f64> {
        let powers: Vec<f64> = values.iter().map(|x| x.exp()).collect();
        powers.iter().map(|power| power / powers.iter().sum::<f64>() + 1e-8).collect()
    };
    let pairs = tensor.experts[0].chunks(row).zip(tensor.base.chunks(row));
    let divergences: Vec<f64> = pairs
        .map(|(x, b)| softmax(x).iter().zip(softmax(b)).map(|(p, q)| p * (p / q).ln()).sum::<f64>().max(0.0))
        .collect();
    let deltas = &tensor.deltas()[0];
    let importance: Vec<f64> = deltas.iter().enumerate().map(|(at, x)| x.abs() * divergences[at / row]).collect();
    let mut sorted = importance.clone();
    sorted.sort_by(f64::total_cmp);
    let quantile = |q: f64| sorted[(q * (sorted.len() - 1) as f64) as usize];
    let edge = quantile(0.5) + 1.5 * (quantile(0.75) - quantile(0.25));
    let largest = deltas.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    let element = |at: usize| Exact {
        value: if importance[at] >= edge { tensor.experts[0][at] } else { tensor.base[at] },
        size: tensor.base[at].abs(),
        unsure: (importance[at] - edge).abs() <= noise * (largest + deltas[at].abs()) + 1e-5 * edge,
        defect: false,
    };
    (0..deltas.len()).map(element).collect()
}

pub fn expo(tensor: &Tensor, extrapolation: f64) -> Vec<Exact> {
    let deltas = tensor.deltas();
    let element = |(at, base): (usize, &f64)| {
        let mean = deltas.iter().map(|delta| delta[at]).sum::<f64>() / deltas.len() as f64;
        let size = base.abs() + deltas.iter().map(|delta| delta[at].abs()).sum::<f64>();
        Exact { value: base + (1.0 + extrapolation) * mean, size, unsure: false, defect: false }
    };
    tensor.base.iter().enumerate().map(element).collect()
}

pub fn passthrough(tensor: &Tensor, scale: f64) -> Vec<Exact> {
    tensor.experts[0].iter().map(|x| Exact { value: scale * x, size: x.abs(), unsure: false, defect: false }).collect()
}

/// What `combine` makes of the experts' vectors along the last or the first dimension, around the base or the origin.
pub fn vectors(
    tensor: &Tensor,
    shape: &[usize],
    first: bool,
    around_base: bool,
    combine: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) -> Vec<Exact> {
    let n = tensor.base.len();
    let values: Vec<Vec<f64>> = if around_base { tensor.deltas() } else { tensor.experts.clone() };
    let (outer, inner) = match shape {
        [] => (1, 1),
        [length, ..] if first => (n / (*length).max(1), *length),
        [.., length] => (n / (*length).max(1), *length),
    };
    let mut exact = vec![Exact::default(); n];
    for vector in 0..outer {
        let at: Vec<usize> = (0..inner).map(|i| if first { i * outer + vector } else { vector * inner + i }).collect();
        let taken: Vec<Vec<f64>> = values.iter().map(|values| at.iter().map(|&at| values[at]).collect()).collect();
        for (i, (&at, combined)) in at.iter().zip(combine(&taken)).enumerate() {
            let origin = if around_base { tensor.base[at] } else { 0.0 };
            let size = origin.abs() + combined.abs() + taken.iter().map(|x| x[i].abs()).sum::<f64>();
            exact[at] = Exact { value: origin + combined, size, unsure: false, defect: false };
        }
    }
    exact
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// Σ cᵢxᵢ
fn sum(coefficients: &[f64], vectors: &[Vec<f64>]) -> Vec<f64> {
    let mut total = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for (c, vector) in coefficients.iter().zip(vectors) {
        total.iter_mut().zip(vector).for_each(|(total, x)| *total += c * x);
    }
    total
}

pub fn nuslerp(t: f64, vectors: &[Vec<f64>]) -> Vec<f64> {
    let norm = |x: &[f64]| norm(x).max(1e-7);
    let cosine = (dot(&vectors[0], &vectors[1]) / norm(&vectors[0]) / norm(&vectors[1])).clamp(-1.0, 1.0);
    let angle = cosine.acos();
    if angle.sin() < 1e-6 {
        return sum(&[1.0 - t, t], vectors);
    }
    sum(&[((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin()], vectors)
}

pub fn multislerp(weights: &[f64], normalize: bool, eps: f64, vectors: &[Vec<f64>]) -> Vec<f64> {
    let total: f64 = if normalize { weights.iter().sum() } else { 1.0 };
    let weights: Vec<f64> = weights.iter().map(|w| w / total).collect();
    if vectors.len() == 1 {
        return vectors[0].clone();
    }
    let units: Vec<Vec<f64>> = vectors.iter().map(|x| sum(&[1.0 / (norm(x) + eps)], std::slice::from_ref(x))).collect();
    let mean = sum(&weights, &units);
    if norm(&mean) < eps {
        return sum(&weights, vectors);
    }
    let mean = sum(&[1.0 / norm(&mean)], std::slice::from_ref(&mean));
    let tangents: Vec<Vec<f64>> =
        units.iter().map(|unit| sum(&[1.0, -dot(unit, &mean)], &[unit.clone(), mean.clone()])).collect();
    let tangent = sum(&weights, &tangents);
    let angle = norm(&tangent) + eps;
    let size: f64 = vectors.iter().zip(&weights).map(|(x, w)| norm(x) * w).sum();
    sum(&[size * angle.cos(), size * angle.sin() / angle], &[mean, tangent])
}

pub fn karcher(steps: usize, tol: f64, vectors: &[Vec<f64>]) -> Vec<f64> {
    let size: f64 = vectors.iter().map(|x| norm(x)).sum::<f64>() / vectors.len() as f64;
    let units: Vec<Vec<f64>> =
        vectors.iter().filter(|x| norm(x) > tol).map(|x| sum(&[1.0 / norm(x)], std::slice::from_ref(x))).collect();
    let Some(first) = units.first() else { return vec![0.0; vectors[0].len()] };
    let share = vec![1.0 / units.len() as f64; units.len()];
    let middle = sum(&share, &units);
    let mut mean =
        if norm(&middle) < tol { first.clone() } else { sum(&[1.0 / norm(&middle)], std::slice::from_ref(&middle)) };
    for _ in 0..steps {
        let logs = units.iter().map(|unit| {
            let cosine = dot(unit, &mean).clamp(-1.0, 1.0);
            let angle = cosine.acos();
            let factor = if angle < tol || angle > std::f64::consts::PI - tol { 0.0 } else { angle / angle.sin() };
            sum(&[factor, -factor * cosine], &[unit.clone(), mean.clone()])
        });
        let tangent = sum(&share, &logs.collect::<Vec<_>>());
        let step = norm(&tangent);
        if step < tol {
            break;
        }
        mean = sum(&[step.cos(), step.sin() / step], &[mean, tangent]);
        mean = sum(&[1.0 / norm(&mean)], std::slice::from_ref(&mean));
    }
    sum(&[size], &[mean])
}

/// Model Stock, of task vectors.
pub fn model_stock(vectors: &[Vec<f64>]) -> Vec<f64> {
    let n = vectors.len();
    let mut cosines = Vec::new();
    for i in 0..n {
        for j in i + 1..n {
            let norms = norm(&vectors[i]) * norm(&vectors[j]);
            cosines.push((dot(&vectors[i], &vectors[j]) / norms.max(1e-6)).clamp(-1.0, 1.0));
        }
    }
    let cosine = cosines.iter().sum::<f64>() / cosines.len() as f64;
    let divisor = 1.0 + (n as f64 - 1.0) * cosine;
    let t = if divisor.abs() < 1e-6 { 0.0 } else { n as f64 * cosine / divisor };
    sum(&vec![t / n as f64; n], vectors)
}
