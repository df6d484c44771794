//! Gossip merging (`FusionBench`): every expert is a node that merges what its neighbours have, round after round.
//!
//! All nodes merge around the same θ₀, so what a node has is always θ₀ + Σ cᵢτᵢ: tables of coefficients, one a node, are all
//! that is kept beside AdaMerging's memory, where `FusionBench` keeps as many models as nodes. The result is linear in the
//! task vectors.

use crate::fusion::kernels::descent::{Descent, Directions, Walk};
use crate::fusion::kernels::frank_wolfe::{broken, settle};
use crate::fusion::kernels::space::{Space, Table};
use crate::fusion::{Context, Draw, Examples, Family, Fused, FusionError, Method, Needs, News, Pool, Shown};
use crate::params::{ParamSet, choice, flag, float, int, seed};
use std::collections::BTreeSet;

crate::params! {
    /// Whom a node hears: those on both sides of it, or the next few.
    topology: String = choice("ring", &["ring", "rotate"]).costly();
    /// How many of the next a node hears, with `topology = "rotate"`.
    next: usize = int(1, 1, 32, 1).costly();
    /// Rounds; in each all nodes merge what they hear, and then all have something new.
    rounds: usize = int(4, 0, 100, 1).costly();
    /// Steps of Adam that every node takes in a round.
    steps: usize = int(10, 1, 1000, 10).costly();
    /// Learning rate of Adam.
    rate: f64 = float(0.03, 1e-5, 1.0, 1e-3).logarithmic().symbol("η").costly();
    /// Coefficient of everything that a node hears, at the start of each round.
    init: f64 = float(0.3, -1.0, 2.0, 0.05).symbol("λ₀").costly();
    /// Nodes adapt to inputs of tasks that word of has reached them; else to those of all tasks.
    reachable: bool = flag(true).costly().advanced();
    /// Inputs that are adapted to: test inputs make the result transductive, and it is labelled so.
    data: String = choice("validation", &["validation", "test"]).costly();
    /// Inputs of each task in a step.
    batch: usize = int(16, 1, 512, 8).costly().advanced();
    /// Inputs of each task that are drawn from; all where a task has fewer.
    samples: usize = int(4096, 1, 4096, 64).costly().advanced();
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
    let (rate, init, steps) = (params.rate, params.init, params.steps);
    let descent = Descent { space: &space, data, draw, rate, init, steps };
    let nodes = space.experts();
    let mut models: Vec<Table> = (0..nodes).map(|node| own(&space, node)).collect();
    let mut known: Vec<BTreeSet<usize>> = (0..nodes).map(|node| BTreeSet::from([node])).collect();
    cx.phase("adapt", params.rounds * steps, "steps");
    let mut done = 0;
    while done < params.rounds {
        known = (0..nodes)
            .map(|node| heard(&params, node, nodes).iter().flat_map(|&i| known[i].clone()).collect())
            .collect();
        let reached =
            |node: usize| if params.reachable { known[node].iter().copied().collect() } else { (0..nodes).collect() };
        let tasks: Vec<Vec<usize>> = (0..nodes).map(reached).collect();
        let walk = |node| {
            let along = heard(&params, node, nodes).into_iter().map(|i| models[i].clone()).collect();
            descent.begin(Directions { along, offset: space.uniform(0.0) })
        };
        let mut walks: Vec<Walk> = (0..nodes).map(walk).collect();
        if !round(&descent, &mut walks, &tasks, (done, params.rounds), cx)? {
            if !cx.is_enough() {
                broken(&METHOD, done, cx)?;
            }
            break;
        }
        models = walks.into_iter().map(|walk| walk.table).collect();
        done += 1;
    }
    settle(done, params.rounds, cx);
    Ok(Fused::Linear(space.plan(&mean(&models.iter().collect::<Vec<_>>()))))
}

/// All nodes' steps of round `done`, side by side; whether it came to an end.
fn round(
    descent: &Descent<'_>,
    walks: &mut [Walk],
    tasks: &[Vec<usize>],
    (done, rounds): (usize, usize),
    cx: &mut Context<'_>,
) -> Result<bool, FusionError> {
    let names = descent.space.tasks();
    for step in done * descent.steps..(done + 1) * descent.steps {
        // Of each task, over the nodes that look at it: each at least at its own.
        let mut losses = vec![(0.0, 0); names.len()];
        for (walk, tasks) in walks.iter_mut().zip(tasks) {
            let of: Vec<&str> = tasks.iter().map(|&task| names[task]).collect();
            let Some(found) = descent.step(walk, &of, step, cx)? else { return Ok(false) };
            for (&task, loss) in tasks.iter().zip(found) {
                losses[task] = (losses[task].0 + loss, losses[task].1 + 1);
            }
        }
        let losses: Vec<f64> = losses.iter().map(|(sum, count)| sum / f64::from(*count)).collect();
        let mean = mean(&walks.iter().map(|walk| &walk.table).collect::<Vec<_>>());
        cx.tell(News::Adapted(descent.space.news(&mean, &losses, (step + 1, rounds * descent.steps), false)));
        cx.advance(1);
    }
    Ok(true)
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

fn mean(tables: &[&Table]) -> Table {
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
    fn what_breaks_and_enough_keep_the_last_whole_round() {
        let run = |data: &Breaking, enough: &Cancel, rounds: i64| {
            let given = [("rounds", Int(rounds)), ("steps", Int(3))];
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
        let (one, _) = run(&SOUND, &never, 1);
        let (kept, heard) = run(&Breaking { loss_at: 4, slope_at: usize::MAX }, &never, 5);
        assert_eq!(kept, one);
        assert!(heard.contains(&News::Settled { param: "rounds", value: Int(1) }));
        assert!(heard.iter().any(|news| matches!(news, News::Warning(text) if text.contains("not finite"))));
        let (kept, heard) = run(&SOUND, &enough, 5);
        assert_eq!(kept, run(&SOUND, &never, 0).0);
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
