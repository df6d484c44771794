//! AdaMerging's loop: coefficients of task vectors moved down the entropy of the merged model's answers.

use super::adam::Adam;
use super::space::Space;
use crate::fusion::options::adaptation::Params;
use crate::fusion::{Adapted, Calibration, Context, Draw, FusionError, LinearPlan, Method, News, Origin, Pool};
use crate::params::Value;

/// Which tensors share a coefficient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fusion) enum Sharing {
    /// All of an expert's.
    All,
    /// Those of a block.
    Block,
    /// None.
    Tensor,
}

/// Adapts from the initial coefficients; the result is a linear plan that goes on being cheap to move.
///
/// Every step asks for the entropy on one batch of each expert's task, and for its slope over the merged weights θ(λ);
/// that over a coefficient is ⟨∂L/∂θ, τ⟩, so no merge is part of a graph, and memory is that of one model.
///
/// A person who has seen enough, and a loss or slope that is no number, end it early: what it was worth before is kept,
/// and the context's listener is told how many steps that is.
///
/// # Errors
/// A loss that is no number from the beginning; what the data report; cancellation.
pub(in crate::fusion) fn adapt(
    method: &Method,
    params: &Params,
    rate: f64,
    sharing: Sharing,
    pool: &Pool,
    cx: &mut Context<'_>,
) -> Result<LinearPlan, FusionError> {
    let data = method.data(cx)?;
    let mut table = Table::new(params, sharing, pool, cx)?;
    let mut before = table.values.clone();
    let mut adam = Adam::new(rate, before.len());
    cx.phase("adapt", params.steps, "steps");
    let settled = loop {
        let done = table.steps;
        if done == params.steps {
            break done;
        }
        if cx.is_enough() {
            break done;
        }
        let Some(slope) = table.slope(data, params.draw(), cx)? else {
            // Where it stands answers with no numbers; where it stood before did not.
            table.values.clone_from(&before);
            if done == 0 {
                return Err(FusionError::Unusable { method: method.name, reason: NO_START.to_owned() });
            }
            warn(done, done - 1, cx);
            break done - 1;
        };
        if slope.iter().any(|x| !x.is_finite()) {
            warn(done + 1, done, cx);
            break done;
        }
        before.clone_from(&table.values);
        adam.step(&mut table.values, &slope);
        table.steps += 1;
        cx.tell(News::Adapted(table.news(params.steps)));
        cx.advance(1);
    };
    if settled < params.steps {
        cx.tell(News::Settled { param: "steps", value: Value::Int(settled as i64) });
    }
    Ok(table.plan())
}

const NO_START: &str = "the model's answers are not finite before the first step; use a smaller init";

fn warn(failed: usize, kept: usize, cx: &mut Context<'_>) {
    let text = format!("step {failed} made the loss not finite; kept what step {kept} gave. A smaller rate helps");
    cx.tell(News::Warning(text));
}

/// The coefficients, `[expert][column]` in one row.
struct Table<'a> {
    space: Space<'a>,
    values: Vec<f64>,
    sharing: Sharing,
    clamp: bool,
    /// Steps taken.
    steps: usize,
    /// What each tensor's column is.
    columns: Vec<usize>,
    width: usize,
    /// The last losses, a task each.
    losses: Vec<f64>,
}

impl<'a> Table<'a> {
    fn new(params: &Params, sharing: Sharing, pool: &'a Pool, cx: &Context<'_>) -> Result<Self, FusionError> {
        let space = Space::new(pool, sharing == Sharing::All, cx)?;
        let (rows, groups) = (&space.rows, pool.groups());
        let (columns, width): (Vec<usize>, usize) = match sharing {
            Sharing::All => (vec![0; rows.len()], 1),
            Sharing::Block => (rows.iter().map(|row| groups.index(&row.info.name)).collect(), groups.len()),
            Sharing::Tensor => ((0..rows.len()).collect(), rows.len()),
        };
        let values = vec![params.init; space.experts() * width];
        Ok(Self { space, values, sharing, clamp: params.clamp, steps: 0, columns, width, losses: Vec::new() })
    }

    /// One coefficient as it is used.
    fn used(&self, expert: usize, column: usize) -> f64 {
        let value = self.values[expert * self.width + column];
        if self.clamp { value.clamp(0.0, 1.0) } else { value }
    }

    fn plan(&self) -> LinearPlan {
        let row = |expert: usize| (0..self.width).map(|column| self.used(expert, column) as f32).collect();
        let table: Vec<Vec<f32>> = (0..self.space.experts()).map(row).collect();
        match self.sharing {
            Sharing::All => LinearPlan::uniform(Origin::Base, self.space.pool, &table.concat()),
            Sharing::Block => LinearPlan::new(Origin::Base, table),
            Sharing::Tensor => LinearPlan::per_tensor(Origin::Base, self.space.pool, table),
        }
    }

    /// How the summed losses change with the coefficients; nothing if a loss is no number.
    fn slope(
        &mut self,
        data: &dyn Calibration,
        draw: Draw,
        cx: &mut Context<'_>,
    ) -> Result<Option<Vec<f64>>, FusionError> {
        let weights = self.space.weights(&self.plan(), self.steps, cx)?;
        let found = data.entropy(&self.space.tasks(), weights, draw, self.steps, cx)?;
        if found.losses.iter().any(|loss| !loss.is_finite()) {
            return Ok(None);
        }
        self.losses = found.losses;
        let mut slope = vec![0.0; self.values.len()];
        for (expert, along) in self.space.along(&found.slope, cx)?.iter().enumerate() {
            for (along, column) in along.iter().zip(&self.columns) {
                slope[expert * self.width + column] += along;
            }
        }
        if self.clamp {
            // A clamped coefficient is flat outside of its range; the ends belong to it.
            let inside = |value: &f64| (0.0..=1.0).contains(value);
            slope.iter_mut().zip(&self.values).filter(|(_, value)| !inside(value)).for_each(|(slope, _)| *slope = 0.0);
        }
        Ok(Some(slope))
    }

    fn news(&self, steps: usize) -> Adapted {
        let row = |expert| self.columns.iter().map(|&column| self.used(expert, column)).collect();
        let table: Vec<Vec<f64>> = (0..self.space.experts()).map(row).collect();
        self.space.news(&table, &self.losses, (self.steps, steps), self.sharing != Sharing::Tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::fusion::kernels::rows::rows;
    use crate::fusion::kernels::slopes::along_task_vectors;
    use crate::fusion::testing::{ELEMENTS, Pretended, flat, params, pool};
    use crate::fusion::{Entropy, Fused, Grams, Slopes, find};
    use crate::params::Value::{Bool, Float, Int, Text};
    use crate::weights::{Checkpoint, StateDict};
    use std::sync::Arc;

    /// [`Pretended`], until a step from which on the loss or its slope is no number.
    struct Breaking {
        loss_at: usize,
        slope_at: usize,
    }

    impl Calibration for Breaking {
        fn grams(&self, _: &str, _: &Checkpoint, _: Draw, _: &mut Context<'_>) -> Result<Arc<Grams>, FusionError> {
            Ok(Arc::default())
        }

        fn slopes(
            &self,
            _: &str,
            _: &Checkpoint,
            _: Slopes,
            _: Draw,
            _: &mut Context<'_>,
        ) -> Result<Arc<StateDict>, FusionError> {
            Ok(Arc::default())
        }

        fn entropy(
            &self,
            tasks: &[&str],
            weights: Arc<StateDict>,
            draw: Draw,
            step: usize,
            cx: &mut Context<'_>,
        ) -> Result<Entropy, FusionError> {
            let mut found = Pretended.entropy(tasks, weights, draw, step, cx)?;
            if step >= self.loss_at {
                found.losses[0] = f64::NAN;
            }
            if step >= self.slope_at {
                for tensor in found.slope.tensors_mut() {
                    if let crate::weights::Data::Float(values) = &mut tensor.data {
                        values.fill(f32::INFINITY);
                    }
                }
            }
            Ok(found)
        }

        fn cross_entropy(
            &self,
            tasks: &[&str],
            weights: Arc<StateDict>,
            draw: Draw,
            step: usize,
            cx: &mut Context<'_>,
        ) -> Result<Entropy, FusionError> {
            self.entropy(tasks, weights, draw, step, cx)
        }

        fn block_grams(
            &self,
            _: &str,
            _: Arc<StateDict>,
            _: &[&str],
            _: Draw,
            _: &mut Context<'_>,
        ) -> Result<Grams, FusionError> {
            Ok(Grams::new())
        }

        fn count(&self, _: &str, _: Draw) -> Result<usize, FusionError> {
            Ok(1)
        }
    }

    const SOUND: Breaking = Breaking { loss_at: usize::MAX, slope_at: usize::MAX };

    fn two() -> Pool {
        let values = |seed: f32| (0..ELEMENTS).map(|at| ((at * at) as f32 * seed).sin()).collect::<Vec<_>>();
        pool(Some(&values(0.3)), &[values(0.7), values(1.9)])
    }

    fn run(
        id: &str,
        given: &[(&str, Value)],
        data: &Breaking,
        enough: &Cancel,
    ) -> Result<(LinearPlan, Vec<News>), FusionError> {
        let method = find(id).unwrap();
        let (cancel, mut silent, mut heard) = (Cancel::default(), |_, _| {}, Vec::new());
        let mut listener = |news| heard.push(news);
        let mut cx =
            Context::new(&cancel, &mut silent).with_data(data).with_listener(&mut listener).with_enough(enough);
        match method.run(&params(method, given), &two(), &mut cx)? {
            Fused::Linear(plan) => Ok((plan, heard)),
            other => panic!("{other:?}"),
        }
    }

    fn steps(count: i64) -> (&'static str, Value) {
        ("steps", Int(count))
    }

    #[test]
    fn the_loss_falls_and_no_steps_are_task_arithmetic() {
        for id in ["adamerging_task_wise", "adamerging_layer_wise"] {
            let (plan, _) = run(id, &[steps(0)], &SOUND, &Cancel::default()).unwrap();
            assert!(plan.coefficients.iter().flatten().all(|x| *x == 0.3), "{id}");
            let (plan, heard) = run(id, &[steps(300), ("rate", Float(0.02))], &SOUND, &Cancel::default()).unwrap();
            let losses: Vec<f64> = heard
                .iter()
                .filter_map(|news| if let News::Adapted(adapted) = news { Some(adapted.losses[0]) } else { None })
                .collect();
            assert!(losses.len() == 300 && losses[299] < losses[0], "{id}: {losses:?}");
            // At the minimum of ½‖θ‖², θ is orthogonal to every task vector that has a coefficient of its own.
            let (cancel, mut silent) = (Cancel::default(), |_, _| {});
            let pool = two();
            let fused = plan.materialise(&pool, &mut Context::new(&cancel, &mut silent)).unwrap();
            let along = along_task_vectors(&rows(&pool).unwrap(), &fused, &cancel).unwrap();
            let total: f64 = along.iter().map(|tensor| tensor[0]).sum();
            assert!(total.abs() < 0.05, "{id}: {total}");
            assert!(flat(&fused).iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn what_breaks_keeps_the_last_good_state_and_is_said() {
        let id = "adamerging_layer_wise";
        let never = Cancel::default();
        let (two_steps, _) = run(id, &[steps(2)], &SOUND, &never).unwrap();
        for data in [Breaking { loss_at: 3, slope_at: usize::MAX }, Breaking { loss_at: usize::MAX, slope_at: 2 }] {
            let (plan, heard) = run(id, &[steps(9)], &data, &never).unwrap();
            assert_eq!(plan, two_steps);
            assert!(heard.contains(&News::Settled { param: "steps", value: Int(2) }), "{heard:?}");
            assert!(heard.iter().any(|news| matches!(news, News::Warning(text) if text.contains("not finite"))));
        }
        let error = run(id, &[], &Breaking { loss_at: 0, slope_at: 0 }, &never).unwrap_err().to_string();
        assert!(error.contains("before the first step"), "{error}");
    }

    #[test]
    fn enough_is_enough() {
        let enough = Cancel::default();
        enough.cancel();
        let (plan, heard) = run("adamerging_task_wise", &[], &SOUND, &enough).unwrap();
        assert!(plan.coefficients.iter().flatten().all(|x| *x == 0.3));
        assert!(heard.contains(&News::Settled { param: "steps", value: Int(0) }));
    }

    #[test]
    fn clamped_coefficients_stay_in_range_and_blocks_are_shared() {
        let given = [steps(200), ("rate", Float(0.1)), ("clamp", Bool(true)), ("init", Float(0.9))];
        let (plan, _) = run("adamerging_layer_wise", &given, &SOUND, &Cancel::default()).unwrap();
        assert!(plan.coefficients.iter().flatten().all(|x| (0.0..=1.0).contains(x)), "{:?}", plan.coefficients);
        let given = [steps(5), ("per", Text("block".to_owned()))];
        let (plan, heard) = run("adamerging_layer_wise", &given, &SOUND, &Cancel::default()).unwrap();
        assert_eq!(plan.coefficients[0].len(), two().groups().len());
        let Some(News::Adapted(last)) = heard.iter().rfind(|news| matches!(news, News::Adapted(_))) else { panic!() };
        assert!(last.exact && last.step == 5);
        for (seen, used) in last.coefficients.iter().flatten().zip(plan.coefficients.iter().flatten()) {
            assert!((seen - f64::from(*used)).abs() < 1e-6);
        }
    }
}
