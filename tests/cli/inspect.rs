//! `fusebench inspect` and `diff` as scripts see them.

use super::program::{json, run};
use fusebench::weights::{DType, Data, StateDict, Tensor, write_safetensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Numbers that look random.
fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

/// Three layers of noise from `seed`, moved by a tenth of the noise from `direction`.
fn write(folder: &Path, name: &str, seed: u64, direction: u64) {
    let tensor = |at: usize| {
        let (start, moves) = (noise(seed + at as u64, 32 * 32), noise(direction + at as u64, 32 * 32));
        let step = if direction == 0 { 0.0 } else { 0.1 };
        let values = start.iter().zip(moves).map(|(x, d)| x + step * d).collect();
        Tensor { name: format!("h.{at}.fc.weight"), shape: vec![32, 32], dtype: DType::F32, data: Data::Float(values) }
    };
    let path = folder.join(name).join("model.safetensors");
    write_safetensors(&path, &StateDict::new((0..3).map(tensor).collect()), &BTreeMap::new()).unwrap();
}

fn family() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "base", 100, 0);
    write(folder.path(), "a", 100, 200);
    write(folder.path(), "b", 100, 300);
    write(folder.path(), "stranger", 900, 0);
    folder
}

fn text(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

#[test]
fn a_checkpoint_is_shown_as_text_and_as_json() {
    let folder = family();
    fs::write(folder.path().join("base/config.json"), r#"{"model_type": "gpt2", "n_layer": 3}"#).unwrap();
    let base = text(&folder, "base");
    let shown = run(&["inspect", &base]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    for expected in
        ["3 tensors, 3,072 parameters, 12 kB, f32", "model_type gpt2, n_layer 3", "layers 0 to 2", "fc.weight", "32×32"]
    {
        assert!(shown.stdout.contains(expected), "{expected} is missing in\n{}", shown.stdout);
    }
    let stats = run(&["inspect", &base, "--stats", "--filter", "h.1.*"]);
    assert!(stats.stdout.contains("h.1.fc.weight") && !stats.stdout.contains("h.0.fc"), "{}", stats.stdout);
    let found = json(&["inspect", &base, "--stats", "--json"]);
    assert_eq!(found["tensors"].as_array().unwrap().len(), 3);
    let expected: f64 = noise(100, 32 * 32).iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    assert!((found["tensors"][0]["norm"].as_f64().unwrap() - expected).abs() < 1e-9, "{}", found["tensors"][0]);
    assert_eq!(found["tensors"][0]["nan"], 0);
    let wrong = run(&["inspect", &base, "--filter", "nothing"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("hint: "), "{}", wrong.stderr);
    let missing = run(&["inspect", "no/such"]);
    assert!(missing.code == 2 && missing.stderr.contains("no/such"), "{}", missing.stderr);
}

#[test]
fn relatives_pass_and_strangers_fail() {
    let folder = family();
    let [base, a, b, stranger] = ["base", "a", "b", "stranger"].map(|name| text(&folder, name));
    let fine = run(&["diff", &base, &a, &format!("second={b}"), "--strict"]);
    assert_eq!((fine.code, fine.stderr.as_str()), (0, ""), "{}", fine.stdout);
    for expected in ["layer 2", "second", "cosine between task vectors", "no alarms"] {
        assert!(fine.stdout.contains(expected), "{expected} is missing in\n{}", fine.stdout);
    }
    let found = json(&["diff", &base, &a, &b, "--rank", "--json"]);
    assert_eq!((&found["errors"], &found["blocks"].as_array().unwrap().len()), (&0.into(), &3));
    let cosine = |i: usize, j: usize| found["whole"]["cosine"][i][j].as_f64().unwrap();
    assert!(cosine(0, 1) == cosine(1, 0) && (cosine(1, 1) - 1.0).abs() < 1e-12);
    assert!(found["blocks"][0]["experts"][0]["rank"]["rank"].as_f64().unwrap() > 20.0, "{found}");
    let bad = run(&["diff", &base, &a, &stranger]);
    assert_eq!(bad.code, 1);
    assert!(
        bad.stdout.contains("ERROR") && bad.stdout.contains("stranger: not fine-tuned from this base"),
        "{}",
        bad.stdout
    );
}

#[test]
fn warnings_fail_only_when_asked_to() {
    let folder = family();
    let (base, a) = (text(&folder, "base"), text(&folder, "a"));
    let twice = ["diff", base.as_str(), &a, &format!("again={a}")].map(str::to_owned);
    let mut args: Vec<&str> = twice.iter().map(String::as_str).collect();
    let lenient = run(&args);
    assert!(lenient.code == 0 && lenient.stdout.contains("again: has the very values of a"), "{}", lenient.stdout);
    args.push("--strict");
    assert_eq!(run(&args).code, 1);
    assert_eq!(run(&["diff", &base]).code, 2);
    let same_name = run(&["diff", &base, &a, &a]);
    assert!(same_name.code == 2 && same_name.stderr.contains("two models are called `a`"), "{}", same_name.stderr);
}

/// Real models (see ../shared/data/README.md), where that folder is there: two versions trained anew, with the same tensors,
/// and one file twice.
#[test]
fn real_models_that_are_not_related_are_told_from_copies() {
    let shared = Path::new("/work/shared/data/models");
    let shared = std::env::var_os("FUSEBENCH_CONTROLS").map_or_else(|| shared.to_owned(), Into::into);
    if !shared.is_dir() {
        eprintln!("skipped: {} is not there", shared.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["silero_vad_5.1.2", "silero_vad_6.2.0", "magika_v3_2", "magika_v3_3"] {
        let tensors = super::onnx::tensors(&fs::read(shared.join(format!("{name}.onnx"))).unwrap());
        assert!(tensors.len() > 15, "{name}: {}", tensors.len());
        let path = folder.path().join(name).join("model.safetensors");
        write_safetensors(&path, &StateDict::new(tensors), &BTreeMap::new()).unwrap();
    }
    let alarms = |base: &str, expert: &str| -> Vec<(String, String)> {
        let out = run(&["diff", &text(&folder, base), &format!("expert={}", text(&folder, expert)), "--json"]);
        let found: serde_json::Value = serde_json::from_str(&out.stdout).unwrap();
        let expert = |alarm: &&serde_json::Value| alarm["models"][0] == "expert";
        let alarms = found["alarms"].as_array().unwrap().iter().filter(expert);
        let of = |alarm: &serde_json::Value, key: &str| alarm[key].as_str().unwrap().to_owned();
        let mut alarms: Vec<_> = alarms.map(|alarm| (of(alarm, "severity"), of(alarm, "kind"))).collect();
        alarms.sort();
        alarms
    };
    let unrelated = ("error".to_owned(), "ancestor".to_owned());
    assert!(alarms("silero_vad_5.1.2", "silero_vad_6.2.0").contains(&unrelated));
    assert!(alarms("magika_v3_2", "magika_v3_3").contains(&unrelated));
    assert_eq!(alarms("silero_vad_5.1.2", "silero_vad_5.1.2"), [("warning".to_owned(), "duplicate".to_owned())]);
}
