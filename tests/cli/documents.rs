//! Help, completions, manual pages, schema.

use super::program::stdout;

#[test]
fn help_is_one_screen_with_examples() {
    let help = stdout(&["--help"]);
    assert!(help.lines().count() <= 60, "{} lines", help.lines().count());
    for word in ["run", "methods", "tasks", "checkpoints", "presets", "zoo", "doctor", "Examples:", "Exit codes:"] {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
    assert!(!help.contains("probe"), "the probe is not for people");
    let run = stdout(&["run", "--help"]);
    for option in ["--set", "--sweep", "--split", "--limit", "--json", "--events", "--out", "--device", "--zoo"] {
        assert!(run.contains(option), "{option} is missing in\n{run}");
    }
    assert_eq!(stdout(&["--version"]), concat!("fusebench ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn completions_know_commands_and_options() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&["completions", shell]);
        for word in ["fusebench", "checkpoints", "sweep"] {
            assert!(script.contains(word), "{shell}: {word} is missing");
        }
        // These complete values, too.
        let values = ["bash", "zsh", "fish"].contains(&shell);
        assert_eq!(script.contains("validation"), values, "{shell}");
    }
}

#[test]
fn manual_pages_are_roff() {
    let page = stdout(&["man"]);
    assert!(page.contains(".TH fusebench 1") && page.contains("fusebench\\-run(1)"), "{page}");
    let run = stdout(&["man", "run"]);
    assert!(run.contains(".TH") && run.contains("\\-\\-sweep") && run.contains("EXTRA"), "{run}");
}

#[test]
fn the_schema_is_the_one_in_the_repository() {
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/schema/preset.json")).unwrap();
    assert!(stdout(&["schema"]) == file, "out of date: cargo run -- schema > assets/schema/preset.json");
}
