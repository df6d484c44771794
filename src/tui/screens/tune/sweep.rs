//! A sweep: one number of the form over its range, a small preview a point, as a curve with its best point marked.
//!
//! Points are taken from coarse to fine, so that the shape shows early, and only while nothing else is being previewed:
//! a sweep never delays a nudge.

use super::State;
use super::form::{self, Part};
use super::jobs;
use super::setting::Setting;
use crate::engine::{JobKind, RunId};
use crate::params::{Kind, Scale, Spec, Value};
use crate::tasks::Data;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::runs::{self, RunState, RunView, Score, average};

/// Points at most.
const POINTS: usize = 21;
/// Samples a task and point: enough to see a maximum, few enough for a second a point.
pub const SAMPLES: usize = 200;

/// One point of the curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub value: f64,
    /// By task, in catalogue order; empty until evaluated.
    pub scores: Vec<Score>,
}

/// A sweep that is going on or finished.
#[derive(Debug, Clone)]
pub struct Sweep {
    pub spec: &'static Spec,
    /// What of the parameter is moved.
    pub part: Part,
    /// Whose part, and of which block, for the title; empty for the whole parameter.
    pub of: String,
    /// Everything else stays as it was when the sweep began.
    pub setting: Setting,
    pub data: Data,
    /// By rising value.
    pub points: Vec<Point>,
    /// Indices of points still to do, the next one last.
    queue: Vec<usize>,
    running: Option<(RunId, usize)>,
    pub error: Option<String>,
}

impl Sweep {
    /// A sweep of the number under the cursor, or the reason why there is none.
    ///
    /// # Errors
    /// When the cursor is on nothing that is a number.
    pub fn of(model: &Model) -> Result<Self, &'static str> {
        let tune = &model.tune;
        let (row, spec) = tune.focused_spec().ok_or("move to a slider first: a sweep goes over one number")?;
        let values = values(spec).ok_or("only numbers can be swept")?;
        let part = Part::of(row, spec, tune.block, tune.link);
        let expert = part.expert.and_then(|at| tune.setting.experts.get(at).cloned());
        let block = part.block.and_then(|at| model.catalog.groups.get(at).cloned());
        let of = [expert, block].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let points: Vec<Point> = values.into_iter().map(|value| Point { value, scores: Vec::new() }).collect();
        let mut queue = coarse_to_fine(points.len());
        queue.reverse();
        let (setting, data) = (tune.setting.clone(), tune.data());
        Ok(Self { spec, part, of, setting, data, points, queue, running: None, error: None })
    }

    /// Whether both go over the same number of the same setting.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let blank = |sweep: &Self| {
            let mut setting = sweep.setting.clone();
            let _ = setting.params.set(setting.method.specs, sweep.spec.name, Value::default_of(sweep.spec));
            setting.tuned_on_test = false;
            setting
        };
        let target = |sweep: &Self| (sweep.spec.name, sweep.part, sweep.data);
        // What is swept may have been moved since, where it is one number; the rest of a list may not.
        let setting = if form::is_per_expert(self.spec) { self.setting.params == other.setting.params } else { true };
        target(self) == target(other) && blank(self) == blank(other) && setting
    }

    /// The setting at a point.
    #[must_use]
    pub fn setting_at(&self, value: f64, blocks: usize) -> Setting {
        let mut setting = self.setting.clone();
        let moved = if form::is_per_expert(self.spec) {
            let old = setting.params.get(self.spec.name).cloned().unwrap_or_else(|| Value::default_of(self.spec));
            form::change(&old, self.spec, self.part, (setting.experts.len(), blocks), |_| value)
        } else if matches!(self.spec.kind, Kind::Int { .. }) {
            Value::Int(value.round() as i64)
        } else {
            Value::Float(value)
        };
        // Values come from the spec's own range, so they fit.
        let _ = setting.params.set(setting.method.specs, self.spec.name, moved);
        setting
    }

    /// Points done and in all.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.points.iter().filter(|point| !point.scores.is_empty()).count(), self.points.len())
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        self.queue.is_empty() && self.running.is_none()
    }

    /// The point with the highest average so far.
    #[must_use]
    pub fn best(&self) -> Option<(f64, f64)> {
        let scored = self.points.iter().filter_map(|point| average(&point.scores).map(|(mean, _)| (point.value, mean)));
        scored.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The point with the highest accuracy on task number `task`; the first of several.
    #[must_use]
    pub fn best_for(&self, task: usize) -> Option<(f64, f64)> {
        let scored = self.points.iter().filter_map(|p| p.scores.get(task).map(|score| (p.value, score.accuracy)));
        scored.reduce(|best, next| if next.1 > best.1 { next } else { best })
    }
}

/// The values to visit: the slider's own steps, thinned to at most [`POINTS`]; both ends are among them.
fn values(spec: &Spec) -> Option<Vec<f64>> {
    let ((min, max), step) = (spec.range()?, spec.step()?);
    let logarithmic = matches!(spec.kind, Kind::Float { scale: Scale::Logarithmic, .. }) && min > 0.0;
    let steps = if logarithmic { POINTS - 1 } else { (((max - min) / step).round() as usize).clamp(1, POINTS - 1) };
    let at = |i: usize| {
        let share = i as f64 / steps as f64;
        if logarithmic { min * (max / min).powf(share) } else { min + share * (max - min) }
    };
    let mut values: Vec<f64> = (0..=steps).map(|i| spec.nudge_number(at(i), 0)).collect();
    values.dedup();
    Some(values)
}

/// The indices below `n`: both ends, then the middles of what is left, again and again.
fn coarse_to_fine(n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(n);
    let mut spans = std::collections::VecDeque::new();
    if n > 0 {
        order.push(0);
    }
    if n > 1 {
        order.push(n - 1);
        spans.push_back((0, n - 1));
    }
    while let Some((low, high)) = spans.pop_front() {
        let middle = usize::midpoint(low, high);
        if middle > low {
            order.push(middle);
            spans.push_back((low, middle));
            spans.push_back((middle, high));
        }
    }
    order
}

/// Takes in the state of the run `id`; false when it is none of the sweep's.
pub fn heard(tune: &mut State, id: RunId, run: &RunView) -> bool {
    let Some(sweep) = tune.sweep.as_mut() else { return false };
    let Some((_, at)) = sweep.running.filter(|&(running, _)| running == id) else { return false };
    match &run.state {
        RunState::Done => {
            let scores: Option<Vec<Score>> = run.tasks.iter().map(|task| task.score).collect();
            sweep.points[at].scores = scores.unwrap_or_default();
            sweep.running = None;
        }
        // A nudge went first: the point comes again.
        RunState::Cancelled => {
            sweep.queue.push(at);
            sweep.running = None;
        }
        RunState::Failed { error, hint } => {
            sweep.error = Some(if hint.is_empty() { error.clone() } else { format!("{error}: {hint}") });
            sweep.queue.clear();
            sweep.running = None;
        }
        RunState::Queued { .. } | RunState::Running | RunState::Cancelling => {}
    }
    true
}

/// Submits the next point, if there is one and none is under way.
pub fn next(model: &mut Model, fx: &mut Vec<Effect>) {
    let blocks = model.catalog.groups.len();
    let Some(sweep) = model.tune.sweep.as_mut().filter(|sweep| sweep.running.is_none()) else { return };
    let Some(at) = sweep.queue.pop() else { return };
    let setting = sweep.setting_at(sweep.points[at].value, blocks);
    let data = sweep.data;
    let job = jobs::job(model, &setting, JobKind::Preview, data, Some(SAMPLES));
    let id = runs::submit(model, job, setting.tuned_on_test, fx);
    if let Some(sweep) = model.tune.sweep.as_mut() {
        sweep.running = Some((id, at));
    }
}

/// No more points; what has been found stays.
pub fn stop(tune: &mut State) {
    if let Some(sweep) = tune.sweep.as_mut() {
        sweep.queue.clear();
        sweep.running = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{choice, float, int};

    #[test]
    fn values_are_on_the_grid_and_few() {
        let lambda = values(&float(0.3, 0.0, 1.0, 0.05)).unwrap();
        assert_eq!(lambda.len(), 21);
        assert_eq!((lambda[0], lambda[1], lambda[20]), (0.0, 0.05, 1.0));
        assert_eq!(values(&float(0.3, 0.0, 2.0, 0.05)).unwrap().len(), 21);
        assert_eq!(values(&int(3, 1, 4, 1)).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        let rate = values(&float(1e-3, 1e-5, 1e-1, 1e-5).logarithmic()).unwrap();
        assert!((rate[10] - 1e-3).abs() < 1e-9, "{rate:?}");
        assert_eq!(values(&choice("sum", &["sum", "max"])), None);
    }

    #[test]
    fn every_point_comes_once_and_the_ends_come_first() {
        for n in 0..40 {
            let order = coarse_to_fine(n);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..n).collect::<Vec<_>>());
        }
        assert_eq!(coarse_to_fine(9), [0, 8, 4, 2, 6, 1, 3, 5, 7]);
    }
}
