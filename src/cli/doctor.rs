//! `fusebench doctor`: what was found on this machine, what was not and why. Made to be pasted into a bug report.

use super::args::{Global, Listing};
use super::error::CliError;
use super::output;
use super::zoo::open;
use crate::engine::{DeviceInfo, devices};
use crate::fusion::METHODS;
use crate::store::Paths;
use crate::text::printable;
use crate::zoo::Zoo;
use serde::Serialize;
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;

#[derive(Serialize)]
struct Report {
    version: &'static str,
    build: &'static str,
    system: String,
    threads: usize,
    features: Vec<&'static str>,
    methods: usize,
    devices: Vec<DeviceInfo>,
    terminal: Terminal,
    folders: Vec<Folder>,
    zoo: ZooCheck,
}

#[derive(Serialize)]
struct Terminal {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    /// Columns and rows of stdout.
    size: Option<(u16, u16)>,
    /// The environment variables that terminal programs listen to.
    environment: Vec<(&'static str, Option<String>)>,
}

#[derive(Serialize)]
struct Folder {
    name: &'static str,
    path: String,
    state: String,
}

#[derive(Serialize)]
struct ZooCheck {
    source: String,
    ok: bool,
    summary: String,
    fingerprint: Option<String>,
}

pub fn run(args: &Listing, global: &Global) -> Result<(), CliError> {
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        features: features(),
        methods: METHODS.len(),
        devices: devices(),
        terminal: terminal(),
        folders: folders(),
        zoo: check_zoo(global),
    };
    if args.json {
        output::json(&report)?;
    } else {
        output::raw(render(&report).as_bytes())?;
    }
    // The summary says why; a damaged zoo is the one finding here with which nothing works.
    if report.zoo.ok { Ok(()) } else { Err(CliError::failure("the zoo cannot be used").at(report.zoo.source)) }
}

fn features() -> Vec<&'static str> {
    let all =
        [("wgpu", cfg!(feature = "wgpu")), ("vulkan", cfg!(feature = "vulkan")), ("cuda", cfg!(feature = "cuda"))];
    all.into_iter().filter_map(|(name, enabled)| enabled.then_some(name)).collect()
}

fn terminal() -> Terminal {
    const VARIABLES: [&str; 8] =
        ["TERM", "COLORTERM", "NO_COLOR", "LANG", "LC_ALL", "TERM_PROGRAM", "SSH_CONNECTION", "TMUX"];
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| (size.ws_col, size.ws_row));
    Terminal {
        stdin: std::io::stdin().is_terminal(),
        stdout: std::io::stdout().is_terminal(),
        stderr: std::io::stderr().is_terminal(),
        size,
        environment: VARIABLES
            .map(|name| (name, std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())))
            .to_vec(),
    }
}

fn folders() -> Vec<Folder> {
    let paths = match Paths::find() {
        Ok(paths) => paths,
        Err(error) => return vec![Folder { name: "data", path: "-".to_owned(), state: error.to_string() }],
    };
    [("history", paths.history()), ("logs", paths.logs), ("exports", paths.exports)]
        .map(|(name, path)| Folder { name, state: state(&path), path: path.display().to_string() })
        .into()
}

/// Whether a file or folder is there, or else whether it could be made.
fn state(path: &Path) -> String {
    if path.exists() {
        return if writable(path) { "ok" } else { "there, but cannot be written" }.to_owned();
    }
    match path.ancestors().skip(1).find(|ancestor| ancestor.exists()) {
        Some(ancestor) if writable(ancestor) => "made when needed".to_owned(),
        _ => "not there, and cannot be made".to_owned(),
    }
}

fn writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

fn check_zoo(global: &Global) -> ZooCheck {
    let source = global.zoo.as_ref().map_or_else(|| "in the binary".to_owned(), |folder| folder.display().to_string());
    match open(global) {
        Ok(zoo) => {
            ZooCheck { source, ok: true, summary: summary(&zoo), fingerprint: Some(zoo.fingerprint().to_owned()) }
        }
        Err(error) => ZooCheck { source, ok: false, summary: error.to_string(), fingerprint: None },
    }
}

fn summary(zoo: &Zoo) -> String {
    let images: usize = zoo.tasks().iter().map(|task| task.test).sum();
    format!(
        "{} tasks, {images} test images, {} and {} experts",
        zoo.tasks().len(),
        if zoo.pool().base().is_some() { "a base" } else { "no base" },
        zoo.pool().experts().len()
    )
}

fn render(report: &Report) -> String {
    let mut text = format!(
        "fusebench {} ({} build), {}, {} threads\n",
        report.version, report.build, report.system, report.threads
    );
    let features = if report.features.is_empty() { "none: CPU only".to_owned() } else { report.features.join(", ") };
    let _ = writeln!(text, "features: {features}\nmethods: {}\n\ndevices", report.methods);
    for device in &report.devices {
        let state = match &device.reason {
            Some(reason) if !device.available => format!("no: {}", printable(reason)),
            Some(reason) => format!("yes ({})", printable(reason)),
            None => "yes".to_owned(),
        };
        let _ = writeln!(text, "  {:<10} {}  {state}", printable(&device.id), printable(&device.name));
    }
    let terminal = &report.terminal;
    let yes = |terminal: bool| if terminal { "terminal" } else { "not a terminal" };
    let _ = writeln!(
        text,
        "\nterminal\n  stdin {}, stdout {}, stderr {}{}",
        yes(terminal.stdin),
        yes(terminal.stdout),
        yes(terminal.stderr),
        terminal.size.map_or_else(String::new, |(columns, rows)| format!(", {columns}×{rows}"))
    );
    for (name, value) in &terminal.environment {
        let _ = writeln!(text, "  {name:<15} {}", value.as_deref().map_or("-".into(), printable));
    }
    text.push_str("\nfolders\n");
    for folder in &report.folders {
        let _ = writeln!(text, "  {:<10} {}  {}", folder.name, printable(&folder.path), folder.state);
    }
    let zoo = &report.zoo;
    let _ = writeln!(text, "\nzoo {}\n  {}", printable(&zoo.source), zoo.summary.replace('\n', "\n  "));
    if let Some(fingerprint) = &zoo.fingerprint {
        let _ = writeln!(text, "  fingerprint {fingerprint}");
    }
    text
}
