//! What the screen asks of the engine: previews at every nudge, runs for the record, and what to do when it is idle.

use super::board::Board;
use super::{Pinned, Shows, setting::Setting, sweep};
use crate::engine::{Event, Job, JobKind, RunId};
use crate::fusion::find;
use crate::tasks::{Data, Split};
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::runs::{self, RunState};

/// The job for a setting.
#[must_use]
pub fn job(model: &Model, setting: &Setting, kind: JobKind, data: Data, limit: Option<usize>) -> Job {
    let tasks = model.catalog.tasks.iter().map(|task| task.id.clone()).collect();
    Job { kind, recipe: setting.recipe(), tasks, split: data.split, limit, corruption: data.corruption }
}

/// Why the setting cannot be fused, if so.
///
/// # Errors
/// The method's own words.
pub fn check(model: &Model, setting: &Setting) -> Result<(), String> {
    setting.method.check(model.catalog.has_base, setting.experts.len()).map_err(|error| error.to_string())
}

/// Fuses and evaluates the setting on screen; a preview that is still going on makes way for it.
pub fn preview(model: &mut Model, fx: &mut Vec<Effect>) {
    model.tune.waits = false;
    if model.tune.shows == Shows::Learned {
        model.tune.shows = Shows::Bars;
    }
    if check(model, &model.tune.setting).is_err() {
        return;
    }
    let job = job(model, &model.tune.setting, JobKind::Preview, model.tune.data(), None);
    let tuned_on_test = model.tune.setting.tuned_on_test;
    start_from_what_was_asked_first(model);
    model.tune.board.expect(model.tune.data());
    model.tune.current = Some(runs::submit(model, job, tuned_on_test, fx));
}

/// Somebody was faster than the first preview: its setting is still what they started from, and is evaluated to the end
/// when there is time.
fn start_from_what_was_asked_first(model: &mut Model) {
    let running = model.tune.current.and_then(|id| model.runs.get(id)).is_some_and(|run| !run.state.is_over());
    let tune = &mut model.tune;
    let before = tune.asked.replace(tune.setting.clone());
    if let Some(before) = before.filter(|before| running && tune.pinned.is_none() && *before != tune.setting) {
        tune.pinned = Some(Pinned::new(before, tune.board.clone(), true));
    }
}

/// Queues a full run on the test split; it goes to the history when it is finished.
pub fn run(model: &mut Model, fx: &mut Vec<Effect>) {
    if let Err(reason) = check(model, &model.tune.setting) {
        model.say(reason, true);
        return;
    }
    let job = job(model, &model.tune.setting, JobKind::Run, Data { split: Split::Test, ..model.tune.data() }, None);
    let tuned_on_test = model.tune.setting.tuned_on_test;
    let id = runs::submit(model, job, tuned_on_test, fx);
    model.run.follow(id);
    model.say("full test run started: watch it on screen 3, find it in the history", false);
}

/// The engine said something: bars follow, a first result becomes what later ones are compared with, and when a
/// preview is over the next thing in line begins.
pub fn heard(model: &mut Model, event: &Event, fx: &mut Vec<Effect>) {
    let Some(id) = event.run() else { return };
    let Some(run) = model.runs.get(id) else { return };
    let tune = &mut model.tune;
    // A run in the background is seen when it is done: then its average is said, whatever screen is shown.
    let seen = if run.job.kind == JobKind::Run { run.state == RunState::Done } else { run.seen().0 > 0 };
    if run.job.split == Split::Test
        && seen
        && let Ok(method) = find(&run.job.recipe.method)
    {
        tune.seen_on_test.insert(method.id);
    }
    if tune.current == Some(id) {
        if let Event::Settled { params, .. } = event {
            // What is on screen is what the result belongs to.
            let dialled = Some(&mut tune.setting).filter(|_| !tune.waits);
            for setting in dialled.into_iter().chain(&mut tune.asked) {
                if setting.method.id == run.job.recipe.method {
                    setting.params.clone_from(params);
                }
            }
        }
        tune.board.take(run);
        if run.seen().0 > 0 && tune.shown != tune.asked {
            tune.shown.clone_from(&tune.asked);
        }
        if tune.waits {
            // It is not about what is on screen by now.
            tune.board.expect(tune.board.data);
        } else if run.state == RunState::Done && tune.pinned.is_none() {
            tune.pinned = Some(Pinned::new(tune.setting.clone(), tune.board.clone(), true));
        }
    } else if tune.repin == Some(id) {
        match (&run.state, tune.pinned.as_mut()) {
            (RunState::Done, Some(pinned)) => {
                pinned.board.expect(run.job.data());
                pinned.board.take(run);
            }
            // Asking again would fail again.
            (RunState::Failed { .. }, _) => tune.pinned = None,
            _ => {}
        }
    } else if !sweep::heard(tune, id, run) {
        return;
    }
    if event.is_final() {
        let stopped = run.state == RunState::Cancelled;
        over(model, id, stopped, fx);
    }
}

/// A preview is over. Unless the person stopped it or another one is under way, the next in line is submitted: the
/// pinned setting where it is not known to the end on the split now in sight, then the points of the sweep.
fn over(model: &mut Model, id: RunId, stopped: bool, fx: &mut Vec<Effect>) {
    if model.tune.repin == Some(id) {
        model.tune.repin = None;
    }
    let busy = |id: Option<RunId>| id.and_then(|id| model.runs.get(id)).is_some_and(|run| !run.state.is_over());
    if busy(model.tune.current) || busy(model.tune.repin) {
        return;
    }
    if stopped {
        sweep::stop(&mut model.tune);
        return;
    }
    idle(model, fx);
}

/// Submits the next thing in line, if any.
pub fn idle(model: &mut Model, fx: &mut Vec<Effect>) {
    let data = model.tune.data();
    if let Some(pinned) = model.tune.pinned.as_ref().filter(|pinned| !pinned.is_known_on(data)) {
        let (setting, tuned_on_test) = (pinned.setting.clone(), pinned.setting.tuned_on_test);
        if check(model, &setting).is_ok() {
            let job = job(model, &setting, JobKind::Preview, data, None);
            model.tune.repin = Some(runs::submit(model, job, tuned_on_test, fx));
            return;
        }
    }
    sweep::next(model, fx);
}

/// An empty board for the catalogue's tasks.
#[must_use]
pub fn empty_board(catalog: &crate::tui::catalog::Catalog, data: Data) -> Board {
    Board::new(catalog.tasks.iter().map(|task| task.id.clone()), data)
}
