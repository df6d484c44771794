//! What a person at a terminal of 120×40 waits for and what is sent to them: the release binary in a pseudo-terminal.
//!
//! `cargo bench --bench terminal`; every figure is a median with its range.

#[path = "../tests/common/pty.rs"]
#[allow(dead_code)]
mod pty;

#[path = "common/report.rs"]
mod report;

use pty::Pty;
use report::report;
use std::time::{Duration, Instant};

const SIZE: (u16, u16) = (120, 40);
const FRAME_BEGINS: &str = "\x1b[?2026h";
const FRAME_ENDS: &[u8] = b"\x1b[?2026l";
const RIGHT: &str = "\x1b[C";

fn main() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().display().to_string();
    let start =
        || Pty::start(env!("CARGO_BIN_EXE_fusebench"), &["--device", "cpu"], &[("FUSEBENCH_HOME", &folder)], SIZE);

    let mut first = Vec::new();
    for _ in 0..15 {
        let began = Instant::now();
        let mut pty = start();
        until(|| pty.bytes().windows(FRAME_ENDS.len()).any(|window| window == FRAME_ENDS));
        first.push(began.elapsed().as_secs_f64() * 1e3);
        pty.types("q");
        pty.ends();
    }
    report("start → first frame", "ms", &mut first);

    let mut pty = start();
    pty.sees("2 Tune");
    // λ starts at 0.3 and goes up by 0.05; every press begins a new preview, so a job is running all the time.
    let mut paint = Vec::new();
    for step in 1..=30 {
        std::thread::sleep(Duration::from_millis(150));
        let shown = format!("{:?}•", f64::from(30 + 5 * step) / 100.0);
        let began = Instant::now();
        pty.types(RIGHT);
        until(|| pty.text().contains(&shown));
        paint.push(began.elapsed().as_secs_f64() * 1e3);
    }
    report("key → painted, while a preview runs", "ms", &mut paint);

    let before = pty.count();
    pty.types(RIGHT);
    pty.settles();
    let live = String::from_utf8_lossy(&pty.bytes()[before..]).into_owned();
    let mut frames: Vec<f64> =
        live.split(FRAME_BEGINS).skip(1).map(|frame| (frame.len() + FRAME_BEGINS.len()) as f64).collect();
    println!("{:<52} {:>8.0} bytes", "live frame, average", frames.iter().sum::<f64>() / frames.len().max(1) as f64);
    report("live frame", "bytes", &mut frames);
    let before = pty.count();
    std::thread::sleep(Duration::from_secs(5));
    println!("{:<52} {:>8} bytes", "five idle seconds", pty.count() - before);
    pty.types("q");
    pty.ends();
}

fn until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain");
        std::thread::sleep(Duration::from_micros(200));
    }
}
