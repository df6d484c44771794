//! The thread that owns the history: opens it, answers questions, stores what is to be remembered.

use crate::store::{History, NewRun, StoreError};
use crate::tui::msg::Msg;
use crate::tui::persist;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tokio::sync::mpsc::UnboundedSender;

/// So many runs are shown.
const LISTED: usize = 1000;

/// What the history is asked.
#[derive(Debug)]
pub enum Request {
    Load,
    Record(Box<NewRun>),
    Forget(i64),
    Pin { id: i64, pinned: bool },
    Persist { key: &'static str, json: String },
}

/// The thread's other end. Dropping it waits until everything asked for is stored.
#[derive(Debug)]
pub struct Keeper {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Opens the history at `path` (in memory without one), says what earlier sessions left, and answers from then on.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(path: Option<PathBuf>, messages: UnboundedSender<Msg>) -> io::Result<Self> {
        let (sender, requests) = channel();
        let thread = std::thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || keep(path.as_deref(), &requests, &messages))?;
        Ok(Self { requests: Some(sender), thread: Some(thread) })
    }

    pub fn ask(&self, request: Request) {
        if let Some(requests) = &self.requests {
            let _ = requests.send(request);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn keep(path: Option<&Path>, requests: &Receiver<Request>, messages: &UnboundedSender<Msg>) {
    let say = |text: String| {
        let _ = messages.send(Msg::Notice { text, error: true });
    };
    let opened = match path {
        Some(path) => History::open_or_recover(path),
        None => History::in_memory().map(|history| {
            let trouble = "there is no home folder; this session's runs are kept in memory only (set FUSEBENCH_HOME)";
            (history, Some(trouble.to_owned()))
        }),
    };
    let (history, trouble) = match opened {
        Ok(opened) => opened,
        Err(error) => return say(described(&error)),
    };
    if let Some(trouble) = &trouble {
        say(trouble.clone());
    }
    if let Some(json) = history.ui_state(persist::KEY) {
        let _ = messages.send(Msg::Remembered { key: persist::KEY.to_owned(), json });
    }
    let list = || match history.list(LISTED) {
        Ok(runs) => Msg::History { runs, trouble: trouble.clone() },
        Err(error) => Msg::History { runs: Vec::new(), trouble: Some(described(&error)) },
    };
    for request in requests {
        let (answer, done) = match request {
            Request::Load => (true, Ok(())),
            Request::Record(run) => (true, history.add(&run).map(drop)),
            Request::Forget(id) => (true, history.remove(id).map(drop)),
            Request::Pin { id, pinned } => (true, history.set_pinned(id, pinned).map(drop)),
            Request::Persist { key, json } => (false, history.set_ui_state(key, &json)),
        };
        if let Err(error) = done {
            say(described(&error));
        }
        if answer {
            let _ = messages.send(list());
        }
    }
}

fn described(error: &StoreError) -> String {
    format!("{error} ({})", error.hint())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::unbounded_channel;

    fn run(label: &str) -> Box<NewRun> {
        Box::new(NewRun { method: "ties".into(), label: label.into(), ..NewRun::default() })
    }

    /// Everything that a keeper answers to some requests.
    fn answers(path: Option<PathBuf>, requests: Vec<Request>) -> Vec<Msg> {
        let (sender, mut receiver) = unbounded_channel();
        let keeper = Keeper::start(path, sender).unwrap();
        for request in requests {
            keeper.ask(request);
        }
        drop(keeper);
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    #[test]
    fn what_is_recorded_and_remembered_is_there_in_the_next_session() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("history.db");
        let persist = Request::Persist { key: persist::KEY, json: "{\"screen\":\"Run\"}".into() };
        answers(Some(path.clone()), vec![Request::Record(run("first")), Request::Record(run("second")), persist]);
        let later = answers(Some(path), vec![Request::Load]);
        let [Msg::Remembered { json, .. }, Msg::History { runs, trouble: None }] = &later[..] else {
            panic!("{later:?}")
        };
        assert_eq!(json, "{\"screen\":\"Run\"}");
        assert_eq!(runs.iter().map(|record| record.run.label.as_str()).collect::<Vec<_>>(), ["second", "first"]);
    }

    #[test]
    fn forgetting_and_pinning_are_answered_with_the_list() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("history.db");
        let asked = vec![Request::Record(run("a")), Request::Pin { id: 1, pinned: true }, Request::Forget(1)];
        let lists: Vec<Vec<bool>> = answers(Some(path), asked)
            .into_iter()
            .filter_map(|msg| {
                if let Msg::History { runs, .. } = msg {
                    Some(runs.iter().map(|run| run.pinned).collect())
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(lists, [vec![false], vec![true], vec![]]);
    }

    #[test]
    fn without_a_usable_home_the_session_goes_on_in_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let under_a_file = file.path().join("history.db");
        for path in [None, Some(under_a_file)] {
            let told = answers(path, vec![Request::Record(run("a")), Request::Load]);
            assert!(matches!(&told[0], Msg::Notice { text, error: true } if text.contains("memory")), "{told:?}");
            assert!(
                matches!(told.last(), Some(Msg::History { runs, trouble: Some(_) }) if runs.len() == 1),
                "{told:?}"
            );
        }
    }
}
