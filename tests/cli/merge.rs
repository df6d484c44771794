//! `fusebench merge` and `reproduce` as scripts see them, killed at random moments included.

use super::program::{command, json, run, tasks};
use fusebench::weights::{Checkpoint, DType, Data, StateDict, Tensor, write_safetensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Base and two experts with `tensors` matrices of 256 × 256 in f32.
fn models(tensors: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (seed, name) in ["base", "a", "b"].iter().enumerate() {
        let tensor = |at: usize| {
            let value = |i: usize| ((i * 31 + at * 7) % 113) as f32 / 97.0 + (seed * (i % 5)) as f32 / 300.0;
            let values = (0..256 * 256).map(value).collect();
            let name = format!("encoder.layers.{at}.weight");
            Tensor { name, shape: vec![256, 256], dtype: DType::F32, data: Data::Float(values) }
        };
        let path = folder.path().join(name).join("model.safetensors");
        write_safetensors(&path, &StateDict::new((0..tensors).map(tensor).collect()), &BTreeMap::new()).unwrap();
    }
    fs::write(folder.path().join("base/config.json"), r#"{"model_type": "test"}"#).unwrap();
    folder
}

struct Call {
    args: Vec<String>,
    out: PathBuf,
}

fn call(folder: &Path, method: &str, out: &str, more: &[&str]) -> Call {
    let path = |name: &str| folder.join(name).display().to_string();
    let out = folder.join(out);
    let mut args: Vec<String> = ["merge", method, "--base", &path("base"), "--expert", &path("a"), "--expert"]
        .iter()
        .map(|&text| text.to_owned())
        .collect();
    args.extend([format!("second={}", path("b")), "--out".to_owned(), out.display().to_string()]);
    args.extend(more.iter().map(|&text| text.to_owned()));
    Call { args, out }
}

impl Call {
    fn args(&self) -> Vec<&str> {
        self.args.iter().map(String::as_str).collect()
    }
}

/// So little that a window has about a million elements.
fn memory() -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    ((64 << 20) + threads * (3 << 20) + (16 << 20)).to_string()
}

fn entries(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let folder = models(2);
    let call = call(folder.path(), "ties", "out", &["--set", "density=0.5", "--dry-run", "--json"]);
    let run = run(&call.args());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("plan: ") && run.stderr.contains("of memory"), "{}", run.stderr);
    let plan: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(plan["plan"]["tensors"], 2);
    assert_eq!(plan["params"]["density"], 0.5);
    assert!(plan["result"].is_null());
    assert_eq!(entries(folder.path()), ["a", "b", "base"]);
}

#[test]
fn one_model_per_task_becomes_a_folder_for_each_expert() {
    let folder = models(2);
    let call = call(folder.path(), "emr", "out", &["--json"]);
    let run_ = run(&call.args());
    assert_eq!(run_.code, 0, "{}", run_.stderr);
    assert!(run_.stderr.contains("needs to know the task at test time"), "{}", run_.stderr);
    let report: serde_json::Value = serde_json::from_str(&run_.stdout).unwrap();
    assert_eq!(report["models"].as_array().unwrap().len(), 2);
    assert_eq!(entries(&call.out), ["a", "second"]);
    for (at, task) in ["a", "second"].iter().enumerate() {
        assert_eq!(report["models"][at]["task"], *task);
        let folder = call.out.join(task);
        assert!(folder.join("README.md").exists() && folder.join("config.json").exists());
        let again = run(&["reproduce", &folder.display().to_string()]);
        assert_eq!(again.code, 0, "{}", again.stderr);
    }
    // The same command finds everything in its place.
    let again = run(&call.args());
    assert!(again.code == 0 && again.stderr.matches("is there already").count() == 2, "{}", again.stderr);
    // A name that leads elsewhere is refused.
    let out = folder.path().join("elsewhere").display().to_string();
    let [base, a] = ["base", "a"].map(|name| folder.path().join(name).display().to_string());
    let named = run(&["merge", "emr", "--base", &base, "--expert", &format!("..={a}"), "--out", &out]);
    assert!(named.code == 2 && named.stderr.contains("cannot be the name of a folder"), "{}", named.stderr);
}

#[test]
fn merging_reports_and_can_be_reproduced() {
    let folder = models(2);
    let report = json(&call(folder.path(), "task_arithmetic", "out", &["--set", "scaling=0.4", "--json"]).args());
    assert_eq!(report["result"]["tensors"], 2);
    assert_eq!(report["parents"][2]["name"], "second");
    let out = folder.path().join("out");
    assert_eq!(entries(&out), ["README.md", "config.json", "model.safetensors"]);
    let again = run(&["reproduce", out.to_str().unwrap()]);
    assert_eq!((again.code, again.stdout.starts_with("identical: ")), (0, true), "{} {}", again.stdout, again.stderr);
    // A parent that has moved has to be named.
    fs::rename(folder.path().join("b"), folder.path().join("moved")).unwrap();
    let lost = run(&["reproduce", out.to_str().unwrap()]);
    assert_eq!(lost.code, 2, "{}", lost.stdout);
    let moved = format!("second={}", folder.path().join("moved").display());
    let found = run(&["reproduce", out.join("model.safetensors").to_str().unwrap(), "--expert", &moved]);
    assert_eq!(found.code, 0, "{} {}", found.stdout, found.stderr);
}

/// What `merge` writes can be evaluated beside the zoo's experts, to the sample as if it had been merged there.
#[test]
fn what_was_merged_can_be_evaluated_beside_the_zoo() {
    let folder = tempfile::tempdir().unwrap();
    let zoo = |name: &str| format!("{}/assets/zoo/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let out = folder.path().join("merged").display().to_string();
    let experts = [zoo("experts/mnist"), zoo("experts/letters")];
    let from = ["--base", &zoo("base"), "--expert", &experts[0], &experts[1]];
    // Not rounded to the experts' f16, as what is merged in memory is not.
    json(&[&["merge", "ties"], &from[..], &["--dtype", "f32", "--out", &out, "--json"]].concat());
    let accuracy = |args: &[&str]| {
        let report = json(&[&["run"], args, &["--limit", "50", "--json", "--quiet"]].concat());
        let correct = tasks().iter().map(|task| report[task]["correct"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!(correct.len(), 8);
        correct
    };
    let guest = format!("mine={out}");
    let opened = accuracy(&["passthrough", "--with", &guest, "--experts", "mine"]);
    assert_eq!(opened, accuracy(&["ties", "--experts", "mnist,letters"]));
    // A guest is there to be chosen: it changes nothing for who does not.
    let usual = ["task_arithmetic", "--split", "validation"];
    assert_eq!(accuracy(&usual), accuracy(&[&usual[..], &["--with", &guest]].concat()));
    let taken = run(&["checkpoints", "--with", &format!("mnist={out}")]);
    assert!(taken.code == 2 && taken.stderr.contains("`mnist` is taken"), "{}", taken.stderr);
    let other = models(1);
    let other = other.path().join("a").display().to_string();
    let other = run(&["checkpoints", "--with", &other]);
    assert!(other.code == 2 && other.stderr.contains("cannot stand beside the zoo's"), "{}", other.stderr);
}

#[test]
fn what_is_wrong_is_said_with_the_exit_code_for_input() {
    let folder = models(1);
    let bad = |method: &str, more: &[&str]| {
        let run = run(&call(folder.path(), method, "out", more).args());
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
        assert_eq!(entries(folder.path()), ["a", "b", "base"]);
        (run.code, run.stderr)
    };
    let (code, text) = bad("tiess", &[]);
    assert!(code == 2 && text.contains("ties"), "{text}");
    let (code, text) = bad("ties", &["--set", "densty=0.2"]);
    assert!(code == 2 && text.contains("did you mean `density`?"), "{text}");
    let (code, text) = bad("ties", &["--expert", "no/such"]);
    assert!(code == 2 && text.contains("no/such"), "{text}");
    let (code, text) = bad("ties", &["--memory", "1MB"]);
    assert!(code == 2 && text.contains("are needed at least"), "{text}");
}

#[test]
fn a_target_in_the_way_is_not_touched() {
    let folder = models(1);
    let call = call(folder.path(), "ties", "out", &[]);
    fs::create_dir(&call.out).unwrap();
    fs::write(call.out.join("mine.txt"), "precious").unwrap();
    let run = run(&call.args());
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("exists already") && run.stderr.contains("hint: "), "{}", run.stderr);
    assert_eq!(entries(&call.out), ["mine.txt"]);
}

/// Killed without warning at twenty moments, the same command goes on each time, and the end is byte-identical.
#[test]
fn killed_at_any_moment_it_ends_the_same() {
    let folder = models(48);
    for (method, seed) in [("task_arithmetic", 1u64), ("ties", 2)] {
        let reference = call(folder.path(), method, &format!("{method}-once"), &["--memory", &memory(), "--quiet"]);
        let start = Instant::now();
        assert_eq!(run(&reference.args()).code, 0);
        let whole = start.elapsed();
        let again = call(folder.path(), method, &format!("{method}-killed"), &["--memory", &memory(), "--quiet"]);
        let (mut random, mut kills, mut finished) = (seed, 0, 0);
        while kills + finished < 12 || finished == 0 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let share = (random >> 40) as f64 / (1u64 << 24) as f64;
            let mut child = command(&again.args()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(1)));
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            // Whatever is under the final name is whole.
            if again.out.exists() {
                finished += 1;
                assert!(same(&reference.out, &again.out), "{method}: not the same after {kills} kills");
                fs::remove_dir_all(&again.out).unwrap();
            } else {
                let ended = output.status.code();
                assert!(ended.is_none(), "{ended:?}: {}", String::from_utf8_lossy(&output.stderr));
                kills += 1;
            }
            assert!(kills < 200, "it never ends");
        }
        assert!(kills > 0, "never killed in time");
        let last = run(&again.args());
        assert_eq!(last.code, 0, "{}", last.stderr);
        assert!(same(&reference.out, &again.out), "{method}");
        assert!(Checkpoint::open(&again.out).is_ok());
        assert!(entries(folder.path()).iter().all(|name| !name.starts_with('.')), "{:?}", entries(folder.path()));
    }
}

/// Weights and configuration, which do not name the folder as the card does.
fn same(a: &Path, b: &Path) -> bool {
    ["model.safetensors", "config.json"]
        .iter()
        .all(|name| fs::read(a.join(name)).unwrap() == fs::read(b.join(name)).unwrap())
}

/// Cut short while it is read, an input is named and nothing has the final name.
#[test]
fn an_input_that_is_cut_short_meanwhile_is_named() {
    let folder = models(48);
    let call = call(folder.path(), "ties", "out", &["--memory", &memory(), "--quiet"]);
    let path = folder.path().join("b/model.safetensors");
    let whole = fs::read(&path).unwrap();
    let mut named = 0;
    for wait in [5, 10, 20, 30, 40, 60, 80, 100, 150, 200] {
        let child = command(&call.args()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            fs::remove_dir_all(&call.out).unwrap();
        } else {
            assert_eq!(output.status.code(), Some(1), "{text}");
            let opening = text.contains("an input could not be read any further");
            assert!((opening || text.contains("b/model.safetensors")) && text.contains("hint: "), "{text}");
            assert!(!call.out.exists());
            named += u32::from(!opening);
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(named > 0, "it was always faster");
}
