//! Frank-Wolfe merging, hard (Chen et al. 2025): small steps towards the one expert that the loss falls towards most.

use crate::fusion::kernels::downhill::{At, Look, Way, go, settle};
use crate::fusion::kernels::frank_wolfe::{Corner, corners, cosines, cross_entropy, least};
use crate::fusion::kernels::space::{Space, Table};
use crate::fusion::{
    Calibration, Context, Draw, Entropy, Examples, Family, Fused, FusionError, Method, Needs, News, Pool, Shown,
};
use crate::params::{ParamSet, choice, float, int, seed};

crate::params! {
    /// Rounds; each looks at labelled examples of every task and moves once.
    rounds: usize = int(10, 0, 500, 5).at_least(0.0).up_to(1e6).costly();
    /// The first step's share of the way; later ones are shorter, as 2 / (round + 2).
    step: f64 = float(0.1, 0.0, 1.0, 0.05).symbol("γ").costly();
    /// Further factor of every step.
    scaling: f64 = float(0.3, 0.0, 1.0, 0.05).unbounded().symbol("λ").costly();
    /// Coefficient of all task vectors where the way begins.
    init: f64 = float(0.3, -1.0, 2.0, 0.05).unbounded().symbol("λ₀").costly();
    /// Whether one expert is chosen for the whole model, or one for every tensor.
    granularity: String = choice("task", &["task", "layer"]).costly();
    /// Labelled validation examples of each task that a round looks at.
    samples: usize = int(100, 1, 512, 10).at_least(1.0).costly();
    /// Seed of the order of examples.
    seed: u64 = seed(0).costly();
}

pub static METHOD: Method = Method {
    id: "frank_wolfe_hard",
    name: "Frank-Wolfe merging, hard",
    family: Family::Merging,
    formula: "θ ← θ + γλ(s − θ), s: the expert with the least cos(∂L/∂θ, s)",
    summary: "Starts from task arithmetic and goes, round after round, a small step towards the one expert whose weights \
              point most against the slope of all tasks' loss. Looks at labelled validation examples.",
    reference: "arXiv:2503.12649",
    specs: Params::SPECS,
    needs: Needs { base: true, min_models: 1, max_models: None, data: Examples::Labelled },
    fuse,
};

fn fuse(set: &ParamSet, pool: &Pool, cx: &mut Context<'_>) -> Result<Fused, FusionError> {
    let params = METHOD.typed(Params::from_set(set))?;
    let data = METHOD.data(cx)?;
    let draw = Draw { shown: Shown::Validation, samples: usize::MAX, batch: params.samples, seed: params.seed };
    let layers = params.granularity == "layer";
    let space = Space::new(pool, !layers, cx)?;
    let table = space.uniform(params.init);
    let corners = corners(&space, table.clone(), cx)?;
    cx.phase("adapt", params.rounds, "rounds");
    let rounds = params.rounds;
    let mut walk = Walk { space: &space, data: (data, draw), corners, params, layers, table, found: None };
    let done = go(&METHOD, rounds, &mut walk, cx)?;
    settle("rounds", done, rounds, cx);
    Ok(Fused::Linear(space.plan(&walk.table)))
}

struct Walk<'a> {
    space: &'a Space<'a>,
    data: (&'a dyn Calibration, Draw),
    corners: Vec<Corner>,
    params: Params,
    /// Whether every tensor has a corner of its own.
    layers: bool,
    table: Table,
    /// What the last look found.
    found: Option<Entropy>,
}

impl Walk<'_> {
    fn tell(&self, losses: &[f64], done: usize, cx: &mut Context<'_>) {
        let news = self.space.news(&self.table, losses, (done, self.params.rounds), !self.layers);
        cx.tell(News::Adapted(news));
    }
}

impl Way for Walk<'_> {
    type Place = Table;

    fn look(&mut self, at: At, cx: &mut Context<'_>) -> Result<Look, FusionError> {
        self.found = cross_entropy(self.space, &self.table, self.data, &self.space.tasks(), at.batch, cx)?;
        Ok(self.found.as_ref().map_or(Look::Lost, |found| Look::Clear(found.information)))
    }

    fn step(&mut self, done: usize, cx: &mut Context<'_>) -> Result<(), FusionError> {
        let Some(found) = self.found.take() else { return Ok(()) };
        let cosines = cosines(self.space, &self.corners, &found.slope, cx)?;
        let whole = least(cosines.iter().map(|row| row.iter().sum()));
        let size = 2.0 / (done as f64 + 2.0) * self.params.step * self.params.scaling;
        for tensor in 0..self.space.rows.len() {
            let pick = if self.layers { least(cosines.iter().map(|row| row[tensor])) } else { whole };
            for (row, to) in self.table.iter_mut().zip(&self.corners[pick].table) {
                row[tensor] += size * (to[tensor] - row[tensor]);
            }
        }
        self.tell(&found.losses, done + 1, cx);
        Ok(())
    }

    fn place(&self) -> Table {
        self.table.clone()
    }

    fn return_to(&mut self, place: Table, done: usize, cx: &mut Context<'_>) {
        self.table = place;
        self.tell(&[], done, cx);
    }
}

#[cfg(test)]
mod tests {
    use crate::fusion::testing::{ELEMENTS, assert_close, fused, pool};
    use crate::params::Value::{Float, Int, Text};

    #[test]
    fn no_rounds_are_task_arithmetic_and_steps_go_to_the_expert_against_the_slope() {
        // The pretended loss is ½‖θ‖²: its slope is θ itself.
        let (a, b) = (vec![1.0; ELEMENTS], vec![-1.0; ELEMENTS]);
        let pool = pool(Some(&[0.5; ELEMENTS]), &[a, b]);
        let run = |rounds: i64, granularity: &str| {
            let given = [
                ("rounds", Int(rounds)),
                ("step", Float(1.0)),
                ("scaling", Float(0.5)),
                ("granularity", Text(granularity.to_owned())),
            ];
            fused("frank_wolfe_hard", &given, &pool)
        };
        let start = 0.5 + 0.3 * (0.5 - 1.5);
        assert_close(&run(0, "task"), &[start; ELEMENTS], 1e-6);
        for granularity in ["task", "layer"] {
            assert_close(&run(1, granularity), &[start + 0.5 * (-1.0 - start); ELEMENTS], 1e-6);
        }
    }
}
