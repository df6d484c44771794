//! Networks from preferences to coefficients, and training them: a point of the Pareto front for every preference.

use super::downhill::{Hill, Slope, descend};
use super::space::{Space, Table};
use crate::fusion::{Calibration, Context, Draw, FusionError, Method, News, seeded};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use std::collections::BTreeMap;

/// How the networks are trained.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::fusion) struct Training {
    pub steps: usize,
    /// Learning rate of Adam at the beginning; it falls to a tenth along a cosine.
    pub rate: f64,
    /// Steps that it takes to fall; where it stays then.
    pub fall: usize,
    pub draw: Draw,
}

/// A network of one layer or two from a preference, which has a number for each expert, to a coefficient for each.
#[derive(Debug, Clone, PartialEq)]
struct Network {
    experts: usize,
    /// Width between two layers; 0: there is one.
    hidden: usize,
    /// Of each layer the weight, `[outputs, inputs]`, then the bias.
    numbers: Vec<f64>,
}

/// A network for every place, which is several tensors, in models with a coefficient for each expert and tensor.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::fusion) struct Networks {
    each: Vec<Network>,
    /// Which network a tensor's coefficients come from; none: they are what they were to begin with.
    places: Vec<Option<usize>>,
    init: f64,
}

/// The standard deviation of the first weights.
const DEVIATION: f64 = 0.01;

impl Network {
    fn new(experts: usize, layers: usize, init: f64, stream: &mut ChaCha8Rng) -> Self {
        let hidden = if layers > 1 { 2 * experts } else { 0 };
        let mut network = Self { experts, hidden, numbers: Vec::new() };
        for (inputs, outputs, last) in network.shapes() {
            let weights = (0..inputs * outputs).map(|_| DEVIATION * f64::from(seeded::normal(stream)));
            network.numbers.extend(weights);
            network.numbers.extend(std::iter::repeat_n(if last { init } else { 0.0 }, outputs));
        }
        network
    }

    /// Inputs and outputs of each layer, and whether it is the last.
    fn shapes(&self) -> Vec<(usize, usize, bool)> {
        let (t, h) = (self.experts, self.hidden);
        if h > 0 { vec![(t, h, false), (h, t, true)] } else { vec![(t, t, true)] }
    }

    /// What every layer is given, and in the end what comes out.
    fn forward(&self, preference: &[f64]) -> Vec<Vec<f64>> {
        let (mut seen, mut rest) = (vec![preference.to_vec()], &self.numbers[..]);
        for (inputs, outputs, last) in self.shapes() {
            let (weight, bias) = rest[..(inputs + 1) * outputs].split_at(inputs * outputs);
            rest = &rest[(inputs + 1) * outputs..];
            let input = &seen[seen.len() - 1];
            let row = |(weights, bias): (&[f64], &f64)| bias + dot(weights, input);
            let out: Vec<f64> = weight.chunks_exact(inputs).zip(bias).map(row).collect();
            seen.push(if last { out } else { out.iter().map(|x| x.max(0.0)).collect() });
        }
        seen
    }

    /// The slope over the numbers, from that over what came out of [`forward`](Self::forward).
    fn backward(&self, seen: &[Vec<f64>], slope: &[f64]) -> Vec<f64> {
        let (mut found, mut slope) = (vec![0.0; self.numbers.len()], slope.to_vec());
        let mut end = self.numbers.len();
        for (at, (inputs, outputs, last)) in self.shapes().into_iter().enumerate().rev() {
            let begin = end - (inputs + 1) * outputs;
            if !last {
                slope.iter_mut().zip(&seen[at + 1]).filter(|(_, out)| **out <= 0.0).for_each(|(slope, _)| *slope = 0.0);
            }
            let mut below = vec![0.0; inputs];
            for (row, slope) in slope.iter().enumerate() {
                for (column, input) in seen[at].iter().enumerate() {
                    found[begin + row * inputs + column] = slope * input;
                    below[column] += slope * self.numbers[begin + row * inputs + column];
                }
                found[begin + inputs * outputs + row] = *slope;
            }
            (slope, end) = (below, begin);
        }
        found
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Networks {
    /// Untrained networks for all places: `place` names that of a tensor.
    pub(in crate::fusion) fn new<'a>(
        space: &'a Space<'_>,
        layers: usize,
        init: f64,
        seed: u64,
        place: impl Fn(&'a str) -> Option<&'a str>,
    ) -> Self {
        let (mut known, mut networks) = (BTreeMap::new(), Vec::new());
        let mut of = |name: &'a str| {
            Some(*known.entry(place(name)?).or_insert_with_key(|place| {
                let mut stream = seeded::stream("preference", seed, &[place.as_bytes()]);
                networks.push(Network::new(space.experts(), layers, init, &mut stream));
                networks.len() - 1
            }))
        };
        let places = space.rows.iter().map(|row| of(&row.info.name)).collect();
        Self { each: networks, places, init }
    }

    /// The coefficients for a preference, `[expert][tensor]`.
    pub(in crate::fusion) fn table(&self, preference: &[f64]) -> Table {
        let found: Vec<Vec<f64>> = self.each.iter().filter_map(|net| net.forward(preference).pop()).collect();
        let coefficient = |expert: usize, place: &Option<usize>| place.map_or(self.init, |at| found[at][expert]);
        let row = |expert| self.places.iter().map(|place| coefficient(expert, place)).collect();
        (0..preference.len()).map(row).collect()
    }

    /// The slope over all numbers, from that over the coefficients, `[expert][tensor]`.
    fn backward(&self, preference: &[f64], along: &[Vec<f64>]) -> Vec<f64> {
        let mut slopes = vec![vec![0.0; preference.len()]; self.each.len()];
        for (tensor, place) in self.places.iter().enumerate() {
            if let Some(place) = place {
                slopes[*place].iter_mut().zip(along).for_each(|(sum, row)| *sum += row[tensor]);
            }
        }
        let pairs = self.each.iter().zip(&slopes);
        pairs.flat_map(|(network, slope)| network.backward(&network.forward(preference), slope)).collect()
    }

    fn numbers(&self) -> Vec<f64> {
        self.each.iter().flat_map(|network| network.numbers.iter().copied()).collect()
    }

    fn set(&mut self, numbers: &[f64]) {
        let places = self.each.iter_mut().flat_map(|network| &mut network.numbers);
        places.zip(numbers).for_each(|(place, number)| *place = *number);
    }

    /// Trains them on labelled examples: each step draws a preference p, uniformly from all that add up to 1, and goes down
    /// Σ pᵢ · cross-entropy of task i (linear scalarisation). Gives how many steps were good. `shown` is the preference
    /// whose coefficients are told.
    ///
    /// # Errors
    /// A loss that is no number from the beginning; what the data report; cancellation.
    pub(in crate::fusion) fn train(
        &mut self,
        method: &Method,
        training: &Training,
        shown: &[f64],
        space: &Space<'_>,
        data: &dyn Calibration,
        cx: &mut Context<'_>,
    ) -> Result<usize, FusionError> {
        let mut numbers = self.numbers();
        // To a tenth along a cosine.
        let share = |step: usize| (std::f64::consts::PI * (step as f64 / training.fall.max(1) as f64).min(1.0)).cos();
        let rate = |step: usize| training.rate * (0.55 + 0.45 * share(step));
        cx.phase("adapt", training.steps, "steps");
        let mut hill = Scalarisation { networks: self, training, shown, space, data, losses: Vec::new() };
        let done = descend(method, (training.steps, rate), &mut numbers, &mut hill, cx)?;
        self.set(&numbers);
        Ok(done)
    }
}

/// Σ pᵢ · cross-entropy of task i over all networks' numbers, with another preference p in each step.
struct Scalarisation<'a, 'b> {
    networks: &'a mut Networks,
    training: &'a Training,
    shown: &'a [f64],
    space: &'a Space<'b>,
    data: &'a dyn Calibration,
    /// Of the last step.
    losses: Vec<f64>,
}

impl Hill for Scalarisation<'_, '_> {
    fn slope(&mut self, numbers: &[f64], step: usize, cx: &mut Context<'_>) -> Result<Option<Slope>, FusionError> {
        self.networks.set(numbers);
        let tasks = self.space.tasks();
        let preference = drawn(tasks.len(), self.training.draw.seed, step);
        let weights = self.space.weights(&self.space.plan(&self.networks.table(&preference)), step, cx)?;
        let found = self.data.cross_entropy(&tasks, Some(&preference), weights, self.training.draw, step, cx)?;
        if found.losses.iter().any(|loss| !loss.is_finite()) {
            return Ok(None);
        }
        self.losses = found.losses;
        let over = self.networks.backward(&preference, &self.space.along(&found.slope, cx)?);
        Ok(Some(Slope { over, information: found.information }))
    }

    fn tell(&mut self, numbers: &[f64], done: usize, after_step: bool, cx: &mut Context<'_>) {
        self.networks.set(numbers);
        if !after_step {
            self.losses.clear();
        }
        let table = self.networks.table(self.shown);
        cx.tell(News::Adapted(self.space.news(&table, &self.losses, (done, self.training.steps), false)));
    }
}

/// A preference of step `step`, from Dirichlet(1, …, 1).
fn drawn(tasks: usize, seed: u64, step: usize) -> Vec<f64> {
    let mut stream = seeded::stream("preference of a step", seed, &[&(step as u64).to_le_bytes()]);
    let parts: Vec<f64> = (0..tasks).map(|_| -((f64::from(stream.next_u32()) + 0.5) / 4_294_967_296.0).ln()).collect();
    let sum: f64 = parts.iter().sum();
    parts.iter().map(|part| part / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_what_differences_say() {
        for layers in [1, 2] {
            let mut network = Network::new(3, layers, 0.3, &mut seeded::stream("test", 4, &[]));
            // Larger than at first, so that some hidden units are on and some off.
            network.numbers.iter_mut().enumerate().for_each(|(at, x)| *x += (at as f64 * 1.3).sin());
            let (preference, along) = ([0.2, 0.5, 0.3], [1.0, -2.0, 0.5]);
            let value = |network: &Network| dot(&network.forward(&preference).pop().unwrap(), &along);
            let slope = network.backward(&network.forward(&preference), &along);
            for at in 0..network.numbers.len() {
                let nudged = |by: f64| {
                    let mut nudged = network.clone();
                    nudged.numbers[at] += by;
                    value(&nudged)
                };
                let measured = (nudged(1e-6) - nudged(-1e-6)) / 2e-6;
                assert!((measured - slope[at]).abs() < 1e-6, "{layers} layers, number {at}: {measured} {}", slope[at]);
            }
        }
    }

    #[test]
    fn preferences_are_spread_over_the_simplex() {
        let mut mean = [0.0; 4];
        for step in 0..2000 {
            let preference = drawn(4, 1, step);
            assert!((preference.iter().sum::<f64>() - 1.0).abs() < 1e-12 && preference.iter().all(|x| *x > 0.0));
            mean.iter_mut().zip(&preference).for_each(|(sum, x)| *sum += x / 2000.0);
        }
        assert!(mean.iter().all(|x| (x - 0.25).abs() < 0.02), "{mean:?}");
        assert!((0..2000).any(|step| drawn(4, 1, step)[0] > 0.8));
    }
}
