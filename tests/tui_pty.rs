//! The real binary in a pseudo-terminal: what a person sees, and what is left when it ends.
#![cfg(unix)]

#[path = "common/pty.rs"]
mod pty;

use fusebench::tui::term::{guard::Guard, panic};
use pty::Pty;
use rustix::process::Signal;
use std::time::Duration;

struct Explorer {
    pty: Pty,
    _home: tempfile::TempDir,
}

/// Starts the explorer at home in an empty folder.
fn explorer_with(environment: &[(&str, &str)], size: (u16, u16)) -> Explorer {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().display().to_string();
    let mut all = vec![("FUSEBENCH_HOME", folder.as_str())];
    all.extend(environment);
    let pty = Pty::start(env!("CARGO_BIN_EXE_fusebench"), &["--device", "cpu"], &all, size);
    Explorer { pty, _home: home }
}

fn explorer() -> Explorer {
    let explorer = explorer_with(&[], (120, 40));
    explorer.pty.sees("2 Tune");
    explorer
}

#[test]
fn starts_takes_keys_and_leaves_the_terminal_as_it_was() {
    let mut explorer = explorer();
    let pty = &mut explorer.pty;
    assert!(pty.modes().0, "alternate screen");
    assert!(!pty.is_cooked(), "raw mode");
    pty.types("7");
    pty.sees("combines fine-tuned");
    pty.types(":");
    pty.sees("Commands");
    pty.types("\x1b");
    pty.waits("palette closed", |pty| !pty.text().contains("Commands"));
    pty.types("q");
    assert_eq!(pty.ends(), 0);
    pty.is_restored();
}

#[test]
fn follows_the_size_of_the_terminal() {
    let mut explorer = explorer();
    let pty = &mut explorer.pty;
    for (columns, rows) in [(50, 15), (10, 3), (200, 60), (80, 24)] {
        pty.resize(columns, rows);
        pty.waits("a redraw", |pty| {
            let text = pty.text();
            if columns < 20 { text.contains("enlarge") } else { text.contains("2 Tune") && !text.contains("enlarge") }
        });
    }
    pty.types("7");
    pty.sees("7 Help");
}

#[test]
fn a_terminal_without_a_size_is_no_reason_to_fall_over() {
    let mut explorer = explorer_with(&[], (0, 0));
    let pty = &mut explorer.pty;
    pty.waits("the alternate screen", |pty| pty.modes().0);
    std::thread::sleep(Duration::from_millis(100));
    pty.resize(80, 24);
    pty.sees("2 Tune");
    pty.signal(Signal::TERM);
    assert_eq!(pty.ends(), 143);
    pty.is_restored();
}

#[test]
fn signals_restore_the_terminal_and_set_the_exit_code() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        let mut explorer = explorer();
        explorer.pty.signal(signal);
        assert_eq!(explorer.pty.ends(), code);
        explorer.pty.is_restored();
    }
}

#[test]
fn stops_and_goes_on_like_any_program() {
    let mut explorer = explorer();
    let pty = &mut explorer.pty;
    for by_key in [true, false] {
        if by_key {
            pty.types("\x1a");
        } else {
            pty.signal(Signal::TSTP);
        }
        pty.waits("a stop", |pty| pty.state() == 'T');
        pty.is_restored();
        pty.signal(Signal::CONT);
        pty.waits("the alternate screen", |pty| pty.modes().0 && pty.text().contains("2 Tune"));
        assert!(!pty.is_cooked());
    }
    pty.types("7");
    pty.sees("combines fine-tuned");
}

#[test]
fn an_outside_stop_is_survived() {
    let mut explorer = explorer();
    let pty = &mut explorer.pty;
    pty.signal(Signal::STOP);
    pty.waits("a stop", |pty| pty.state() == 'T');
    pty.signal(Signal::CONT);
    pty.waits("going on", |pty| pty.state() != 'T');
    pty.types("7");
    pty.sees("combines fine-tuned");
}

#[test]
fn ctrl_c_twice_ends_it() {
    let mut explorer = explorer();
    let pty = &mut explorer.pty;
    // The first preview is at work; it would be cancelled first.
    pty.waits("rest", |pty| pty.text().contains("cpu") && !pty.text().contains("working"));
    pty.types("\x03");
    pty.sees("Quit fusebench?");
    pty.types("\x03");
    assert_eq!(pty.ends(), 0);
    pty.is_restored();
}

#[test]
fn ctrl_c_stops_what_is_running_first() {
    let mut explorer = explorer();
    let pty = &mut explorer.pty;
    pty.sees("working");
    pty.types("\x03");
    pty.sees("cancelling");
    pty.waits("rest", |pty| !pty.text().contains("working"));
    assert!(pty.modes().0, "still there");
}

#[test]
fn the_first_preview_streams_into_the_bars_at_a_bounded_rate() {
    let explorer = explorer();
    let pty = &explorer.pty;
    pty.sees("working");
    let (before, began) = (pty.bytes(), std::time::Instant::now());
    pty.waits("rest", |pty| !pty.text().contains("working"));
    let seconds = began.elapsed().as_secs_f64();
    let live = String::from_utf8_lossy(&pty.bytes()[before.len()..]).into_owned();
    let frames: Vec<usize> = live.split("\x1b[?2026h").skip(1).map(|frame| frame.len() + 8).collect();
    let average = frames.iter().sum::<usize>() / frames.len().max(1);
    println!("{} frames in {seconds:.1} s, {average} bytes a frame", frames.len());
    assert!(frames.len() > 2, "nothing was streamed");
    assert!((frames.len() as f64) < 31.0 * seconds + 5.0, "{} frames in {seconds} s", frames.len());
    assert!(average <= 600, "{average} bytes a frame");
}

#[test]
fn an_idle_second_costs_no_byte() {
    let explorer = explorer();
    // A busy machine may be silent for a while in the middle of the first preview.
    explorer.pty.waits("rest", |pty| pty.text().contains("4125 images") && !pty.text().contains("working"));
    explorer.pty.settles();
    let before = explorer.pty.count();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(explorer.pty.count() - before, 0);
}

#[test]
fn layout_is_remembered() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().display().to_string();
    let start =
        || Pty::start(env!("CARGO_BIN_EXE_fusebench"), &["--device", "cpu"], &[("FUSEBENCH_HOME", &folder)], (120, 40));
    let mut first = start();
    first.sees("2 Tune");
    first.types("7");
    first.sees("combines fine-tuned");
    first.signal(Signal::TERM);
    first.ends();
    let second = start();
    second.sees("combines fine-tuned");
}

#[test]
fn no_color_means_no_colour() {
    let explorer = explorer_with(&[("NO_COLOR", "1")], (120, 40));
    explorer.pty.sees("2 Tune");
    explorer.pty.settles();
    let bytes = String::from_utf8_lossy(&explorer.pty.bytes()).into_owned();
    let sequences = bytes.split("\x1b[").skip(1).filter_map(|rest| rest.split_once('m').map(|(codes, _)| codes));
    for codes in sequences.filter(|codes| codes.chars().all(|c| c.is_ascii_digit() || c == ';')) {
        let colour = |code: &str| matches!(code.parse::<u16>(), Ok(30..=38 | 40..=48 | 90..=107));
        assert!(!codes.split(';').any(colour), "{codes}");
    }
}

#[test]
fn a_plain_locale_gets_plain_characters() {
    let explorer = explorer_with(&[("LANG", "C"), ("LC_ALL", "C")], (120, 40));
    explorer.pty.sees("2 Tune");
    explorer.pty.settles();
    assert!(explorer.pty.bytes().is_ascii());
}

#[test]
fn a_bad_keymap_is_told_before_the_terminal_is_touched() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("keymap.toml"), "\nqit = \"q\"\n").unwrap();
    let folder = home.path().display().to_string();
    let mut pty = Pty::start(env!("CARGO_BIN_EXE_fusebench"), &[], &[("FUSEBENCH_HOME", &folder)], (120, 40));
    assert_ne!(pty.ends(), 0);
    let text = pty.text().replace('\n', "");
    assert!(text.contains("keymap.toml:2: unknown command `qit`, did you mean `quit`?"), "{text}");
    assert!(!String::from_utf8_lossy(&pty.bytes()).contains("\x1b[?1049h"));
}

/// Not a test of its own: what runs inside of the terminal for [`panics_are_told_apart`].
#[test]
fn inner_panics() {
    let Some(log) = std::env::var_os("FUSEBENCH_INNER_PANICS") else { return };
    panic::install();
    let guard = Guard::take(Some(log.as_ref()), true).unwrap();
    panic::drawing(true);
    let worker = std::thread::spawn(|| panic!("the worker fell over"));
    assert!(worker.join().is_err());
    std::io::Write::write_all(&mut guard.output(), b"still drawing").unwrap();
    // Goes to the log: the screen belongs to the explorer.
    println!("a driver prints something");
    std::thread::sleep(Duration::from_millis(300));
    panic!("the painter fell over");
}

#[test]
fn panics_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let this = std::env::current_exe().unwrap().display().to_string();
    let environment = [("FUSEBENCH_INNER_PANICS", log.as_str())];
    let mut pty = Pty::start(&this, &["--exact", "inner_panics", "--nocapture"], &environment, (100, 30));
    pty.sees("still drawing");
    assert!(pty.modes().0, "the worker's panic must not take the screen away");
    assert_ne!(pty.ends(), 0);
    pty.is_restored();
    let text = pty.text();
    assert!(text.contains("the painter fell over"), "{text}");
    assert!(!text.contains("the worker fell over"), "{text}");
    assert!(std::fs::read_to_string(&log).unwrap().contains("a driver prints something"));
}
