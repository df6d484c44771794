//! All that the explorer knows. Changed by `update` alone, read by `view`.

use super::catalog::Catalog;
use super::hit::Target;
use super::keymap::Keymap;
use super::overlay::Overlay;
use super::runs::Runs;
use super::screens::{browse, compare, help, history, inspect, run, tune};
use crate::engine::RunId;
use ratatui::layout::Rect;
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
    Inspect,
    Help,
}

impl Screen {
    pub const ALL: [Self; 7] =
        [Self::Browse, Self::Tune, Self::Run, Self::Compare, Self::History, Self::Inspect, Self::Help];

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Browse => "Browse",
            Self::Tune => "Tune",
            Self::Run => "Run",
            Self::Compare => "Compare",
            Self::History => "History",
            Self::Inspect => "Inspect",
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
    /// When the session started, in seconds since 1970 (UTC); set by whoever runs the session.
    pub started_unix: i64,
    pub size: (u16, u16),
    pub device: DeviceStatus,
    /// Everything the engine has said about runs of this session.
    pub runs: Runs,
    pub browse: browse::State,
    pub tune: tune::State,
    pub run: run::State,
    pub compare: compare::State,
    pub history: history::State,
    pub inspect: inspect::State,
    pub help: help::State,
    /// What lies above the screen and takes the keys: help, palette, entry field, question.
    pub overlay: Option<Overlay>,
    /// Short message in the footer, with the time at which it goes away.
    pub notice: Option<Notice>,
    /// Index into `themes`.
    pub theme: usize,
    /// Names of the themes that `theme` chooses from.
    pub themes: Vec<String>,
    /// The theme was given on the command line, or follows from the terminal: what was remembered does not count.
    pub theme_fixed: bool,
    /// A key was pressed or something clicked in this session.
    pub touched: bool,
    pub mouse: bool,
    /// What the mouse button was pressed on, until it is released.
    pub grabbed: Option<(Rect, Target)>,
    pub keymap: Arc<Keymap>,
    /// Facts about this session for the help screen, e.g. where files are: a label and a value each.
    pub facts: Vec<(&'static str, String)>,
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
            started_unix: 0,
            size,
            device: DeviceStatus::default(),
            runs: Runs::default(),
            browse: browse::State::new(&catalog),
            tune: tune::State::new(&catalog),
            run: run::State::default(),
            compare: compare::State::default(),
            history: history::State::default(),
            inspect: inspect::State::default(),
            help: help::State::default(),
            overlay: None,
            notice: None,
            theme: 0,
            themes: Vec::new(),
            theme_fixed: false,
            touched: false,
            mouse: true,
            grabbed: None,
            keymap: Arc::default(),
            facts: Vec::new(),
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

    /// A time of the session in seconds since 1970 (UTC).
    #[must_use]
    pub fn unix_time(&self, at: Duration) -> i64 {
        self.started_unix.saturating_add(i64::try_from(at.as_secs()).unwrap_or(i64::MAX))
    }

    /// Shows a short message for a few seconds.
    pub fn say(&mut self, text: impl Into<String>, error: bool) {
        let until = self.now + Duration::from_secs(if error { 8 } else { 4 });
        self.notice = Some(Notice { text: text.into(), error, until });
    }

    /// When the display changes by itself, if it does: a notice goes away, an elapsed time counts on.
    #[must_use]
    pub fn next_tick(&self) -> Option<Duration> {
        let notice = self.notice.as_ref().map(|notice| notice.until);
        let half_seconds = u64::try_from(self.now.as_millis() / 500).unwrap_or(u64::MAX / 500 - 1);
        let running = self.runs.is_active().then(|| Duration::from_millis((half_seconds + 1) * 500));
        [notice, running].into_iter().flatten().min()
    }
}
