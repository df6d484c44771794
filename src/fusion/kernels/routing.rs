//! Routers of a mixture: their first numbers, and moving them down the entropy of the mixture's answers.

use super::adam::Adam;
use super::adaptation::{no_start, settle, warn};
use crate::fusion::options::routing::Params;
use crate::fusion::{
    Adapted, Affine, Body, Context, FusionError, Method, Mixture, News, Perceptron, Place, Pool, RoutedTask, Router,
    Sees, seeded,
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
/// Every step asks for the mean entropy on one batch of each expert's task and for its slope over the routers' numbers.
/// Memory: the mixture, the graph of one batch a core, and two moments for every number of a router.
///
/// A person who has seen enough, and a loss or slope that is no number, end it early: what it was worth before is kept,
/// and the context's listener is told how many steps that is.
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
    let mut before = numbers.clone();
    let mut adam = Adam::new(params.rate, numbers.len());
    let mixture = |numbers: &[f64]| {
        let mut rest = numbers.iter().map(|x| *x as f32);
        let routers = routers
            .iter()
            .map(|router| Router::Perceptron(Arc::new(router.with_numbers(rest.by_ref().take(router.len())))));
        Mixture { body: Arc::clone(body), routers: routers.collect() }
    };
    cx.phase("adapt", params.steps, "steps");
    let mut done = 0;
    let settled = loop {
        if done == params.steps || cx.is_enough() {
            break done;
        }
        let found = data.routed(&tasks, &mixture(&numbers), params.draw(), done, cx)?;
        if found.losses.iter().any(|loss| !loss.is_finite()) {
            // Where it stands answers with no numbers; where it stood before did not.
            numbers.clone_from(&before);
            if done == 0 {
                return Err(no_start(method));
            }
            warn(done, done - 1, cx);
            break done - 1;
        }
        let slope = found.slopes.concat();
        if slope.iter().any(|x| !x.is_finite()) {
            warn(done + 1, done, cx);
            break done;
        }
        before.clone_from(&numbers);
        adam.step(&mut numbers, &slope);
        done += 1;
        let (step, steps, losses) = (done, params.steps, found.losses);
        cx.tell(News::Adapted(Adapted { step, steps, losses, ..Adapted::default() }));
        cx.tell(routed(body, &tasks, &found.weights));
        cx.advance(1);
    };
    settle("steps", settled, params.steps, cx);
    Ok(mixture(&numbers))
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
