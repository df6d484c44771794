//! Carrying out what the explorer wants done outside of itself: the engine, the store, files, long computations.
//!
//! Nothing here blocks the loop: every answer comes back as a message.

pub mod export;
pub mod keeper;

use super::catalog::Catalog;
use super::effect::{Effect, Export};
use super::msg::Msg;
use super::session::Outside;
use crate::cancel::Cancel;
use crate::engine::inspect::{Models, diff};
use crate::engine::{DeviceRequest, Engine, Event};
use crate::fusion::similarity;
use crate::store::Paths;
use crate::zoo::Zoo;
use keeper::{Keeper, Request};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::mpsc::UnboundedSender;

/// The real world.
pub struct Hands {
    zoo: Arc<Zoo>,
    catalog: Arc<Catalog>,
    device: DeviceRequest,
    paths: Option<Paths>,
    messages: UnboundedSender<Msg>,
    engine: Option<Engine>,
    keeper: Option<Keeper>,
    /// Stops whatever the workers are at.
    cancel: Cancel,
    workers: Vec<JoinHandle<()>>,
    /// Held by the export that chooses a name and writes: two at once would take the same.
    exporting: Arc<Mutex<()>>,
}

impl Hands {
    /// Nothing is opened or started before [`Outside::begin`].
    #[must_use]
    pub fn new(
        zoo: Arc<Zoo>,
        catalog: Arc<Catalog>,
        device: DeviceRequest,
        paths: Option<Paths>,
        messages: UnboundedSender<Msg>,
    ) -> Self {
        let (cancel, workers, exporting) = (Cancel::default(), Vec::new(), Arc::default());
        Self { zoo, catalog, device, paths, messages, engine: None, keeper: None, cancel, workers, exporting }
    }

    fn say(&self, text: String, error: bool) {
        // The loop may have ended; then nobody wants to know.
        let _ = self.messages.send(Msg::Notice { text, error });
    }

    fn ask_keeper(&self, request: Request) {
        if let Some(keeper) = &self.keeper {
            keeper.ask(request);
        }
    }

    /// Does something long on a thread of its own. If it panics, the person is told and everything else goes on.
    fn work(&mut self, name: &str, job: impl FnOnce() -> Msg + Send + 'static) {
        self.workers.retain(|worker| !worker.is_finished());
        let messages = self.messages.clone();
        let what = name.to_owned();
        let guarded = move || {
            let msg = catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|_| Msg::Notice {
                text: format!("{what} failed unexpectedly; the log has the details"),
                error: true,
            });
            let _ = messages.send(msg);
        };
        match std::thread::Builder::new().name(name.to_owned()).spawn(guarded) {
            Ok(worker) => self.workers.push(worker),
            Err(error) => self.say(format!("cannot start a thread for the {name}: {error}"), true),
        }
    }

    fn export(&mut self, export: Export) {
        let folder =
            self.paths.as_ref().map_or_else(|| PathBuf::from("fusebench-exports"), |paths| paths.exports.clone());
        let (zoo, catalog, cancel) = (Arc::clone(&self.zoo), Arc::clone(&self.catalog), self.cancel.clone());
        let exporting = Arc::clone(&self.exporting);
        let lessons = self.engine.as_ref().map(Engine::lessons).unwrap_or_default();
        self.work("export", move || {
            let _alone = exporting.lock().unwrap_or_else(PoisonError::into_inner);
            let written = match export {
                Export::Runs(runs) => export::runs(&runs, &catalog, &folder),
                Export::Recipe(job) => export::recipe(&job, &folder),
                Export::Checkpoint(job) => export::checkpoint((&zoo, &lessons), &job, &folder, &cancel),
            };
            match written {
                Ok(text) => Msg::Notice { text, error: false },
                Err(text) => Msg::Notice { text, error: true },
            }
        });
    }
}

impl Outside for Hands {
    fn begin(&mut self) {
        let path = self.paths.as_ref().map(Paths::history);
        match Keeper::start(path, self.messages.clone()) {
            Ok(keeper) => self.keeper = Some(keeper),
            Err(error) => self.say(format!("no history in this session: {error}"), true),
        }
        let messages = self.messages.clone();
        let sink = move |event: Event| {
            let _ = messages.send(Msg::Engine(event));
        };
        match Engine::start(Arc::clone(&self.zoo), self.device, Box::new(sink)) {
            Ok(engine) => self.engine = Some(engine),
            Err(error) => self.say(format!("the engine did not start: {error} ({})", error.hint()), true),
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Submit(run, job) => match &self.engine {
                Some(engine) => engine.submit(run, job),
                None => {
                    let (error, hint) = ("the engine is not running".to_owned(), "restart fusebench".to_owned());
                    let _ = self.messages.send(Msg::Engine(Event::Failed { run, error, hint, input: false }));
                }
            },
            Effect::Cancel(run) => {
                if let Some(engine) = &self.engine {
                    engine.cancel(run);
                }
            }
            Effect::Enough(run) => {
                if let Some(engine) = &self.engine {
                    engine.enough(run);
                }
            }
            Effect::LoadSamples { task, split } => {
                let zoo = Arc::clone(&self.zoo);
                self.work("samples", move || {
                    let images = zoo.images(&task, split).map_err(|error| format!("{error} ({})", error.hint()));
                    Msg::Samples { task, split, images }
                });
            }
            Effect::LoadSimilarity => {
                let (zoo, cancel) = (Arc::clone(&self.zoo), self.cancel.clone());
                self.work("similarity", move || {
                    let geometry = similarity(zoo.pool(), &cancel);
                    Msg::Similarity(geometry.map(Arc::new).map_err(|error| format!("{error} ({})", error.hint())))
                });
            }
            Effect::Inspect => {
                let (zoo, cancel, messages) = (Arc::clone(&self.zoo), self.cancel.clone(), self.messages.clone());
                self.work("inspection", move || {
                    let Some(models) = Models::of(zoo.pool()) else {
                        return Msg::Inspected(Err("the zoo has no base".to_owned()));
                    };
                    let mut tell = |step| {
                        let _ = messages.send(Msg::Inspection(step));
                    };
                    let result = diff(&models, true, &cancel, &mut tell);
                    Msg::Inspected(result.map(|_| ()).map_err(|error| format!("{error} ({})", error.hint())))
                });
            }
            Effect::LoadHistory => self.ask_keeper(Request::Load),
            Effect::Record(run) => self.ask_keeper(Request::Record(Box::new(run))),
            Effect::Forget(id) => self.ask_keeper(Request::Forget(id)),
            Effect::Pin { id, pinned } => self.ask_keeper(Request::Pin { id, pinned }),
            Effect::Persist { key, json } => self.ask_keeper(Request::Persist { key, json }),
            Effect::Export(export) => self.export(export),
            // The session loop has these.
            Effect::Copy(_) | Effect::CaptureMouse(_) | Effect::Suspend | Effect::Redraw | Effect::Quit => {}
        }
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.cancel.cancel();
        // The keeper first: what it was asked to store must be stored even if the engine takes its time.
        self.keeper = None;
        self.engine = None;
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Job, JobKind, Recipe};
    use crate::fusion;
    use crate::params::ParamSet;
    use crate::tasks::Split;
    use crate::tui::catalog::fixture;
    use tokio::sync::mpsc::unbounded_channel;

    #[test]
    fn exports_at_once_do_not_get_in_each_others_way() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::within(home.path());
        let (messages, mut heard) = unbounded_channel();
        let zoo = Arc::new(Zoo::embedded().unwrap());
        let mut hands = Hands::new(zoo, Arc::new(fixture::catalog()), DeviceRequest::Cpu, Some(paths), messages);
        let method = fusion::find("task_arithmetic").unwrap();
        let recipe = Recipe {
            method: method.id.to_owned(),
            params: ParamSet::defaults(method.specs),
            experts: fixture::TASKS.map(str::to_owned).to_vec(),
        };
        let tasks = recipe.experts.clone();
        let job = Job { kind: JobKind::Run, recipe, tasks, split: Split::Test, limit: None, corruption: None };
        for _ in 0..8 {
            hands.perform(Effect::Export(Export::Recipe(job.clone())));
        }
        for _ in 0..8 {
            let Some(Msg::Notice { text, error }) = heard.blocking_recv() else { panic!("no notice") };
            assert!(!error, "{text}");
        }
        assert_eq!(std::fs::read_dir(home.path().join("exports")).unwrap().count(), 8);
    }
}
