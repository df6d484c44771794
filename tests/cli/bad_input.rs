//! Wrong arguments and files: what is said, where, what to do, and exit code 2.

use super::program::run;
use std::fs;

/// Runs, expects exit code 2, nothing on stdout, and every one of `words` on stderr.
fn refuses(args: &[&str], words: &[&str]) {
    let run = run(args);
    assert_eq!(run.code, 2, "{args:?}\n{}\n{}", run.stdout, run.stderr);
    assert_eq!(run.stdout, "", "{args:?}");
    assert!(run.stderr.starts_with("error: "), "{args:?}\n{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "{args:?}: no {word:?} in\n{}", run.stderr);
    }
}

#[test]
fn unknown_names_come_with_suggestions() {
    refuses(&["run", "tees"], &["no such preset", "did you mean `ties`?", "where: tees", "hint: `fusebench presets`"]);
    refuses(&["run", "merging/tie"], &["did you mean `merging/ties`?"]);
    refuses(&["run", "absent.toml"], &["cannot be read", "where: absent.toml", "hint: "]);
    refuses(&["methods", "tiess"], &["unknown method `tiess`, did you mean `ties`?", "hint: "]);
    refuses(&["presets", "slerpp"], &["did you mean `slerp`?"]);
    refuses(&["man", "rum"], &["there is no command `rum`", "did you mean `run`?"]);
    refuses(
        &["run", "ties", "--experts", "mnist,emoji,mnist"],
        &["`mnist` stands twice", "where: --experts mnist,emoji,mnist"],
    );
    refuses(
        &["run", "ties", "--unseen", "mnist,fashoin"],
        &["no task `fashoin` in this zoo, did you mean `fashion`?", "where: --unseen mnist,fashoin"],
    );
    refuses(&["rum"], &["unrecognized subcommand 'rum'", "run"]);
}

#[test]
fn settings_are_checked_before_anything_runs() {
    refuses(
        &["run", "task_arithmetic", "--set", "scalling=0.3"],
        &["unknown parameter `scalling`, did you mean `scaling`?", "where: --set scalling=0.3"],
    );
    refuses(
        &["run", "task_arithmetic", "--set", "scaling=1e39"],
        &["is out of bounds (finite)", "hint: `fusebench methods task_arithmetic`"],
    );
    refuses(&["run", "task_arithmetic", "--set", "scaling=NaN"], &["is out of bounds"]);
    refuses(&["run", "task_arithmetic", "--set", "scaling=high"], &["must be a number"]);
    refuses(&["run", "task_arithmetic", "--set", "scaling"], &["not of the form PARAM=VALUE"]);
    refuses(
        &["run", "task_arithmetic", "--set", "ties.scaling=1"],
        &["`ties` is another method", "runs `task_arithmetic`"],
    );
    refuses(&["run", "simple_average", "--set", "scaling=1"], &["simple_average has no parameters"]);
    refuses(&["run", "task_wise", "--set", "scaling=0.1,0.2"], &["has 2 values, expected 8"]);
    refuses(&["run", "task_arithmetic", "--sweep", "scaling=0:1"], &["FROM:TO:STEP", "where: --sweep scaling=0:1"]);
    refuses(&["run", "task_arithmetic", "--limit", "0"], &["one or more"]);
    refuses(&["run", "task_arithmetic", "--split", "dev"], &["dev", "validation"]);
    refuses(&["run", "task_arithmetic", "--device", "gpu"], &["gpu"]);
    refuses(&["run", "task_arithmetic", "--json", "--events"], &["--json", "--events"]);
}

#[test]
fn a_command_that_does_not_exist_is_answered_with_one_that_help_lists() {
    refuses(&["runn"], &["unrecognized subcommand 'runn'", "'run'"]);
    let complaint = run(&["prob"]).stderr;
    assert!(complaint.contains("unrecognized subcommand 'prob'") && !complaint.contains("'probe'"), "{complaint}");
}

#[test]
fn a_preset_file_is_judged_with_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    let path = path.to_str().unwrap();
    let method = "[method]\nid = \"task_arithmetic\"\n";
    for (rest, place, message) in [
        ("[method.params]\nscalling = 0.3\n", ":4:1", "unknown parameter `scalling`, did you mean `scaling`?"),
        ("[evaluate]\nlimmit = 3\n", ":4:1", "unknown key `limmit`, did you mean `limit`?"),
        ("[evaluate]\ntasks = [\"emnist\"]\n", ":4:10", "no task `emnist` in this zoo, did you mean `mnist`?"),
        ("[pool]\nexperts = [\"fashoin\"]\n", ":4:12", "no expert `fashoin` in this zoo, did you mean `fashion`?"),
        ("[pool\n", ":3:", ""),
    ] {
        fs::write(path, format!("{method}{rest}")).unwrap();
        refuses(&["run", path], &[message, &format!("where: {path}{place}"), "hint: "]);
    }
    fs::write(path, "[method]\nid = \"slerp\"\n").unwrap();
    refuses(&["run", path], &["exactly 2 experts", "has 8 experts"]);
    fs::write(path, "[method]\nid = \"task_wise\"\n[method.params]\nscaling = [0.1, 0.2]\n").unwrap();
    refuses(&["run", path], &["has 2 values, expected 8", &format!("where: {path}:4:11")]);
    fs::write(path, [0xff, 0xfe, 0x00]).unwrap();
    refuses(&["run", path], &["cannot be read", "UTF-8"]);
}

#[test]
fn a_missing_zoo_is_named() {
    refuses(&["tasks", "--zoo", "/nonexistent/zoo"], &["where: /nonexistent/zoo", "hint: "]);
    refuses(&["run", "ties", "--limit", "8", "--zoo", "/nonexistent/zoo"], &["where: /nonexistent/zoo"]);
    refuses(&["zoo", "train", "--data", "/nonexistent/zoo", "--out", "/nonexistent/out"], &["where: /nonexistent/zoo"]);
    refuses(
        &["zoo", "add", "/nonexistent/tasks", "--out", "/nonexistent/out"],
        &["where: /nonexistent/tasks", "hint: "],
    );
    let empty = tempfile::tempdir().unwrap();
    let options = empty.path().join("options.json");
    let out = empty.path().join("out");
    let train = ["zoo", "train", "--out", out.to_str().unwrap(), "--options", options.to_str().unwrap()];
    fs::write(&options, "{\"num_hidden_layer\": 2}").unwrap();
    refuses(&train, &["unknown field `num_hidden_layer`", "options.json"]);
    fs::write(&options, "{\"hidden_size\": 190}").unwrap();
    refuses(&train, &["error: hidden_size 190 cannot be split over 4 attention heads", "options.json"]);
    assert!(!out.exists(), "something was made of options that make no zoo");
    refuses(&["checkpoints", "--zoo", empty.path().to_str().unwrap()], &["hint: "]);
}
