//! Gossip merging (`FusionBench`): every expert is a node that merges what its neighbours have, round after round.
//!
//! All nodes merge around the same θ₀, so what a node has is always θ₀ + Σ cᵢτᵢ: tables of coefficients, one a node, are all
//! that is kept beside AdaMerging's memory, where `FusionBench` keeps as many models as nodes. The result is linear in the
//! task vectors.

use crate::fusion::kernels::descent::{Descent, Directions, Walk};
use crate::fusion::kernels::downhill::{At, Look, Way, go};
use crate::fusion::kernels::schedule::Schedule;
use crate::fusion::kernels::space::{Space, Table};
use crate::fusion::{Context, Draw, Examples, Family, Fused, FusionError, Method, Needs, News, Pool, Shown};
use crate::params::{ParamSet, choice, flag, float, int, seed};
use std::collections::BTreeSet;

crate::params! {
    /// Whom a node hears: those on both sides of it, or the next few.
    topology: String = choice("ring", &["ring", "rotate"]).costly();
    /// How many of the next a node hears, with `topology = "rotate"`.
    next: usize = int(1, 1, 32, 1).at_least(1.0).costly();
    /// Rounds; in each all nodes merge what they hear, and then all have something new.
    rounds: usize = int(4, 0, 100, 1).at_least(0.0).up_to(1e6).costly();
    /// Steps of Adam that every node takes in a round.
    steps: usize = int(10, 1, 1000, 10).at_least(1.0).up_to(1e6).costly();
    /// Steps of the last round; 0: as many as in the others.
    last: usize = int(0, 0, 1000, 10).at_least(0.0).up_to(1e6).costly().advanced();
    /// Learning rate of Adam.
    rate: f64 = float(0.03, 1e-5, 1.0, 1e-3).above(0.0).logarithmic().symbol("η").costly();
    /// Coefficient of everything that a node hears, at the start of each round.
    init: f64 = float(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ₀").costly();
    /// Nodes adapt to inputs of tasks that word of has reached them; else to those of all tasks.
    reachable: bool = flag(true).costly().advanced();
    /// Inputs that are adapted to: test inputs make the result transductive, and it is labelled so.
    data: String = choice("validation", &["validation", "test"]).costly();
    /// Inputs of each task in a step.
    batch: usize = int(16, 1, 512, 8).at_least(1.0).costly().advanced();
    /// Inputs of each task that are drawn from; all where a task has fewer.
    samples: usize = int(4096, 1, 4096, 64).at_least(1.0).costly().advanced();
    /// Seed of the order of inputs.
    seed: u64 = seed(0).costly();
}

pub static METHOD: Method = Method {
    id: "gossip",
    name: "Gossip merging",
    family: Family::Merging,
    formula: "θⱼ ← θ₀ + Σ λᵢˡ(θᵢˡ − θ₀ˡ) over j's neighbours i, λ moved down Σ H(f(x)); then the mean of all θⱼ",
    summary: "Merging without a centre: every expert is a node that runs layer-wise AdaMerging on itself and its neighbours, \
              all of them at once, round after round; the result is the mean of all nodes. No labels. What nodes hold stays \
              a mix of the task vectors, so only their coefficients are kept, and the result can be moved by hand.",
    reference: "",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Inputs },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let data = METHOD.data(cx)?;
    let shown = Shown::named(&params.data);
    let draw = Draw { shown, samples: params.samples, batch: params.batch, seed: params.seed };
    let space = Space::new(pool, false, cx)?;
    let schedule = Schedule { rounds: params.rounds, steps: params.steps, last: params.last };
    let descent = Descent { space: &space, data, draw, rate: params.rate, init: params.init };
    let nodes = space.experts();
    let models: Vec<Table> = (0..nodes).map(|node| own(&space, node)).collect();
    let known = (0..nodes).map(|node| BTreeSet::from([node])).collect();
    cx.phase("adapt", schedule.total(), "steps");
    let mut gossip = Gossip { params, schedule, descent, models, walks: Vec::new(), known, losses: Vec::new() };
    let done = go(&METHOD, schedule.total(), &mut gossip, cx)?;
    schedule.settle(done, cx);
    Ok(Fused::Linear(space.plan(&mean(&gossip.models))))
}

/// All nodes, side by side.
struct Gossip<'a> {
    params: Params,
    schedule: Schedule,
    descent: Descent<'a>,
    /// What each node has.
    models: Vec<Table>,
    /// Each node's way through the round that is going on.
    walks: Vec<Walk>,
    /// The tasks that word of has reached each node.
    known: Vec<BTreeSet<usize>>,
    /// Of each task on the mean over the nodes that looked at it last: each at least at its own.
    losses: Vec<f64>,
}

impl Gossip<'_> {
    /// Every node merges what it hears.
    fn hear(&mut self) {
        let nodes = self.models.len();
        let heard = |node| heard(&self.params, node, nodes);
        let known = (0..nodes).map(|node| heard(node).iter().flat_map(|&i| self.known[i].clone()).collect());
        let walk = |node| {
            let along = heard(node).into_iter().map(|i| self.models[i].clone()).collect();
            self.descent.begin(Directions { along, offset: self.descent.space.uniform(0.0) })
        };
        (self.known, self.walks) = (known.collect(), (0..nodes).map(walk).collect());
    }

    /// All nodes look at where they are; whether their slopes are numbers, or nothing if a loss is none.
    fn look_around(&mut self, batch: usize, cx: &mut Context<'_>) -> Result<Option<bool>, FusionError> {
        let names = self.descent.space.tasks();
        let mut losses = vec![(0.0, 0); names.len()];
        let mut clear = true;
        for (walk, known) in self.walks.iter_mut().zip(&self.known) {
            let tasks: Vec<usize> =
                if self.params.reachable { known.iter().copied().collect() } else { (0..names.len()).collect() };
            let of: Vec<&str> = tasks.iter().map(|&task| names[task]).collect();
            let Some(seen) = self.descent.look(walk, &of, batch, cx)? else { return Ok(None) };
            for (task, loss) in tasks.into_iter().zip(seen.losses) {
                losses[task] = (losses[task].0 + loss, losses[task].1 + 1);
            }
            clear &= seen.clear;
        }
        self.losses = losses.iter().map(|(sum, count)| sum / f64::from(*count)).collect();
        Ok(Some(clear))
    }

    fn tell(&self, done: usize, cx: &mut Context<'_>) {
        let (space, at) = (self.descent.space, (done, self.schedule.total()));
        cx.tell(News::Adapted(space.news(&mean(&self.models), &self.losses, at, false)));
    }
}

/// What answers tell of images is asked where a round begins, and at the end: of the mean of all nodes, which is what comes
/// out, and not of what they merge then.
impl Way for Gossip<'_> {
    type Place = Vec<Table>;

    fn look(&mut self, At { done, batch, ends }: At, cx: &mut Context<'_>) -> Result<Look, FusionError> {
        let mut information = None;
        if ends || self.schedule.is_start(done) {
            let tasks = self.descent.space.tasks();
            let Some(found) = self.descent.entropy(&mean(&self.models), &tasks, batch, cx)? else {
                return Ok(Look::Lost);
            };
            information = found.information;
        }
        if ends {
            return Ok(Look::Clear(information));
        }
        if self.schedule.is_start(done) && batch == done {
            self.hear();
        }
        Ok(match self.look_around(batch, cx)? {
            None => Look::Lost,
            Some(false) => Look::Stuck,
            Some(true) => Look::Clear(information),
        })
    }

    fn step(&mut self, done: usize, cx: &mut Context<'_>) -> Result<(), FusionError> {
        self.walks.iter_mut().for_each(|walk| self.descent.step(walk));
        self.models = self.walks.iter().map(|walk| walk.table.clone()).collect();
        self.tell(done + 1, cx);
        Ok(())
    }

    fn place(&self) -> Vec<Table> {
        self.models.clone()
    }

    fn return_to(&mut self, place: Vec<Table>, done: usize, cx: &mut Context<'_>) {
        self.models = place;
        self.losses.clear();
        self.tell(done, cx);
    }
}

/// A node's expert, as coefficients.
fn own(space: &Space<'_>, node: usize) -> Table {
    let mut table = space.uniform(0.0);
    table[node].fill(1.0);
    table
}

/// The nodes that one hears, itself among them.
fn heard(params: &Params, node: usize, nodes: usize) -> BTreeSet<usize> {
    let next = if params.topology == "rotate" { params.next } else { 1 };
    let mut heard: BTreeSet<usize> = (0..=next).map(|step| (node + step) % nodes).collect();
    if params.topology == "ring" {
        heard.insert((node + nodes - 1) % nodes);
    }
    heard
}

fn mean(tables: &[Table]) -> Table {
    let share = 1.0 / tables.len().max(1) as f64;
    let mut mean: Table =
        tables.first().map_or_else(Vec::new, |first| first.iter().map(|row| vec![0.0; row.len()]).collect());
    for table in tables {
        for (sum, x) in mean.iter_mut().flatten().zip(table.iter().flatten()) {
            *sum += share * x;
        }
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::fusion::testing::{Breaking, ELEMENTS, SOUND, assert_close, fused, params, pool};
    use crate::params::Value::{Float, Int, Text};

    fn some(count: usize) -> Pool {
        let values = |seed: f32| (0..ELEMENTS).map(|at| ((at * at) as f32 * seed).sin()).collect::<Vec<_>>();
        let experts: Vec<Vec<f32>> = (0..count).map(|at| values(0.7 + at as f32)).collect();
        pool(Some(&values(0.3)), &experts)
    }

    #[test]
    fn nodes_hear_their_neighbours_and_word_goes_round() {
        let with = |topology: &str, next: i64| {
            let given = [("topology", Text(topology.into())), ("next", Int(next))];
            Params::from_set(&params(&METHOD, &given)).unwrap()
        };
        let list = |params: &Params, node, nodes| heard(params, node, nodes).into_iter().collect::<Vec<_>>();
        assert_eq!(list(&with("ring", 3), 0, 8), [0, 1, 7]);
        assert_eq!(list(&with("ring", 3), 1, 2), [0, 1]);
        assert_eq!(list(&with("ring", 3), 0, 1), [0]);
        assert_eq!(list(&with("rotate", 3), 6, 8), [0, 1, 6, 7]);
        assert_eq!(list(&with("rotate", 9), 0, 3), [0, 1, 2]);
    }

    #[test]
    fn no_rounds_are_the_average_and_steps_of_no_size_are_powers_of_one_merge() {
        let pool = some(4);
        let run =
            |rounds: i64| fused("gossip", &[("rounds", Int(rounds)), ("rate", Float(1e-5)), ("steps", Int(1))], &pool);
        assert_close(&run(0), &fused("simple_average", &[], &pool), 3e-6);
        // Every node adds 0.3 of three models: each expert counts 0.9 in all, a fourth of it a node.
        assert_close(&run(1), &fused("task_arithmetic", &[("scaling", Float(0.9 / 4.0))], &pool), 1e-3);
        assert_close(&run(2), &fused("task_arithmetic", &[("scaling", Float(0.81 / 4.0))], &pool), 1e-3);
    }

    #[test]
    fn what_breaks_and_enough_keep_the_last_good_step() {
        let run = |data: &Breaking, enough: &Cancel, rounds: i64, last: i64| {
            let given = [("rounds", Int(rounds)), ("steps", Int(3)), ("last", Int(last))];
            let (cancel, mut silent, mut heard) = (Cancel::default(), |_, _| {}, Vec::new());
            let mut listener = |news| heard.push(news);
            let mut cx =
                Context::new(&cancel, &mut silent).with_data(data).with_listener(&mut listener).with_enough(enough);
            match METHOD.run(&params(&METHOD, &given), &some(4), &mut cx).unwrap() {
                Fused::Linear(plan) => (plan, heard),
                other => panic!("{other:?}"),
            }
        };
        let (never, enough) = (Cancel::default(), Cancel::default());
        enough.cancel();
        for (breaks, rounds, last) in [(4, 1, 0), (5, 2, 1), (6, 2, 2), (7, 2, 0)] {
            let (kept, heard) = run(&Breaking { loss_at: breaks, slope_at: usize::MAX }, &never, 5, 0);
            assert_eq!(kept, run(&SOUND, &never, rounds, last).0, "{breaks}");
            for (param, value) in [("rounds", rounds), ("last", last)] {
                assert!(heard.contains(&News::Settled { param, value: Int(value) }), "{breaks}: {heard:?}");
            }
            assert!(heard.iter().any(|news| matches!(news, News::Warning(text) if text.contains("not finite"))));
        }
        let (kept, heard) = run(&SOUND, &enough, 5, 0);
        assert_eq!(kept, run(&SOUND, &never, 0, 0).0);
        assert!(heard.contains(&News::Settled { param: "rounds", value: Int(0) }));
        assert!(!heard.iter().any(|news| matches!(news, News::Warning(_))));
    }

    #[test]
    fn rounds_lower_the_loss() {
        let (a, b) = (vec![1.0; ELEMENTS], vec![-0.2; ELEMENTS]);
        let pool = pool(Some(&[0.5; ELEMENTS]), &[a, b]);
        let size = |rounds: i64| {
            let out = fused("gossip", &[("rounds", Int(rounds)), ("steps", Int(40))], &pool);
            out.iter().map(|x| x * x).sum::<f32>()
        };
        // The pretended loss is ½‖θ‖², and zero lies between the experts, away from their mean.
        assert!(size(2) < size(0) && size(2) < 0.1, "{} {}", size(0), size(2));
    }
}
