//! All that the explorer knows. Changed by `update` alone, read by `view`.

use super::catalog::Catalog;
use super::overlay::Overlay;
use super::runs::Runs;
use super::screens::{browse, compare, help, history, run, tune};
use crate::engine::RunId;
use std::sync::Arc;
use std::time::Duration;

/// The screens, in the order of their number keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Screen {
    Browse,
    Tune,
    Run,
    Compare,
    History,
    Help,
}

impl Screen {
    pub const ALL: [Self; 6] = [Self::Browse, Self::Tune, Self::Run, Self::Compare, Self::History, Self::Help];

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Browse => "Browse",
            Self::Tune => "Tune",
            Self::Run => "Run",
            Self::Compare => "Compare",
            Self::History => "History",
            Self::Help => "Help",
        }
    }
}

/// The device that the engine works on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Empty until the engine has said which.
    pub name: String,
    /// Why it is not the one that was asked for.
    pub reason: Option<String>,
}

/// The whole state of one session.
#[derive(Debug)]
pub struct Model {
    /// What there is to fuse and to evaluate; never changes.
    pub catalog: Arc<Catalog>,
    pub screen: Screen,
    /// Time since the session started, as of the last tick.
    pub now: Duration,
    pub size: (u16, u16),
    pub device: DeviceStatus,
    /// Everything the engine has said about runs of this session.
    pub runs: Runs,
    pub browse: browse::State,
    pub tune: tune::State,
    pub run: run::State,
    pub compare: compare::State,
    pub history: history::State,
    pub help: help::State,
    /// What lies above the screen and takes the keys: help, palette, entry field, question.
    pub overlay: Option<Overlay>,
    /// Short message in the footer, with the time at which it goes away.
    pub notice: Option<Notice>,
    pub theme: usize,
    pub mouse: bool,
    next_run: u64,
}

/// A short message in the footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    pub error: bool,
    pub until: Duration,
}

impl Model {
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, size: (u16, u16)) -> Self {
        Self {
            screen: Screen::Tune,
            now: Duration::ZERO,
            size,
            device: DeviceStatus::default(),
            runs: Runs::default(),
            browse: browse::State::new(&catalog),
            tune: tune::State::new(&catalog),
            run: run::State::default(),
            compare: compare::State::default(),
            history: history::State::default(),
            help: help::State::default(),
            overlay: None,
            notice: None,
            theme: 0,
            mouse: true,
            next_run: 1,
            catalog,
        }
    }

    /// A fresh id for a job that is about to be submitted.
    pub fn next_run_id(&mut self) -> RunId {
        let id = RunId(self.next_run);
        self.next_run += 1;
        id
    }

    /// Shows a short message for a few seconds.
    pub fn say(&mut self, text: impl Into<String>, error: bool) {
        let until = self.now + Duration::from_secs(if error { 8 } else { 4 });
        self.notice = Some(Notice { text: text.into(), error, until });
    }
}
