//! What happens when the world does not play along: no device, no room, no reader, a signal.

use super::program::{Run, command, run};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn a_folder_that_cannot_be_written_fails_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, "in the way").unwrap();
    let out = file.join("results");
    let run = run(&["run", "ties", "--out", out.to_str().unwrap()]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
    assert!(run.stderr.contains("cannot write") && run.stderr.contains("where: ") && run.stderr.contains("hint: "));
    assert_eq!(fs::read_to_string(file).unwrap(), "in the way");
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_that_was_not_built_in_says_how_to_get_it() {
    let run = run(&["run", "ties", "--limit", "8", "--device", "cuda:0"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("--features cuda"), "{}", run.stderr);
}

/// Starts a long run, waits until it evaluates, sends the signal.
fn interrupted_by(signal: Signal) -> (Run, Duration, usize) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("results");
    let mut child = command(&["run", "task_arithmetic", "--sweep", "scaling=0:1:0.01", "--events"])
        .args(["--out", out.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let evaluates = lines.by_ref().map_while(Result::ok).any(|line| line.contains("\"estimate\""));
    assert!(evaluates, "it ended before it evaluated anything");
    let sent = Instant::now();
    kill_process(Pid::from_child(&child), signal).unwrap();
    // The pipe must not fill up while the program winds down.
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let status = child.wait().unwrap();
    let took = sent.elapsed();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let left = fs::read_dir(&out).unwrap().count();
    (Run { code: status.code().unwrap_or(-1), stdout: rest.join("\n"), stderr }, took, left)
}

#[test]
fn signals_stop_a_run_within_a_second_and_leave_nothing() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (run, took, left) = interrupted_by(signal);
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(run.stderr.contains("interrupted"), "{}", run.stderr);
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert_eq!(left, 0, "files were left behind");
    }
}

#[test]
fn training_stops_when_asked_to_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("zoo");
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/zoo");
    let mut child = command(&["zoo", "train", "--data", data, "--out", out.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let begins = lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("base"));
    assert!(begins, "it ended before it trained");
    std::thread::sleep(Duration::from_millis(300));
    let sent = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let stderr: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{stderr:?}");
    assert!(sent.elapsed() < Duration::from_secs(10), "{:?}", sent.elapsed());
    assert!(stderr.iter().any(|line| line.contains("finished stages are kept")), "{stderr:?}");
    assert!(!out.join("base.safetensors").exists(), "an unfinished base was written");
    for split in ["validation", "test"] {
        let images = out.join(format!("data/mnist/{split}.safetensors.gz"));
        assert!(images.exists(), "the new zoo could not be explored: {split} images are missing");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = command(&["methods", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(stderr, "");
}
