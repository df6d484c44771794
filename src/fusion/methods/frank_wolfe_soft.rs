//! Frank-Wolfe merging, soft (Chen et al. 2025): towards several experts at once, by as much as makes answers sure.

use crate::fusion::kernels::descent::{Descent, Directions, Seen, Walk};
use crate::fusion::kernels::downhill::{At, Look, Way, go};
use crate::fusion::kernels::frank_wolfe::{cross_entropy, least};
use crate::fusion::kernels::schedule::Schedule;
use crate::fusion::kernels::space::{Space, Table};
use crate::fusion::{
    Calibration, Context, Draw, Examples, Family, Fused, FusionError, Method, Needs, News, Pool, Shown,
};
use crate::params::{ParamSet, float, int, seed};
use std::collections::BTreeSet;

crate::params! {
    /// Rounds; each chooses experts anew and adapts how far to go towards them.
    rounds: usize = int(5, 0, 100, 1).at_least(0.0).up_to(1e6).costly();
    /// Steps of Adam in a round; each looks at one batch of every task.
    steps: usize = int(20, 1, 1000, 10).at_least(1.0).up_to(1e6).costly();
    /// Steps of the last round; 0: as many as in the others.
    last: usize = int(0, 0, 1000, 10).at_least(0.0).up_to(1e6).costly().advanced();
    /// Learning rate of Adam.
    rate: f64 = float(1e-2, 1e-5, 1.0, 1e-3).above(0.0).logarithmic().symbol("η").costly();
    /// Coefficient of all task vectors where the way begins.
    init: f64 = float(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ₀").costly();
    /// Labelled validation examples of each task by which experts are chosen.
    samples: usize = int(100, 1, 512, 10).at_least(1.0).costly();
    /// Validation inputs of each task in a step.
    batch: usize = int(16, 1, 512, 8).at_least(1.0).costly().advanced();
    /// Seed of the order of examples.
    seed: u64 = seed(0).costly();
}

pub static METHOD: Method = Method {
    id: "frank_wolfe_soft",
    name: "Frank-Wolfe merging, soft",
    family: Family::Merging,
    formula: "θ ← θ + Σ wₛ(s − θ), s: what some task's loss falls towards most, w moved down Σ H(softmax(f_θ(x)))",
    summary: "Starts from task arithmetic. Each round every task points at the expert that its loss falls towards most, on \
              labelled validation examples; how far to go towards each of them is then learned layer by layer without labels.",
    reference: "arXiv:2503.12649",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Labelled },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let data = METHOD.data(cx)?;
    let draw = |batch| Draw { shown: Shown::Validation, samples: usize::MAX, batch, seed: params.seed };
    let space = Space::new(pool, false, cx)?;
    let schedule = Schedule { rounds: params.rounds, steps: params.steps, last: params.last };
    cx.phase("adapt", schedule.total(), "steps");
    // FusionBench begins every round at 1e-8, which is where it is; the first round's 0.3 is where the way begins.
    let descent = Descent { space: &space, data, draw: draw(params.batch), rate: params.rate, init: 0.0 };
    let nowhere = Directions { along: Vec::new(), offset: space.uniform(params.init) };
    let walk = descent.begin(nowhere);
    let mut rounds = Round { schedule, choice: draw(params.samples), walk, losses: Vec::new(), descent };
    let done = go(&METHOD, schedule.total(), &mut rounds, cx)?;
    schedule.settle(done, cx);
    Ok(Fused::Linear(space.plan(&rounds.walk.table)))
}

/// The round that is going on.
struct Round<'a> {
    schedule: Schedule,
    descent: Descent<'a>,
    /// What experts are chosen by.
    choice: Draw,
    walk: Walk,
    /// Of the last look.
    losses: Vec<f64>,
}

impl Round<'_> {
    /// Chooses experts anew; whether that could be done.
    fn turn(&mut self, round: usize, cx: &mut Context<'_>) -> Result<bool, FusionError> {
        let (Descent { space, data, .. }, table) = (&self.descent, &self.walk.table);
        let Some(picks) = picks(space, table, (*data, self.choice), round, cx)? else { return Ok(false) };
        let along = picks.iter().map(|&pick| towards(pick, table)).collect();
        self.walk = self.descent.begin(Directions { along, offset: table.clone() });
        Ok(true)
    }

    fn tell(&self, done: usize, cx: &mut Context<'_>) {
        let news = self.descent.space.news(&self.walk.table, &self.losses, (done, self.schedule.total()), false);
        cx.tell(News::Adapted(news));
    }
}

impl Way for Round<'_> {
    type Place = Table;

    fn look(&mut self, At { done, batch, ends }: At, cx: &mut Context<'_>) -> Result<Look, FusionError> {
        let begins = self.schedule.is_start(done) && !ends && batch == done;
        if begins && !self.turn(done / self.schedule.steps, cx)? {
            return Ok(Look::Lost);
        }
        let tasks = self.descent.space.tasks();
        let seen = self.descent.look(&mut self.walk, &tasks, batch, cx)?;
        let Some(Seen { losses, information, clear }) = seen else { return Ok(Look::Lost) };
        self.losses = losses;
        Ok(if clear { Look::Clear(information) } else { Look::Stuck })
    }

    fn step(&mut self, done: usize, cx: &mut Context<'_>) -> Result<(), FusionError> {
        self.descent.step(&mut self.walk);
        self.tell(done + 1, cx);
        Ok(())
    }

    fn place(&self) -> Table {
        self.walk.table.clone()
    }

    fn return_to(&mut self, place: Table, done: usize, cx: &mut Context<'_>) {
        self.walk.table = place;
        self.losses.clear();
        self.tell(done, cx);
    }
}

/// The experts that some task's loss falls towards more than towards any other: ⟨∂L/∂θ, θᵢ − θ⟩ is least where
/// ⟨∂L/∂θ, τᵢ⟩ is. FusionBench lets no two tasks choose the same, so that its choice is always all of them.
fn picks(
    space: &Space<'_>,
    table: &[Vec<f64>],
    data: (&dyn Calibration, Draw),
    round: usize,
    cx: &mut Context<'_>,
) -> Result<Option<BTreeSet<usize>>, FusionError> {
    let mut picks = BTreeSet::new();
    for task in space.tasks() {
        let Some(found) = cross_entropy(space, table, data, &[task], round, cx)? else { return Ok(None) };
        let along = space.along(&found.slope, cx)?;
        picks.insert(least(along.iter().map(|row| row.iter().sum())));
    }
    Ok(Some(picks))
}

/// From where `table` is to an expert.
fn towards(expert: usize, table: &[Vec<f64>]) -> Table {
    let row = |(slot, row): (usize, &Vec<f64>)| row.iter().map(|x| f64::from(u8::from(slot == expert)) - x).collect();
    table.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{ELEMENTS, assert_close, fused, pool};
    use crate::params::Value::{Float, Int};

    #[test]
    fn no_rounds_are_task_arithmetic_and_rounds_lower_the_loss() {
        let (a, b) = (vec![1.0; ELEMENTS], vec![-1.0; ELEMENTS]);
        let pool = pool(Some(&[0.5; ELEMENTS]), &[a, b]);
        let run = |rounds: i64| fused("frank_wolfe_soft", &[("rounds", Int(rounds)), ("rate", Float(0.02))], &pool);
        assert_close(&run(0), &[0.5 + 0.3 * (0.5 - 1.5); ELEMENTS], 1e-6);
        // The pretended loss is ½‖θ‖², and zero lies between the experts.
        let size = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>();
        assert!(size(&run(3)) < size(&run(0)) / 2.0, "{}", size(&run(3)));
    }
}
