//! Starting the explorer on the process's own terminal.

use super::catalog::{Catalog, Recorded};
use super::effects::Hands;
use super::keymap::Keymap;
use super::located::Located;
use super::log;
use super::model::Model;
use super::session::{Exit, Session};
use super::term::caps::{Caps, Depth};
use super::term::guard::Guard;
use super::term::surface::TtySurface;
use super::term::{panic, signals};
use super::theme::Theme;
use super::theme::load::{built_in, read};
use super::view::Look;
use super::view_cx::Charset;
use crate::engine::DeviceRequest;
use crate::params::closest;
use crate::store::Paths;
use crate::text::printable;
use crate::zoo::Zoo;
use crossterm::event::EventStream;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// Shortest time between frames at the machine itself, and over a link that may be slow.
const LOCAL: Duration = Duration::from_millis(33);
const REMOTE: Duration = Duration::from_millis(100);

/// How the explorer is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    pub zoo: Arc<Zoo>,
    pub device: DeviceRequest,
    /// A built-in theme, or the path of one's own.
    pub theme: Option<String>,
    pub ascii: bool,
    pub low_bandwidth: bool,
}

/// Why the explorer did not start, or ended.
#[derive(Debug, Error)]
pub enum TuiError {
    #[error("unknown theme `{name}`{}", .closest.as_ref().map_or_else(String::new, |name| format!(", did you mean `{name}`?")))]
    UnknownTheme { name: String, closest: Option<String> },
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Config(#[from] Located),
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] io::Error),
}

impl TuiError {
    /// Whether what the person gave is wrong, and not the machine.
    #[must_use]
    pub fn is_input(&self) -> bool {
        !matches!(self, Self::Terminal(_))
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownTheme { .. } => {
                "dark, light, contrast, ansi16 and mono come with fusebench; or give the path of a .toml"
            }
            Self::Unreadable { .. } => "check the path and that you may read it",
            Self::Config(_) => "correct that line, or remove it: everything left out keeps its default",
            Self::Terminal(_) => "`fusebench run` works without a terminal",
        }
    }
}

/// Whether standard input and output are a terminal that can show a full screen.
#[must_use]
pub fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal() && !Caps::from_environment().dumb
}

/// Runs the explorer until the person leaves it. The exit code is 128 + n after signal n.
///
/// # Errors
/// A bad theme or keymap, before the terminal is touched; or a terminal that cannot be used.
pub fn run(options: Options) -> Result<ExitCode, TuiError> {
    let paths = Paths::find().ok();
    let look = look(&options)?;
    let keymap = keymap(paths.as_ref())?;
    let log = paths.as_ref().and_then(|paths| log::start(&paths.logs));
    let catalog = Arc::new(catalog(&options.zoo));
    let mut model = Model::new(Arc::clone(&catalog), (0, 0));
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    model.started_unix = i64::try_from(since_1970.as_secs()).unwrap_or_default();
    model.themes = look.themes.iter().map(|theme| theme.name.clone()).collect();
    let wanted = options.theme.as_deref().map_or(look.caps.theme(), theme_name);
    model.theme = model.themes.iter().position(|name| name == wanted).unwrap_or(0);
    model.theme_fixed = options.theme.is_some() || look.caps.depth == Depth::Mono;
    model.keymap = Arc::new(keymap);
    model.facts = facts(paths.as_ref(), log.as_deref());
    let slow = look.caps.remote || options.low_bandwidth;

    panic::install();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exit = runtime.block_on(async {
        let (messages, mut inbox) = tokio::sync::mpsc::unbounded_channel();
        let signals = signals::listen()?;
        let hands = Hands::new(options.zoo, catalog, options.device, paths, messages);
        let mouse = model.mouse;
        let surface = TtySurface::new(Guard::take(log.as_deref(), mouse)?);
        panic::drawing(true);
        let mut session = Session::new(model, look, surface, hands, if slow { REMOTE } else { LOCAL });
        // The input stream starts a thread; it is made after the terminal is in raw mode.
        let exit = session.run(EventStream::new(), signals, &mut inbox).await;
        panic::drawing(false);
        // Gives the terminal back first, then waits for store and engine.
        drop(session);
        exit
    });
    Ok(match exit? {
        Exit::Quit => ExitCode::SUCCESS,
        Exit::Signal(number) => ExitCode::from(128 + u8::try_from(number).unwrap_or(0)),
        // As after SIGHUP.
        Exit::Hangup => ExitCode::from(129),
    })
}

/// The facts that the screens show of a zoo.
#[must_use]
pub fn catalog(zoo: &Zoo) -> Catalog {
    let recorded =
        |task: &str, split| Recorded { base: zoo.scores().base(task, split), expert: zoo.scores().expert(task, split) };
    let mut catalog = Catalog::new(zoo.tasks(), zoo.pool(), crate::fusion::METHODS, recorded);
    catalog.usual = zoo.own_experts().len();
    catalog.heads = zoo.about_heads().map(|about| printable(about).into_owned());
    catalog
}

fn look(options: &Options) -> Result<Look, TuiError> {
    let mut caps = Caps::from_environment();
    if options.ascii {
        caps.charset = Charset::Ascii;
    }
    if options.low_bandwidth {
        // Sixteen colours and no braille take a third fewer bytes.
        caps.depth = caps.depth.min(Depth::Ansi16);
        caps.charset = caps.charset.min(Charset::Box);
    }
    let mut themes = built_in();
    if let Some(name) = &options.theme {
        let own = theme(name, &themes)?;
        themes.extend(own);
    }
    Ok(Look { themes, caps })
}

/// The theme in a file of one's own; nothing for one of the `known`.
fn theme(name: &str, known: &[Theme]) -> Result<Option<Theme>, TuiError> {
    let path = Path::new(name);
    if path.extension().is_some_and(|extension| extension == "toml") {
        let unreadable = |source| TuiError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        return Ok(Some(read(theme_name(name), &text, path)?));
    }
    if known.iter().any(|theme| theme.name == name) {
        return Ok(None);
    }
    let closest = closest(name, known.iter().map(|theme| theme.name.as_str())).map(str::to_owned);
    Err(TuiError::UnknownTheme { name: name.to_owned(), closest })
}

/// `my` for `themes/my.toml`; the name itself for a built-in one.
fn theme_name(name: &str) -> &str {
    if name.ends_with(".toml") {
        Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name)
    } else {
        name
    }
}

/// The keymap with the person's own file, if there is one.
fn keymap(paths: Option<&Paths>) -> Result<Keymap, TuiError> {
    let Some(path) = paths.map(Paths::keymap) else { return Ok(Keymap::default()) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Keymap::with_file(&text, &path)?),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Keymap::default()),
        // A home that cannot be looked into is no reason not to start.
        Err(source) if matches!(source.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied) => {
            Ok(Keymap::default())
        }
        Err(source) => Err(TuiError::Unreadable { path, source }),
    }
}

fn facts(paths: Option<&Paths>, log: Option<&Path>) -> Vec<(&'static str, String)> {
    let mut facts = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    if let Some(paths) = paths {
        facts.push(("history", paths.history().display().to_string()));
        facts.push(("exports", paths.exports.display().to_string()));
        facts.push(("keymap", paths.keymap().display().to_string()));
    }
    facts.push((
        "log",
        log.map_or_else(|| "none: its folder cannot be written".to_owned(), |path| path.display().to_string()),
    ));
    facts
}
