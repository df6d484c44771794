//! `methods`, `tasks`, `checkpoints`, `presets`, `doctor`.

use super::program::{json, keys, stdout};

#[test]
fn methods_carry_everything_that_a_form_needs() {
    let methods = json(&["methods", "--json"]);
    let methods = methods.as_array().unwrap();
    assert!(methods.len() >= 16, "{}", methods.len());
    for method in methods {
        assert_eq!(
            keys(method),
            ["id", "name", "family", "per_task", "formula", "summary", "reference", "needs", "params"],
            "{}",
            method["id"]
        );
        assert_eq!(method["params"]["additionalProperties"], false);
    }
    let one = json(&["methods", "task_arithmetic", "--json"]);
    assert_eq!(one["params"]["properties"]["scaling"]["default"], 0.3);
}

#[test]
fn a_method_is_shown_with_its_parameters() {
    let text = stdout(&["methods", "ties"]);
    for word in ["TIES", "scaling", "default", "fusebench run ties", "arXiv:2306.01708"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
    let list = stdout(&["methods"]);
    assert!(list.contains("Merging\n") && list.contains("Ensemble\n") && list.contains("  slerp"), "{list}");
}

#[test]
fn tasks_have_classes_splits_and_scores() {
    let tasks = json(&["tasks", "--json"]);
    let tasks = tasks.as_array().unwrap();
    assert_eq!(tasks.len(), 8);
    for task in tasks {
        assert_eq!(
            keys(task),
            ["id", "title", "classes", "train", "validation", "test", "base", "expert", "source", "licence"]
        );
        let (base, expert) = (task["base"]["test"].as_f64().unwrap(), task["expert"]["test"].as_f64().unwrap());
        assert!((0.0..=1.0).contains(&base) && base < expert && expert <= 1.0, "{task}");
        assert!(task["classes"].as_array().unwrap().len() > 1 && task["test"].as_u64().unwrap() > 0, "{task}");
    }
    let id = tasks[0]["id"].as_str().unwrap();
    assert!(stdout(&["tasks"]).lines().any(|line| line.starts_with(id)));
}

#[test]
fn checkpoints_are_a_base_and_an_expert_a_task() {
    let checkpoints = json(&["checkpoints", "--json"]);
    let rows = checkpoints.as_array().unwrap();
    assert_eq!(rows.len(), 9);
    assert_eq!((&rows[0]["role"], &rows[0]["task_vector_norm"]), (&"base".into(), &serde_json::Value::Null));
    for row in &rows[1..] {
        assert_eq!(row["parameters"], rows[0]["parameters"]);
        assert!(row["task_vector_norm"].as_f64().unwrap() > 0.0, "{row}");
        assert_eq!(row["fingerprint"].as_str().unwrap().len(), 32, "{row}");
    }
    assert!(stdout(&["checkpoints"]).contains("base"));
}

#[test]
fn presets_are_listed_and_printed_as_they_are() {
    let presets = json(&["presets", "--json"]);
    for preset in presets.as_array().unwrap() {
        assert_eq!(keys(preset), ["name", "about", "method", "params"]);
        assert!(preset["about"].as_str().unwrap().len() > 10, "{preset}");
    }
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/presets/merging/ties.toml")).unwrap();
    assert_eq!(stdout(&["presets", "ties"]), file);
}

#[test]
fn doctor_finds_the_processor_and_says_why_not_of_the_rest() {
    let report = json(&["doctor", "--json"]);
    let devices = report["devices"].as_array().unwrap();
    let cpu = devices.iter().find(|device| device["id"] == "cpu").unwrap();
    assert_eq!(cpu["available"], true);
    for device in devices.iter().filter(|device| device["available"] == false) {
        assert!(device["reason"].as_str().unwrap().len() > 10, "{device}");
    }
    assert_eq!(report["zoo"]["ok"], true);
    assert_eq!(report["terminal"]["stdin"], false);
    let text = stdout(&["doctor"]);
    for word in ["devices", "terminal", "folders", "zoo in the binary", "fingerprint"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
}
