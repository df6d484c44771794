//! Starting the program under test.

use serde_json::Value as Json;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The binary with a home of its own, shared by the tests of this process, and nothing of the developer's environment.
pub fn command(args: &[&str]) -> Command {
    static HOME: OnceLock<TempDir> = OnceLock::new();
    let home = HOME.get_or_init(|| tempfile::tempdir().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebench"));
    command.args(args).env("FUSEBENCH_HOME", home.path()).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub fn run(args: &[&str]) -> Run {
    command(args).output().unwrap().into()
}

/// What it prints when it succeeds.
pub fn stdout(args: &[&str]) -> String {
    let run = run(args);
    assert_eq!(run.code, 0, "{args:?}\n{}", run.stderr);
    run.stdout
}

pub fn json(args: &[&str]) -> Json {
    let text = stdout(args);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}\n{text}"))
}

pub fn keys(object: &Json) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The ids of the zoo's tasks.
pub fn tasks() -> Vec<String> {
    json(&["tasks", "--json"]).as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}
