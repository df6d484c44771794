//! Concrete subspace learning (Tang et al. 2023): a mask that all experts share, moved down the entropy of the merged
//! model's answers, alone or with AdaMerging's coefficients in mind.

use super::adaptation::{Sharing, Stretch, Table};
use super::downhill::{At, Look, Way, go, settle};
use super::logits::{Logits, Place};
use super::mask::Mask;
use crate::fusion::options::concrete::Params;
use crate::fusion::{Calibration, Context, Draw, Fused, FusionError, Method, News, Pool};

/// How a mask is learned.
pub(in crate::fusion) struct Lesson {
    pub steps: usize,
    /// Adam's, over logits.
    pub rate: f64,
    pub temperature: f64,
    /// Every logit before the first step.
    pub logit: f64,
    pub seed: u64,
    /// How far coefficients go down their own slope before the mask's is measured; nothing if they stay.
    pub inner: Option<f64>,
    /// What a person calls the number of steps, and how many more follow.
    pub param: &'static str,
    pub rest: usize,
}

impl Lesson {
    /// Moves the logits of a mask down the entropy of the model with the table's coefficients.
    ///
    /// Each step draws a mask. With `inner`, coefficients take one step of plain gradient descent from where the table
    /// stands, the mask held; the slope over the mask is that at the new coefficients, on the next batch, first-order: the
    /// coefficients' own dependence on the mask is left out. FusionBench measures the inner slope at the coefficients of the
    /// step before, because it merges before it resets them, and takes Adam's step of size 1, which is ±1 at first.
    ///
    /// Ends early as AdaMerging does.
    ///
    /// # Errors
    /// A loss that is no number from the beginning; what the data report; cancellation.
    pub(in crate::fusion) fn learn(
        &self,
        table: &mut Table<'_>,
        method: &Method,
        data: (&dyn Calibration, Draw),
        cx: &mut Context<'_>,
    ) -> Result<Logits, FusionError> {
        let logits = Logits::new(&table.space.rows, self.logit, (self.temperature, self.rate, self.seed));
        let mut learning = Learning { lesson: self, logits, table, data, gradient: Vec::new() };
        let done = go(method, self.steps, &mut learning, cx)?;
        settle(self.param, done, self.steps, cx);
        Ok(learning.logits)
    }

    /// Batches of every task that a step looks at.
    fn batches(&self) -> usize {
        1 + usize::from(self.inner.is_some())
    }
}

/// Logits on their way.
struct Learning<'a, 'b> {
    lesson: &'a Lesson,
    logits: Logits,
    table: &'a mut Table<'b>,
    data: (&'a dyn Calibration, Draw),
    /// What the last look found.
    gradient: Vec<Vec<f32>>,
}

impl Learning<'_, '_> {
    /// The slope over the logits, on a mask drawn for it and the batches from `first` on; nothing if a loss is no number.
    fn gradient(&mut self, first: usize, cx: &mut Context<'_>) -> Result<Option<Vec<Vec<f32>>>, FusionError> {
        let Self { lesson, logits, table, data, .. } = self;
        table.mask = Some(logits.sample(cx.cancel)?);
        let start = table.values.clone();
        if let Some(rate) = lesson.inner {
            let Some(slope) = table.entropy(*data, first, cx)? else { return Ok(None) };
            let slope = table.slope(slope, cx)?;
            table.values.iter_mut().zip(slope).for_each(|(value, slope)| *value -= rate * slope);
        }
        let found = table.entropy(*data, first + lesson.batches() - 1, cx)?;
        let coefficients = table.plan().table(table.space.pool, &table.space.rows)?;
        table.values = start;
        let (Some(slope), Some(mask)) = (found, table.mask.take()) else { return Ok(None) };
        logits.gradient(&mask, (&table.space.rows, &coefficients), &slope, cx.cancel).map(Some)
    }
}

impl Learning<'_, '_> {
    /// Says what the mask leaves by now.
    fn tell(&mut self, done: usize, cx: &mut Context<'_>) -> Result<(), FusionError> {
        self.table.show(&self.logits.expected(cx.cancel)?, cx)?;
        cx.tell(News::Adapted(self.table.news(done, self.lesson.steps + self.lesson.rest)));
        Ok(())
    }
}

impl Way for Learning<'_, '_> {
    type Place = Place;

    fn look(&mut self, at: At, cx: &mut Context<'_>) -> Result<Look, FusionError> {
        let Some(gradient) = self.gradient(at.batch * self.lesson.batches(), cx)? else { return Ok(Look::Lost) };
        let finite = gradient.iter().flatten().all(|x| x.is_finite());
        self.gradient = gradient;
        Ok(if finite { Look::Clear(self.table.information) } else { Look::Stuck })
    }

    fn step(&mut self, done: usize, cx: &mut Context<'_>) -> Result<(), FusionError> {
        self.logits.descend(&std::mem::take(&mut self.gradient));
        self.tell(done + 1, cx)
    }

    fn place(&self) -> Place {
        self.logits.place()
    }

    fn return_to(&mut self, place: Place, done: usize, cx: &mut Context<'_>) {
        self.logits.return_to(place);
        self.table.losses.clear();
        // Cancelled meanwhile, it is not shown, and whoever cancelled does not look.
        let _ = self.tell(done, cx);
    }
}

/// The mask that a method ends with: `expected`, or one more that is drawn.
///
/// # Errors
/// Cancellation.
pub(in crate::fusion) fn last_mask(logits: &Logits, which: &str, cx: &Context<'_>) -> Result<Mask, FusionError> {
    if which == "sampled" { logits.sample(cx.cancel) } else { logits.expected(cx.cancel) }
}

/// AdaMerging on task vectors under a mask that was learned for it.
///
/// # Errors
/// As [`Lesson::learn`]; a result that is not finite.
pub(in crate::fusion) fn adapt_under_mask(
    method: &Method,
    params: &Params,
    (mask_rate, rate): (f64, f64),
    sharing: Sharing,
    pool: &Pool,
    cx: &mut Context<'_>,
) -> Result<Fused, FusionError> {
    let Params { mask_steps, base_rate, temperature, logit, mask, adaptation } = params;
    let data = (method.data(cx)?, adaptation.draw());
    let mut table = Table::new((adaptation.init, adaptation.clamp), sharing, pool, cx)?;
    cx.phase("adapt", mask_steps + adaptation.steps, "steps");
    let lesson = Lesson {
        steps: *mask_steps,
        rate: mask_rate,
        temperature: *temperature,
        logit: *logit,
        seed: adaptation.seed,
        inner: Some(*base_rate),
        param: "mask_steps",
        rest: adaptation.steps,
    };
    let logits = lesson.learn(&mut table, method, data, cx)?;
    let mask = last_mask(&logits, mask, cx)?;
    let before = logits.steps();
    drop(logits);
    table.show(&mask, cx)?;
    table.mask = Some(mask);
    let stretch = Stretch { steps: adaptation.steps, rate, before, batches: before * lesson.batches() };
    stretch.descend(&mut table, method, data, cx)?;
    table.masked(cx).map(Fused::Weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::fusion::testing::{Breaking, ELEMENTS, SOUND, assert_close, flat, fused, params, pool};
    use crate::fusion::{FusionError, find};
    use crate::params::Value::{self, Float, Int, Text};

    const ARITHMETIC: &str = "concrete_task_arithmetic";
    const ADAMERGING: [&str; 2] = ["concrete_adamerging_task_wise", "concrete_adamerging_layer_wise"];

    fn two() -> Pool {
        let values = |seed: f32| (0..ELEMENTS).map(|at| ((at * at) as f32 * seed).sin()).collect::<Vec<_>>();
        pool(Some(&values(0.3)), &[values(0.7), values(1.9)])
    }

    fn run(
        id: &str,
        given: &[(&str, Value)],
        data: &Breaking,
        enough: &Cancel,
    ) -> Result<(Vec<f32>, Vec<News>), FusionError> {
        let method = find(id).unwrap();
        let (cancel, mut silent, mut heard) = (Cancel::default(), |_, _| {}, Vec::new());
        let mut listener = |news| heard.push(news);
        let mut cx =
            Context::new(&cancel, &mut silent).with_data(data).with_listener(&mut listener).with_enough(enough);
        match method.run(&params(method, given), &two(), &mut cx)? {
            Fused::Weights(weights) => Ok((flat(&weights), heard)),
            other => panic!("{other:?}"),
        }
    }

    fn sound(id: &str, given: &[(&str, Value)]) -> (Vec<f32>, Vec<News>) {
        run(id, given, &SOUND, &Cancel::default()).unwrap()
    }

    fn settled(heard: &[News]) -> Vec<(&'static str, i64)> {
        let of = |news: &News| match news {
            News::Settled { param, value: Int(value) } => Some((*param, *value)),
            _ => None,
        };
        heard.iter().filter_map(of).collect()
    }

    fn steps(mask: i64, rest: i64) -> [(&'static str, Value); 2] {
        [("mask_steps", Int(mask)), ("steps", Int(rest))]
    }

    #[test]
    fn no_steps_are_task_arithmetic_under_the_expected_mask() {
        let arithmetic = fused("task_arithmetic", &[("scaling", Float(0.4))], &two());
        for logit in [-3.0, 0.0, 2.0] {
            let given = [("scaling", Float(0.4)), ("steps", Int(0)), ("logit", Float(logit))];
            assert_close(&sound(ARITHMETIC, &given).0, &arithmetic, 1e-6);
            for id in ADAMERGING {
                let given = [&steps(0, 0)[..], &[("init", Float(0.4)), ("logit", Float(logit))]].concat();
                assert_close(&sound(id, &given).0, &arithmetic, 1e-6);
            }
        }
        let sampled = [("scaling", Float(0.4)), ("steps", Int(0)), ("mask", Text("sampled".into()))];
        let apart = sound(ARITHMETIC, &sampled).0;
        assert!(apart.iter().zip(&arithmetic).any(|(a, b)| (a - b).abs() > 0.05));
    }

    #[test]
    fn without_a_mask_to_learn_the_rest_is_adamerging() {
        for (id, plain) in ADAMERGING.into_iter().zip(["adamerging_task_wise", "adamerging_layer_wise"]) {
            let own = fused(plain, &[("steps", Int(20))], &two());
            assert_close(&sound(id, &steps(0, 20)).0, &own, 1e-5);
        }
    }

    #[test]
    fn the_loss_falls() {
        let size = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>();
        let (start, _) = sound(ARITHMETIC, &[("steps", Int(0))]);
        let (end, heard) = sound(ARITHMETIC, &[("steps", Int(300)), ("rate", Float(0.05))]);
        // The pretended loss is ½‖θ‖².
        assert!(size(&end) < 0.93 * size(&start), "{} {}", size(&end), size(&start));
        let adapted: Vec<_> =
            heard.iter().filter_map(|n| if let News::Adapted(a) = n { Some(a) } else { None }).collect();
        let mean = |part: &[&crate::fusion::Adapted]| part.iter().map(|a| a.losses[0]).sum::<f64>() / part.len() as f64;
        assert_eq!(adapted.len(), 300);
        assert!(mean(&adapted[200..]) < 0.95 * mean(&adapted[..100]));
        assert!(adapted.iter().all(|a| a.masked && !a.exact && a.coefficients.len() == 2));
        for id in ADAMERGING {
            let (only_mask, _) = sound(id, &[&steps(200, 0)[..], &[("mask_rate", Float(0.05))]].concat());
            let (both, heard) = sound(id, &[&steps(200, 200)[..], &[("rate", Float(0.02))]].concat());
            assert!(size(&only_mask) < size(&start) && size(&both) < size(&only_mask), "{id}");
            let last = heard.iter().rev().find_map(|n| if let News::Adapted(a) = n { Some(a) } else { None }).unwrap();
            assert_eq!((last.step, last.steps), (400, 400));
        }
    }

    #[test]
    fn what_breaks_keeps_the_last_good_state_and_is_said() {
        let never = Cancel::default();
        let warned = |heard: &[News]| {
            heard.iter().filter(|news| matches!(news, News::Warning(text) if text.contains("not finite"))).count()
        };
        let (two_steps, _) = sound(ARITHMETIC, &[("steps", Int(2))]);
        for data in [Breaking { loss_at: 3, slope_at: usize::MAX }, Breaking { loss_at: usize::MAX, slope_at: 2 }] {
            let (weights, heard) = run(ARITHMETIC, &[("steps", Int(9))], &data, &never).unwrap();
            assert_eq!(weights, two_steps);
            assert_eq!((settled(&heard), warned(&heard)), (vec![("steps", 2)], 1));
        }
        for id in ADAMERGING {
            // A mask's step looks at two batches: the third step fails at its second, one step is kept, and the other
            // steps begin with the third batch.
            let (kept, _) = sound(id, &steps(1, 2));
            let data = Breaking { loss_at: 5, slope_at: usize::MAX };
            let (weights, heard) = run(id, &steps(9, 9), &data, &never).unwrap();
            assert_eq!(weights, kept, "{id}");
            assert_eq!((settled(&heard), warned(&heard)), (vec![("mask_steps", 1), ("steps", 2)], 2), "{id}");
            let error = run(id, &[], &Breaking { loss_at: 0, slope_at: 0 }, &never).unwrap_err().to_string();
            assert!(error.contains("before the first step"), "{error}");
        }
    }

    #[test]
    fn enough_is_enough() {
        let enough = Cancel::default();
        enough.cancel();
        let (weights, heard) = run(ARITHMETIC, &[], &SOUND, &enough).unwrap();
        assert_eq!(weights, sound(ARITHMETIC, &[("steps", Int(0))]).0);
        assert_eq!(settled(&heard), [("steps", 0)]);
        let (_, heard) = run(ADAMERGING[1], &[], &SOUND, &enough).unwrap();
        assert_eq!(settled(&heard), [("mask_steps", 0), ("steps", 0)]);
    }

    #[test]
    fn the_seed_decides_and_the_number_of_cores_does_not() {
        for (id, given) in [(ARITHMETIC, &[("steps", Int(5))][..]), (ADAMERGING[1], &steps(5, 5))] {
            let with = |threads: usize, seed: i64| {
                let given = [given, &[("seed", Int(seed)), ("mask", Text("sampled".into()))]].concat();
                let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                threads.install(|| sound(id, &given).0)
            };
            assert_eq!(with(1, 3), with(4, 3), "{id}");
            assert_ne!(with(1, 3), with(1, 4), "{id}");
        }
    }

    #[test]
    fn the_inner_step_starts_from_the_initial_coefficients_every_time() {
        // Were the coefficients of the step before to count, a large inner step would make a difference to the table.
        let (weights, _) = sound(
            ADAMERGING[0],
            &[&steps(3, 0)[..], &[("base_rate", Float(1.0)), ("mask_rate", Float(1e-4))]].concat(),
        );
        assert_close(&weights, &fused("task_arithmetic", &[("scaling", Float(0.3))], &two()), 1e-2);
    }
}
