//! AdaMerging's loop: coefficients of task vectors moved down the entropy of the merged model's answers.

use super::adam::Adam;
use super::rows::rows;
use super::slopes::{along_task_vectors, square_norms};
use crate::fusion::options::adaptation::Params;
use crate::fusion::{Adapted, Calibration, Context, Draw, FusionError, LinearPlan, Method, News, Origin, Pool};
use crate::params::Value;
use std::sync::Arc;

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
        let Some(slope) = table.slope(data, params.draw(), pool, cx)? else {
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
    Ok(table.plan(pool))
}

const NO_START: &str = "the model's answers are not finite before the first step; use a smaller init";

fn warn(failed: usize, kept: usize, cx: &mut Context<'_>) {
    let text = format!("step {failed} made the loss not finite; kept what step {kept} gave. A smaller rate helps");
    cx.tell(News::Warning(text));
}

/// The coefficients, `[expert][column]` in one row.
struct Table {
    values: Vec<f64>,
    sharing: Sharing,
    clamp: bool,
    /// Steps taken.
    steps: usize,
    /// What each tensor's column is.
    columns: Vec<usize>,
    width: usize,
    experts: usize,
    /// Where the tensors are in the table that people see, `[expert][block]`, and with which weight: ‖τ‖².
    blocks: Arc<Vec<String>>,
    block_of: Vec<usize>,
    norms: Vec<Vec<f64>>,
    /// The last losses, a task each.
    losses: Vec<f64>,
}

impl Table {
    fn new(params: &Params, sharing: Sharing, pool: &Pool, cx: &Context<'_>) -> Result<Self, FusionError> {
        let rows = rows(pool)?;
        let experts = pool.experts().len();
        let groups = pool.groups();
        let group = |name: &str| groups.index(name);
        let (columns, width): (Vec<usize>, usize) = match sharing {
            Sharing::All => (vec![0; rows.len()], 1),
            Sharing::Block => (rows.iter().map(|row| group(&row.info.name)).collect(), groups.len()),
            Sharing::Tensor => ((0..rows.len()).collect(), rows.len()),
        };
        let (blocks, block_of) = match sharing {
            Sharing::All => (vec!["all".to_owned()], vec![0; rows.len()]),
            _ => (groups.names().to_vec(), rows.iter().map(|row| group(&row.info.name)).collect()),
        };
        Ok(Self {
            values: vec![params.init; experts * width],
            sharing,
            clamp: params.clamp,
            steps: 0,
            columns,
            width,
            experts,
            blocks: Arc::new(blocks),
            block_of,
            norms: square_norms(&rows, cx.cancel)?,
            losses: Vec::new(),
        })
    }

    /// One coefficient as it is used.
    fn used(&self, expert: usize, column: usize) -> f64 {
        let value = self.values[expert * self.width + column];
        if self.clamp { value.clamp(0.0, 1.0) } else { value }
    }

    fn plan(&self, pool: &Pool) -> LinearPlan {
        let row = |expert: usize| (0..self.width).map(|column| self.used(expert, column) as f32).collect();
        let table: Vec<Vec<f32>> = (0..self.experts).map(row).collect();
        match self.sharing {
            Sharing::All => LinearPlan::uniform(Origin::Base, pool, &table.concat()),
            Sharing::Block => LinearPlan::new(Origin::Base, table),
            Sharing::Tensor => LinearPlan::per_tensor(Origin::Base, pool, table),
        }
    }

    /// How the summed losses change with the coefficients; nothing if a loss is no number.
    fn slope(
        &mut self,
        data: &dyn Calibration,
        draw: Draw,
        pool: &Pool,
        cx: &mut Context<'_>,
    ) -> Result<Option<Vec<f64>>, FusionError> {
        let weights = {
            let mut silent = |_, _| ();
            let mut quiet = Context::new(cx.cancel, &mut silent);
            // Before the first step it is the models that are not finite, and the error names the tensor.
            quiet.lenient = self.steps > 0;
            Arc::new(self.plan(pool).materialise(pool, &mut quiet)?)
        };
        let tasks: Vec<&str> = pool.experts().iter().map(|(name, _)| name.as_str()).collect();
        let found = data.entropy(&tasks, weights, draw, self.steps, cx)?;
        if found.losses.iter().any(|loss| !loss.is_finite()) {
            return Ok(None);
        }
        self.losses = found.losses;
        let mut slope = vec![0.0; self.values.len()];
        let rows = rows(pool)?;
        for (tensor, along) in along_task_vectors(&rows, &found.slope, cx.cancel)?.iter().enumerate() {
            for (expert, along) in along.iter().enumerate() {
                slope[expert * self.width + self.columns[tensor]] += along;
            }
        }
        if self.clamp {
            // A clamped coefficient is flat outside of its range; the ends belong to it.
            let inside = |value: &f64| (0.0..=1.0).contains(value);
            slope.iter_mut().zip(&self.values).filter(|(_, value)| !inside(value)).for_each(|(slope, _)| *slope = 0.0);
        }
        Ok(Some(slope))
    }

    /// Where it stands: tensors that people see as one block are averaged, as long task vectors count more.
    fn news(&self, steps: usize) -> Adapted {
        let mut sums = vec![vec![(0.0, 0.0, 0.0); self.blocks.len()]; self.experts];
        for (tensor, norms) in self.norms.iter().enumerate() {
            for (expert, norm) in norms.iter().enumerate() {
                let (weighted, weight, count) = &mut sums[expert][self.block_of[tensor]];
                let value = self.used(expert, self.columns[tensor]);
                *weighted += norm * value;
                *weight += norm;
                // Where no task vector has any length, all count the same.
                *count += value;
            }
        }
        let mut counts = vec![0.0; self.blocks.len()];
        self.block_of.iter().for_each(|&block| counts[block] += 1.0);
        let mean = |(block, (weighted, weight, plain)): (usize, &(f64, f64, f64))| {
            if *weight > 0.0 { weighted / weight } else { plain / f64::max(counts[block], 1.0) }
        };
        Adapted {
            step: self.steps,
            steps,
            losses: self.losses.clone(),
            blocks: Arc::clone(&self.blocks),
            coefficients: sums.iter().map(|row| row.iter().enumerate().map(mean).collect()).collect(),
            exact: self.sharing != Sharing::Tensor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::fusion::testing::{ELEMENTS, Pretended, flat, params, pool};
    use crate::fusion::{Entropy, Fused, Grams, Slopes, find};
    use crate::params::Value::{Bool, Float, Int, Text};
    use crate::weights::{Checkpoint, StateDict};

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
