//! Steps down a loss, watched: by someone who may have seen enough, for a loss that stops being a number, and for answers
//! that stop depending on the image.

use super::adam::Adam;
use crate::fusion::{Context, FusionError, Method, News};
use crate::params::Value;

/// A way that is gone step by step.
pub(in crate::fusion) trait Way {
    /// What it takes to come back to where the way has led.
    type Place;

    /// Looks at where the way has led.
    ///
    /// # Errors
    /// What the data report; cancellation.
    fn look(&mut self, at: At, cx: &mut Context<'_>) -> Result<Look, FusionError>;

    /// Takes the step that the last look says, after `done` others, and says where that leads.
    ///
    /// # Errors
    /// Cancellation.
    fn step(&mut self, done: usize, cx: &mut Context<'_>) -> Result<(), FusionError>;

    /// Where the way has led.
    fn place(&self) -> Self::Place;

    /// Goes back to the place after `done` steps, for good, and says so.
    fn return_to(&mut self, place: Self::Place, done: usize, cx: &mut Context<'_>);
}

/// When a look is taken.
#[derive(Debug, Clone, Copy)]
pub(in crate::fusion) struct At {
    /// Steps taken.
    pub done: usize,
    /// The step whose data are looked at.
    pub batch: usize,
    /// No step is to follow.
    pub ends: bool,
}

/// What there is to see.
pub(in crate::fusion) enum Look {
    /// A loss that is no number.
    Lost,
    /// A loss whose slope is no number.
    Stuck,
    /// A loss and a slope, and how far the answers tell images apart: [`Entropy::information`](crate::fusion::Entropy).
    Clear(Option<f64>),
}

/// Goes at most `steps` steps; gives how many led to where it ends, which was looked at too.
///
/// A person who has seen enough ends it early. So does a step to where the loss or its slope is no number: what it was worth
/// before is kept. So do answers that have come to be nearly the same for all images, which the entropy likes and nobody else
/// does: then what told images apart best is kept. The context's listener is told so.
///
/// # Errors
/// A loss that is no number from the beginning; what the way reports.
pub(in crate::fusion) fn go(
    method: &Method,
    steps: usize,
    way: &mut impl Way,
    cx: &mut Context<'_>,
) -> Result<usize, FusionError> {
    let (mut watch, mut before, mut best, mut done) = (Watch::default(), None, None, 0);
    loop {
        let ends = done == steps || cx.is_enough();
        if ends && done == 0 {
            return Ok(0);
        }
        let at = At { done, batch: done, ends };
        let mut look = way.look(at, cx)?;
        if watch.doubts(&look) {
            // One batch may be odd: another one decides.
            look = way.look(At { batch: done + 1, ..at }, cx)?;
            if watch.doubts(&look)
                && let Some((_, kept, place)) = best
            {
                way.return_to(place, kept, cx);
                warn(done, "made answers nearly the same for all images", kept, cx);
                return Ok(kept);
            }
        }
        match look {
            Look::Lost => {
                let (kept, place) = before.ok_or_else(|| no_start(method))?;
                way.return_to(place, kept, cx);
                warn(done, NOT_FINITE, kept, cx);
                return Ok(kept);
            }
            Look::Stuck if !ends => {
                warn(done + 1, NOT_FINITE, done, cx);
                return Ok(done);
            }
            Look::Clear(Some(now)) if best.as_ref().is_none_or(|(most, ..)| now > *most) => {
                best = Some((now, done, way.place()));
            }
            Look::Stuck | Look::Clear(_) => {}
        }
        if ends {
            return Ok(done);
        }
        before = Some((done, way.place()));
        way.step(done, cx)?;
        done += 1;
        cx.advance(1);
    }
}

const NOT_FINITE: &str = "made the loss not finite";

/// Says that a step came to nothing, and what was kept.
fn warn(failed: usize, what: &str, kept: usize, cx: &mut Context<'_>) {
    cx.tell(News::Warning(format!("step {failed} {what}; kept what step {kept} gave. Smaller steps help")));
}

/// That there is nothing to keep.
fn no_start(method: &Method) -> FusionError {
    let reason = "the model's answers are not finite before the first step; use a smaller init".to_owned();
    FusionError::Unusable { method: method.name, reason }
}

/// Whether answers still tell images apart. Seen on the zoo: what works gains information, by up to a half; what ends near
/// chance loses more than half of it, mostly within a step or two, while the entropy may well go on falling. What merely gets
/// worse than it was is not told by it.
#[derive(Default)]
struct Watch {
    /// Before the first step.
    start: Option<f64>,
}

impl Watch {
    /// Less of the first information is too little.
    const LEFT: f64 = 0.5;
    /// In nats; of less there is nothing to lose.
    const LEAST: f64 = 0.1;

    fn doubts(&mut self, look: &Look) -> bool {
        let &Look::Clear(Some(now)) = look else { return false };
        let start = *self.start.get_or_insert(now);
        start >= Self::LEAST && now < Self::LEFT * start
    }
}

/// A loss that depends on a row of numbers.
pub(in crate::fusion) trait Hill {
    /// How the loss changes with the numbers, on the data of step `step`; nothing if it is no number itself.
    ///
    /// # Errors
    /// What the data report; cancellation.
    fn slope(&mut self, numbers: &[f64], step: usize, cx: &mut Context<'_>) -> Result<Option<Slope>, FusionError>;

    /// Says where the numbers stand after `done` steps: after a step, with the loss before it, or else without one.
    fn tell(&mut self, numbers: &[f64], done: usize, after_step: bool, cx: &mut Context<'_>);
}

/// How a loss changes with a row of numbers.
pub(in crate::fusion) struct Slope {
    pub over: Vec<f64>,
    /// As in [`Look::Clear`].
    pub information: Option<f64>,
}

/// Moves the numbers `steps` steps of Adam down, `rate` being the learning rate of each; gives how many steps led to where
/// they are, as [`go`] does, and the context's listener is told if those are fewer.
///
/// # Errors
/// As [`go`].
pub(in crate::fusion) fn descend(
    method: &Method,
    (steps, rate): (usize, impl Fn(usize) -> f64),
    numbers: &mut Vec<f64>,
    hill: &mut impl Hill,
    cx: &mut Context<'_>,
) -> Result<usize, FusionError> {
    let adam = Adam::new(0.0, numbers.len());
    let mut descent = AdamDescent { hill, numbers, slope: Vec::new(), adam, rate };
    let settled = go(method, steps, &mut descent, cx)?;
    settle("steps", settled, steps, cx);
    Ok(settled)
}

struct AdamDescent<'a, H, R> {
    hill: &'a mut H,
    numbers: &'a mut Vec<f64>,
    slope: Vec<f64>,
    adam: Adam,
    rate: R,
}

impl<H: Hill, R: Fn(usize) -> f64> Way for AdamDescent<'_, H, R> {
    type Place = Vec<f64>;

    fn look(&mut self, at: At, cx: &mut Context<'_>) -> Result<Look, FusionError> {
        let Some(Slope { over, information }) = self.hill.slope(self.numbers, at.batch, cx)? else {
            return Ok(Look::Lost);
        };
        self.slope = over;
        let finite = self.slope.iter().all(|x| x.is_finite());
        Ok(if finite { Look::Clear(information) } else { Look::Stuck })
    }

    fn step(&mut self, done: usize, cx: &mut Context<'_>) -> Result<(), FusionError> {
        self.adam.set_rate((self.rate)(done));
        self.adam.step(self.numbers, &self.slope);
        self.hill.tell(self.numbers, done + 1, true, cx);
        Ok(())
    }

    fn place(&self) -> Vec<f64> {
        self.numbers.clone()
    }

    fn return_to(&mut self, place: Vec<f64>, done: usize, cx: &mut Context<'_>) {
        *self.numbers = place;
        self.hill.tell(self.numbers, done, false, cx);
    }
}

/// Says that fewer steps were taken than asked for.
pub(in crate::fusion) fn settle(param: &'static str, done: usize, steps: usize, cx: &mut Context<'_>) {
    if done < steps {
        cx.tell(News::Settled { param, value: Value::Int(done as i64) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::fusion::find;

    /// A way along which the information is as listed, place by place; `odd` are steps whose data say that it is none.
    struct Listed<'a> {
        information: &'a [f64],
        odd: &'a [usize],
        place: usize,
    }

    impl Way for Listed<'_> {
        type Place = usize;

        fn look(&mut self, At { done, batch, ends }: At, _: &mut Context<'_>) -> Result<Look, FusionError> {
            assert_eq!((done, done + 1 == self.information.len()), (self.place, ends));
            let here = self.information[done];
            Ok(Look::Clear((here >= 0.0).then_some(if self.odd.contains(&batch) { 0.0 } else { here })))
        }

        fn step(&mut self, done: usize, _: &mut Context<'_>) -> Result<(), FusionError> {
            assert_eq!(done, self.place);
            self.place += 1;
            Ok(())
        }

        fn place(&self) -> usize {
            self.place
        }

        fn return_to(&mut self, place: usize, done: usize, _: &mut Context<'_>) {
            assert_eq!(place, done);
            self.place = place;
        }
    }

    /// Where it ends, as counted and as walked, and whether there was a warning.
    fn gone(information: &[f64], odd: &[usize]) -> (usize, usize, bool) {
        let (cancel, mut silent, mut warned) = (Cancel::default(), |_, _| {}, false);
        let mut listener = |news| warned |= matches!(news, News::Warning(text) if text.contains("nearly the same"));
        let mut cx = Context::new(&cancel, &mut silent).with_listener(&mut listener);
        let mut way = Listed { information, odd, place: 0 };
        let done = go(find("wemoe").unwrap(), information.len() - 1, &mut way, &mut cx).unwrap();
        (done, way.place, warned)
    }

    #[test]
    fn answers_that_come_to_be_the_same_end_it_where_they_were_not() {
        assert_eq!(gone(&[1.2, 1.3, 1.1, 1.4], &[]), (3, 3, false));
        assert_eq!(gone(&[1.2, 1.3, 0.5, 1.4], &[]), (1, 1, true));
        assert_eq!(gone(&[1.2, 1.4, 1.0, 0.8, 0.5, 0.3], &[]), (1, 1, true), "where they told most");
        assert_eq!(gone(&[1.2, 0.0, 0.0, 0.0], &[]), (0, 0, true));
        assert_eq!(gone(&[1.2, 1.3, 1.4, 0.5], &[]), (2, 2, true), "what the last step gave is looked at too");
    }

    #[test]
    fn one_odd_batch_decides_nothing_and_neither_do_too_few_images() {
        assert_eq!(gone(&[1.2, 1.3, 1.1, 1.4], &[2]), (3, 3, false));
        assert_eq!(gone(&[1.2, 1.3, 1.1, 1.4], &[2, 3]), (1, 1, true));
        assert_eq!(gone(&[-1.0, -1.0, -1.0], &[]), (2, 2, false));
        assert_eq!(gone(&[0.08, 0.01, 0.0], &[]), (2, 2, false));
    }
}
