//! AdaMerging's loop: coefficients of task vectors moved down the entropy of the merged model's answers.

use super::downhill::{Hill, Slope, descend};
use super::mask::Mask;
use super::space::Space;
use crate::fusion::options::adaptation::Params;
use crate::fusion::{Adapted, Calibration, Context, Draw, FusionError, LinearPlan, Method, News, Origin, Pool};
use crate::weights::StateDict;

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
/// Ends early as [`go`](super::downhill::go) does; the context's listener is told how many steps that is.
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
    let mut table = Table::new((params.init, params.clamp), sharing, pool, cx)?;
    cx.phase("adapt", params.steps, "steps");
    let stretch = Stretch { steps: params.steps, rate, before: 0, batches: 0 };
    stretch.descend(&mut table, method, (data, params.draw()), cx)?;
    Ok(table.plan())
}

/// Steps of Adam over coefficients.
pub(in crate::fusion) struct Stretch {
    pub steps: usize,
    pub rate: f64,
    /// Steps that people have seen already, of which these are the continuation.
    pub before: usize,
    /// Batches that have been looked at already.
    pub batches: usize,
}

impl Stretch {
    /// Moves a table's coefficients; they end where the last good step led.
    ///
    /// # Errors
    /// As [`adapt`].
    pub(in crate::fusion) fn descend(
        &self,
        table: &mut Table<'_>,
        method: &Method,
        data: (&dyn Calibration, Draw),
        cx: &mut Context<'_>,
    ) -> Result<(), FusionError> {
        let mut values = table.values.clone();
        let mut hill = Coefficients { table, data, stretch: self };
        descend(method, (self.steps, |_| self.rate), &mut values, &mut hill, cx)?;
        table.values = values;
        Ok(())
    }
}

/// The entropy over coefficients.
struct Coefficients<'a, 'b> {
    table: &'a mut Table<'b>,
    data: (&'a dyn Calibration, Draw),
    stretch: &'a Stretch,
}

impl Hill for Coefficients<'_, '_> {
    fn slope(&mut self, numbers: &[f64], step: usize, cx: &mut Context<'_>) -> Result<Option<Slope>, FusionError> {
        self.table.values.copy_from_slice(numbers);
        let Some(slope) = self.table.entropy(self.data, self.stretch.batches + step, cx)? else { return Ok(None) };
        Ok(Some(Slope { over: self.table.slope(slope, cx)?, information: self.table.information }))
    }

    fn tell(&mut self, numbers: &[f64], done: usize, after_step: bool, cx: &mut Context<'_>) {
        self.table.values.copy_from_slice(numbers);
        if !after_step {
            self.table.losses.clear();
        }
        let Stretch { before, steps, .. } = self.stretch;
        cx.tell(News::Adapted(self.table.news(before + done, before + steps)));
    }
}

/// The coefficients, `[expert][column]` in one row, and a mask that may lie on the task vectors.
pub(in crate::fusion) struct Table<'a> {
    pub space: Space<'a>,
    pub values: Vec<f64>,
    sharing: Sharing,
    clamp: bool,
    /// What each tensor's column is.
    columns: Vec<usize>,
    width: usize,
    /// The last losses, a task each.
    pub losses: Vec<f64>,
    /// What the answers told of their images then.
    pub information: Option<f64>,
    pub mask: Option<Mask>,
    /// How much a mask leaves of each task vector, `[tensor][expert]`, for those who watch.
    left: Option<Vec<Vec<f64>>>,
}

impl<'a> Table<'a> {
    /// # Errors
    /// As [`Space::new`].
    pub(in crate::fusion) fn new(
        (init, clamp): (f64, bool),
        sharing: Sharing,
        pool: &'a Pool,
        cx: &Context<'_>,
    ) -> Result<Self, FusionError> {
        let space = Space::new(pool, sharing == Sharing::All, cx)?;
        let (rows, groups) = (&space.rows, pool.groups());
        let (columns, width): (Vec<usize>, usize) = match sharing {
            Sharing::All => (vec![0; rows.len()], 1),
            Sharing::Block => (rows.iter().map(|row| groups.index(&row.info.name)).collect(), groups.len()),
            Sharing::Tensor => ((0..rows.len()).collect(), rows.len()),
        };
        let values = vec![init; space.experts() * width];
        Ok(Self {
            space,
            values,
            sharing,
            clamp,
            columns,
            width,
            losses: Vec::new(),
            information: None,
            mask: None,
            left: None,
        })
    }

    /// Shows people the coefficients as if they were multiplied by what `mask` leaves of the task vectors.
    ///
    /// # Errors
    /// Cancellation.
    pub(in crate::fusion) fn show(&mut self, mask: &Mask, cx: &Context<'_>) -> Result<(), FusionError> {
        self.left = Some(self.space.left(mask, cx)?);
        Ok(())
    }

    /// One coefficient as it is used.
    fn used(&self, expert: usize, column: usize) -> f64 {
        let value = self.values[expert * self.width + column];
        if self.clamp { value.clamp(0.0, 1.0) } else { value }
    }

    /// The coefficients, without the mask.
    pub(in crate::fusion) fn plan(&self) -> LinearPlan {
        let row = |expert: usize| (0..self.width).map(|column| self.used(expert, column) as f32).collect();
        let table: Vec<Vec<f32>> = (0..self.space.experts()).map(row).collect();
        match self.sharing {
            Sharing::All => LinearPlan::uniform(Origin::Base, self.space.pool, &table.concat()),
            Sharing::Block => LinearPlan::new(Origin::Base, table),
            Sharing::Tensor => LinearPlan::per_tensor(Origin::Base, self.space.pool, table),
        }
    }

    /// The model, mask and all.
    ///
    /// # Errors
    /// A result that is not finite; cancellation.
    pub(in crate::fusion) fn masked(&self, cx: &mut Context<'_>) -> Result<StateDict, FusionError> {
        match &self.mask {
            Some(mask) => mask.weights(&self.plan(), self.space.pool, cx),
            None => self.plan().materialise(self.space.pool, cx),
        }
    }

    /// How the summed losses on a batch of every task change with the weights; nothing if a loss is no number.
    ///
    /// # Errors
    /// What the data report; cancellation.
    pub(in crate::fusion) fn entropy(
        &mut self,
        (data, draw): (&dyn Calibration, Draw),
        batch: usize,
        cx: &mut Context<'_>,
    ) -> Result<Option<StateDict>, FusionError> {
        let weights = self.space.masked_weights(&self.plan(), self.mask.as_ref(), batch, cx)?;
        let found = data.entropy(&self.space.tasks(), weights, draw, batch, cx)?;
        if found.losses.iter().any(|loss| !loss.is_finite()) {
            return Ok(None);
        }
        (self.losses, self.information) = (found.losses, found.information);
        Ok(Some(found.slope))
    }

    /// From the slope over weights to that over coefficients.
    ///
    /// # Errors
    /// Cancellation.
    pub(in crate::fusion) fn slope(&self, mut over: StateDict, cx: &Context<'_>) -> Result<Vec<f64>, FusionError> {
        if let Some(mask) = &self.mask {
            mask.lay_on(&self.space.rows, &mut over);
        }
        let mut slope = vec![0.0; self.values.len()];
        for (expert, along) in self.space.along(&over, cx)?.iter().enumerate() {
            for (along, column) in along.iter().zip(&self.columns) {
                slope[expert * self.width + column] += along;
            }
        }
        if self.clamp {
            // A clamped coefficient is flat outside of its range; the ends belong to it.
            let inside = |value: &f64| (0.0..=1.0).contains(value);
            slope.iter_mut().zip(&self.values).filter(|(_, value)| !inside(value)).for_each(|(slope, _)| *slope = 0.0);
        }
        Ok(slope)
    }

    /// Where it stands after `step` of so many steps.
    pub(in crate::fusion) fn news(&self, step: usize, steps: usize) -> Adapted {
        let left = |expert: usize, tensor: usize| self.left.as_ref().map_or(1.0, |left| left[tensor][expert]);
        let shown = |expert, (tensor, &column): (usize, &usize)| self.used(expert, column) * left(expert, tensor);
        let row = |expert| self.columns.iter().enumerate().map(|at| shown(expert, at)).collect();
        let table: Vec<Vec<f64>> = (0..self.space.experts()).map(row).collect();
        let masked = self.left.is_some();
        let exact = self.sharing != Sharing::Tensor && !masked;
        Adapted { masked, ..self.space.news(&table, &self.losses, (step, steps), exact) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::fusion::kernels::rows::rows;
    use crate::fusion::kernels::slopes::along_task_vectors;
    use crate::fusion::testing::{Breaking, ELEMENTS, SOUND, flat, params, pool};
    use crate::fusion::{Fused, find};
    use crate::params::Value::{self, Bool, Float, Int, Text};

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
            let told = heard.iter().rev().find_map(|n| if let News::Adapted(a) = n { Some(a) } else { None }).unwrap();
            assert_eq!(told.step, 2, "what is shown in the end is what was kept");
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
