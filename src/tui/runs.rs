//! Everything the engine has said about the runs of this session, reduced to what the screens show.
//!
//! [`submit`] is the one way to start a job from the explorer: it gives out the id, remembers what was asked for, and
//! asks the session loop to hand it to the engine. [`Runs::apply`] folds the engine's events into a [`RunView`] a run.

mod eta;
pub mod label;
mod record;
mod run_view;
mod task_view;

pub use eta::Eta;
pub use record::{recipe_toml, record, short_title, title};
pub use run_view::{Learned, LogLine, Phase, Routing, RunState, RunView, average};
pub use task_view::{Score, TaskView};

use super::effect::Effect;
use super::model::Model;
use crate::engine::{Event, Job, JobKind, RunId};
use std::time::Duration;

/// Previews come and go by the dozen; so many are kept for looking back.
const PREVIEWS_KEPT: usize = 40;
/// Runs that were asked for; more than anyone starts in a session, few enough to bound the memory.
const RUNS_KEPT: usize = 500;

/// The runs of this session, oldest first.
#[derive(Debug, Default)]
pub struct Runs {
    list: Vec<RunView>,
}

/// Starts `job`: registers it and asks for it to be handed to the engine.
///
/// `tuned_on_test` says that its parameters were moved after a test result of the method was seen.
pub fn submit(model: &mut Model, job: Job, tuned_on_test: bool, fx: &mut Vec<Effect>) -> RunId {
    let run = model.next_run_id();
    let method = model.catalog.methods.iter().copied().find(|method| method.id == job.recipe.method);
    let label = label::recipe(&job.recipe, method);
    model.runs.add(RunView::new(run, job.clone(), label, tuned_on_test, model.now));
    fx.push(Effect::Submit(run, job));
    run
}

impl Runs {
    /// Registers a run before the first event about it.
    pub fn add(&mut self, run: RunView) {
        self.list.push(run);
        self.forget(JobKind::Preview, PREVIEWS_KEPT);
        self.forget(JobKind::Run, RUNS_KEPT);
    }

    /// Drops the oldest of a kind that are over, beyond `keep`.
    fn forget(&mut self, kind: JobKind, keep: usize) {
        let mut surplus = self.list.iter().filter(|run| run.job.kind == kind).count().saturating_sub(keep);
        self.list.retain(|run| {
            let drop = surplus > 0 && run.job.kind == kind && run.state.is_over();
            surplus -= usize::from(drop);
            !drop
        });
    }

    /// Takes in one event; `now` is the time since the session started.
    pub fn apply(&mut self, event: &Event, now: Duration) {
        let Some(id) = event.run() else { return };
        if let Some(run) = self.list.iter_mut().rev().find(|run| run.id == id) {
            run.apply(event, now);
        }
    }

    #[must_use]
    pub fn get(&self, id: RunId) -> Option<&RunView> {
        self.list.iter().rev().find(|run| run.id == id)
    }

    /// All runs that were asked for (no previews), oldest first.
    #[must_use]
    pub fn asked_for(&self) -> impl DoubleEndedIterator<Item = &RunView> {
        self.list.iter().filter(|run| run.job.kind == JobKind::Run)
    }

    /// The run that Ctrl-C cancels: the newest that is queued or going on. Previews count.
    #[must_use]
    pub fn to_cancel(&self) -> Option<RunId> {
        let active = |run: &&RunView| matches!(run.state, RunState::Queued { .. } | RunState::Running);
        self.list.iter().rev().find(active).map(|run| run.id)
    }

    /// Notes that a run was asked to stop; it may take a moment until it has.
    pub fn cancelling(&mut self, id: RunId) {
        if let Some(run) = self.list.iter_mut().rev().find(|run| run.id == id)
            && !run.state.is_over()
        {
            run.state = RunState::Cancelling;
        }
    }

    /// Whether something on screen depends on the clock (elapsed time, ETA).
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.list.iter().any(|run| !run.state.is_over())
    }
}

#[cfg(test)]
#[allow(clippy::must_use_candidate, clippy::missing_panics_doc)]
pub mod script;
#[cfg(test)]
mod tests;
