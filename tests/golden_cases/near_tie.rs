//! Where two candidates of an exact selection differ by less than rounding, either choice is right.

use crate::case::Inputs;
use crate::compare::ulp;
use fusebench::weights::DType;

/// Task vectors in f64, as `[expert][tensor]`, with what is needed to recognise a near tie.
pub struct TaskVectors {
    names: Vec<String>,
    dtypes: Vec<DType>,
    /// `[tensor][element]`
    base: Vec<Vec<f64>>,
    /// `[expert][tensor][element]`
    deltas: Vec<Vec<Vec<f64>>>,
}

impl TaskVectors {
    pub fn of(inputs: &Inputs) -> Self {
        let base = inputs.pool.base().expect("a base");
        let names: Vec<String> = base.tensors().iter().map(|info| info.name.clone()).collect();
        let values: Vec<Vec<f64>> = base.iter().map(|tensor| tensor.to_f64_vec()).collect();
        let deltas = |expert: &fusebench::weights::Checkpoint| {
            let delta = |(name, base): (&String, &Vec<f64>)| {
                expert.get(name).expect("same names").to_f64_vec().iter().zip(base).map(|(a, b)| a - b).collect()
            };
            names.iter().zip(&values).map(delta).collect()
        };
        Self {
            deltas: inputs.pool.experts().iter().map(|(_, expert)| deltas(expert)).collect(),
            dtypes: base.tensors().iter().map(|info| info.dtype).collect(),
            names,
            base: values,
        }
    }

    /// Changes every task vector: (expert, tensor name, element, value) → value.
    pub fn map(&mut self, change: impl Fn(usize, &str, usize, f64) -> f64) {
        for (expert, tensors) in self.deltas.iter_mut().enumerate() {
            for (name, values) in self.names.iter().zip(tensors) {
                values.iter_mut().enumerate().for_each(|(at, value)| *value = change(expert, name, at, *value));
            }
        }
    }

    /// All entries of one expert.
    fn flat(&self, expert: usize) -> Vec<f64> {
        self.deltas[expert].iter().flatten().copied().collect()
    }

    /// The magnitude from which on TIES keeps an expert's entries.
    pub fn thresholds(&self, density: f64) -> Vec<f64> {
        let threshold = |expert| {
            let mut sizes: Vec<f64> = self.flat(expert).iter().map(|x| x.abs()).collect();
            sizes.sort_by(f64::total_cmp);
            let rank = sizes.len() - (sizes.len() as f64 * density) as usize;
            sizes[rank.max(1) - 1]
        };
        (0..self.deltas.len()).map(threshold).collect()
    }

    /// The sign of most elements' sums of kept entries.
    pub fn majority(&self, thresholds: &[f64]) -> f64 {
        let experts: Vec<Vec<f64>> = (0..self.deltas.len()).map(|expert| self.flat(expert)).collect();
        let vote = |at: usize| {
            let kept = |(x, t): (&Vec<f64>, &f64)| if x[at].abs() >= *t { x[at] } else { 0.0 };
            let sum: f64 = experts.iter().zip(thresholds).map(kept).sum();
            if sum == 0.0 { 0.0 } else { sum.signum() }
        };
        let votes: f64 = (0..experts.first().map_or(0, Vec::len)).map(vote).sum();
        if votes == 0.0 { 0.0 } else { votes.signum() }
    }

    /// Each expert's entry at one place.
    pub fn values(&self, tensor: &str, at: usize) -> Vec<f64> {
        self.entries(tensor, at).into_iter().map(|(value, _)| value).collect()
    }

    /// Each expert's entry at one place, and how far the peer's rounding may have moved it.
    fn entries(&self, tensor: &str, at: usize) -> Vec<(f64, f64)> {
        let index = self.names.iter().position(|name| name == tensor).expect("a tensor of the pool");
        // The peer subtracts and rounds in the tensors' own dtype.
        let entry = |expert: &Vec<Vec<f64>>| {
            let value = expert[index][at];
            (value, 2.0 * ulp(value.abs(), self.dtypes[index]))
        };
        self.deltas.iter().map(entry).collect()
    }

    /// Whether TIES' trimming or election could go either way at this element.
    pub fn ties_could_differ(&self, thresholds: &[f64], tensor: &str, at: usize) -> bool {
        let entries = self.entries(tensor, at);
        let near = |(&(value, slack), threshold): (&(f64, f64), &f64)| (value.abs() - threshold).abs() <= slack;
        let kept = |(&(value, _), threshold): (&(f64, f64), &f64)| if value.abs() >= *threshold { value } else { 0.0 };
        let sum: f64 = entries.iter().zip(thresholds).map(kept).sum();
        let slack: f64 = entries.iter().map(|(_, slack)| slack).sum();
        entries.iter().zip(thresholds).any(near) || (sum.abs() <= slack && sum != 0.0)
    }

    /// Whether two experts' entries are so close in magnitude that either may be the largest.
    pub fn largest_could_differ(&self, tensor: &str, at: usize) -> bool {
        let mut entries = self.entries(tensor, at);
        entries.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
        entries.windows(2).next().is_some_and(|two| two[0].0.abs() - two[1].0.abs() <= two[0].1)
    }

    /// θ₀ + λ·(what `combine` makes of the experts' entries), in f64.
    pub fn exact(&self, tensor: &str, at: usize, lambda: f64, combine: impl Fn(&[f64]) -> f64) -> f64 {
        let index = self.names.iter().position(|name| name == tensor).expect("a tensor of the pool");
        let entries: Vec<f64> = self.deltas.iter().map(|expert| expert[index][at]).collect();
        self.base[index][at] + lambda * combine(&entries)
    }
}
