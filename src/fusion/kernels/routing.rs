//! Routers of a mixture: their first numbers, and moving them down the entropy of the mixture's answers.

use super::centre::Centre;
use super::downhill::{Hill, Slope, descend};
use crate::fusion::options::routing::Params;
use crate::fusion::{
    Adapted, Affine, Body, Calibration, Context, FusionError, Method, Mixture, News, Perceptron, Place, Pool, Routed,
    RoutedTask, Router, Sees, seeded,
};
use std::sync::Arc;

/// The standard deviation of the first numbers of weights.
const DEVIATION: f32 = 0.01;

/// A router with one layer between each two of these widths, the first being that of its inputs: weights drawn from
/// N(0, 0.01²), biases zero but for the last, which is what the router answers to nothing. With one width only, a
/// constant.
fn first_router(widths: &[usize], answer: f32, seed: u64, name: &str) -> Perceptron {
    let layer = |(at, pair): (usize, &[usize])| {
        let mut stream = seeded::stream("router", seed, &[&(at as u64).to_le_bytes(), name.as_bytes()]);
        let weight = (0..pair[0] * pair[1]).map(|_| DEVIATION * seeded::normal(&mut stream)).collect();
        let last = at + 2 == widths.len();
        Affine { inputs: pair[0], weight, bias: vec![if last { answer } else { 0.0 }; pair[1]] }
    };
    let mut layers: Vec<Affine> = widths.windows(2).enumerate().map(layer).collect();
    if let (true, Some(width)) = (layers.is_empty(), widths.first()) {
        layers.push(Affine { inputs: 0, weight: Vec::new(), bias: vec![answer; *width] });
    }
    Perceptron { sees: Sees::Tokens, layers, select: None }
}

/// How wide a router is.
#[derive(Debug, Clone, Copy)]
pub(in crate::fusion) struct Widths {
    pub input: usize,
    /// Between two layers.
    pub hidden: usize,
    pub answer: usize,
}

/// First routers for all places of `body`, of so many layers each; they look at the places' inputs.
pub(in crate::fusion) fn first_routers(
    body: &Body,
    layers: usize,
    params: &Params,
    widths: impl Fn(&Place) -> Widths,
) -> Vec<Perceptron> {
    let mut routers = Vec::new();
    for place in &body.places {
        // Places that share a router come after the one that it is named after.
        if place.router == routers.len() {
            let Widths { input, hidden, answer } = widths(place);
            let widths = match layers {
                0 => vec![answer],
                1 => vec![input, answer],
                _ => vec![input, hidden, answer],
            };
            routers.push(first_router(&widths, params.init as f32, params.seed, &place.name));
        }
    }
    routers
}

/// Trains the routers.
///
/// Every step asks for the mean entropy on one batch of each expert's task and for its slope over the routers' numbers,
/// which are moved as [`Centre`] sees them; the first batches say where that centre is.
/// Memory: the mixture, the graph of one batch a core, and two moments for every number of a router.
///
/// Ends early as [`go`](super::downhill::go) does; the context's listener is told how many steps that is.
///
/// # Errors
/// A loss that is no number from the beginning; what the data report; cancellation.
pub(in crate::fusion) fn train(
    method: &Method,
    body: &Arc<Body>,
    routers: &[Perceptron],
    params: &Params,
    pool: &Pool,
    cx: &mut Context<'_>,
) -> Result<Mixture, FusionError> {
    let data = method.data(cx)?;
    let tasks: Vec<&str> = pool.experts().iter().map(|(name, _)| name.as_str()).collect();
    let mut numbers: Vec<f64> = routers.iter().flat_map(Perceptron::numbers).map(f64::from).collect();
    let mut hill = Routing { body, routers, params, data, tasks, centre: Centre::none(), first: None, found: None };
    cx.phase("adapt", params.steps, "steps");
    if params.steps > 0 {
        let first = data.routed(&hill.tasks, &hill.mixture(&numbers), params.draw(), 0, cx)?;
        hill.centre = Centre::new(body, routers, &first.seen);
        hill.centre.enter(&mut numbers);
        hill.first = Some(first);
    }
    descend(method, (params.steps, |_| params.rate), &mut numbers, &mut hill, cx)?;
    Ok(hill.mixture(&numbers))
}

/// The entropy over all routers' numbers, router after router.
struct Routing<'a> {
    body: &'a Arc<Body>,
    routers: &'a [Perceptron],
    params: &'a Params,
    data: &'a dyn Calibration,
    tasks: Vec<&'a str>,
    centre: Centre,
    /// Of the first step, which the centre was found with.
    first: Option<Routed>,
    /// Of the last step.
    found: Option<Routed>,
}

impl Routing<'_> {
    /// The mixture whose routers' numbers are these, seen from the centre.
    fn mixture(&self, numbers: &[f64]) -> Mixture {
        let mut numbers = numbers.to_vec();
        self.centre.leave(&mut numbers);
        let mut rest = numbers.iter().map(|x| *x as f32);
        let routers = self
            .routers
            .iter()
            .map(|router| Router::Perceptron(Arc::new(router.with_numbers(rest.by_ref().take(router.len())))));
        Mixture { body: Arc::clone(self.body), routers: routers.collect() }
    }
}

impl Hill for Routing<'_> {
    fn slope(&mut self, numbers: &[f64], step: usize, cx: &mut Context<'_>) -> Result<Option<Slope>, FusionError> {
        let found = match self.first.take() {
            Some(first) => first,
            None => self.data.routed(&self.tasks, &self.mixture(numbers), self.params.draw(), step, cx)?,
        };
        if found.losses.iter().any(|loss| !loss.is_finite()) {
            return Ok(None);
        }
        let mut over = found.slopes.concat();
        self.centre.slope(&mut over);
        let information = found.information;
        self.found = Some(found);
        Ok(Some(Slope { over, information }))
    }

    fn tell(&mut self, _: &[f64], step: usize, after_step: bool, cx: &mut Context<'_>) {
        let steps = self.params.steps;
        let Some(found) = self.found.take().filter(|_| after_step) else {
            cx.tell(News::Adapted(Adapted { step, steps, ..Adapted::default() }));
            return;
        };
        cx.tell(News::Adapted(Adapted { step, steps, losses: found.losses, ..Adapted::default() }));
        cx.tell(routed(self.body, &self.tasks, &found.weights));
    }
}

/// Whom the tasks were sent to: `weights` are `[task][place · expert]`.
fn routed(body: &Body, tasks: &[&str], weights: &[Vec<f64>]) -> News {
    let experts = body.experts.len();
    let of = |(task, weights): (&&str, &Vec<f64>)| RoutedTask {
        task: (*task).to_owned(),
        weights: weights.chunks(experts.max(1)).map(<[f64]>::to_vec).collect(),
    };
    let places = body.places.iter().map(|place| place.name.clone()).collect();
    News::Routed { places, experts: body.experts.clone(), tasks: tasks.iter().zip(weights).map(of).collect() }
}
