//! The zoo behaves as the literature says, and says what is wrong when its files are.

use fusebench::cancel::Cancel;
use fusebench::params::Value;
use fusebench::tasks::Split;
use fusebench::zoo::{Accuracy, AddOptions, Judge, Merging, TrainEvent, Zoo, ZooError, add_tasks};
use std::fs;
use std::path::{Path, PathBuf};

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/zoo")
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

fn find<'a>(merges: &'a [Merging], method: &str, setting: &str) -> &'a Merging {
    let found = merges.iter().find(|merge| merge.method == method && merge.setting.contains(setting));
    found.unwrap_or_else(|| panic!("{method} {setting} is missing: {merges:?}"))
}

/// Every requirement, from a real evaluation of all test images; λ is chosen on validation. Takes a minute or two:
/// `cargo test --release --test zoo -- --ignored`.
#[test]
#[ignore = "evaluates about thirty models on whole splits"]
fn merging_on_the_zoo_behaves_as_in_the_literature() {
    let zoo = Zoo::embedded().unwrap();
    let cancel = Cancel::default();
    let mut judge = Judge::new(&zoo, &zoo, &cancel).unwrap();
    let tasks = judge.own_scores(&mut |_| ()).unwrap();
    let merges = judge.merges(&mut |_| ()).unwrap();
    println!("{tasks:#?}\n{merges:#?}");

    let base = mean(tasks.values().map(|task| task.base.test));
    let experts = mean(tasks.values().map(|task| task.expert.test));
    assert!(experts - base >= 0.20, "experts {experts:.3}, base {base:.3}");
    let recovered = |accuracy: f64| (accuracy - base) / (experts - base);

    let average = find(&merges, "simple_average", "").accuracy.test;
    let eighth = find(&merges, "task_arithmetic", "0.125").accuracy.test;
    assert!((average - eighth).abs() < 0.002, "simple average {average}, task arithmetic at 1/8 {eighth}");

    let arithmetic = &merges[2];
    let scaling: f64 = arithmetic.setting.trim_start_matches("scaling = ").parse().unwrap();
    assert!(scaling > 0.1 && scaling < 0.8, "best λ is {scaling}");
    assert!(
        recovered(arithmetic.accuracy.test) >= 0.35,
        "{arithmetic:?} recovers {}",
        recovered(arithmetic.accuracy.test)
    );
    let one = merges[3].accuracy.test;
    assert!(one < arithmetic.accuracy.test - 0.05, "λ = 1 gives {one}, λ = {scaling} {}", arithmetic.accuracy.test);
    let ties = find(&merges, "ties", "").accuracy.test;
    assert!(recovered(ties) >= 0.50, "TIES recovers {}", recovered(ties));

    // What is recorded is what was measured, to a sample or two of rounding.
    let close =
        |a: Accuracy, b: Accuracy| (a.test - b.test).abs() < 0.004 && (a.validation - b.validation).abs() < 0.008;
    for (task, scores) in &tasks {
        let recorded = &zoo.scores().tasks[task];
        assert!(close(scores.base, recorded.base) && close(scores.expert, recorded.expert), "{task}: {scores:?}");
    }
}

/// The same shape on a few validation images.
#[test]
fn on_a_few_images_experts_win_and_moderate_merging_helps() {
    let zoo = Zoo::embedded().unwrap();
    let cancel = Cancel::default();
    let mut judge = Judge::new(&zoo, &zoo, &cancel).unwrap().with_limit(60);
    let tasks = judge.own_scores_on(&[Split::Validation], &mut |_| ()).unwrap();
    let base = mean(tasks.values().map(|task| task.base.validation));
    let experts = mean(tasks.values().map(|task| task.expert.validation));
    assert!(experts > base + 0.15, "experts {experts:.3}, base {base:.3}");
    let mut merged = |method: &str, scaling: Option<f64>| {
        let given: Vec<_> = scaling.map(|scaling| ("scaling", Value::Float(scaling))).into_iter().collect();
        judge.merged(method, &given, Split::Validation).unwrap()
    };
    let (some, too_much) = (merged("task_arithmetic", Some(0.3)), merged("task_arithmetic", Some(1.0)));
    assert!(some > base + 0.03 && too_much < some, "base {base:.3}, λ 0.3 {some:.3}, λ 1 {too_much:.3}");
    assert!((merged("simple_average", None) - merged("task_arithmetic", Some(0.125))).abs() < 0.005);
    assert!(merged("ties", Some(0.7)) > base + 0.05);
}

#[test]
fn all_validation_and_test_data_are_in_the_binary() {
    let zoo = Zoo::embedded().unwrap();
    assert_eq!(zoo.tasks().len(), 8);
    assert_eq!(zoo.pool().experts().len(), 8);
    for task in zoo.tasks() {
        for split in [Split::Validation, Split::Test] {
            let images = zoo.images(&task.id, split).unwrap();
            assert_eq!(images.len(), task.len(split));
            let seen: std::collections::BTreeSet<u16> = images.labels.iter().copied().collect();
            assert_eq!(seen.len(), task.classes.len(), "{}: every class is there", task.id);
        }
        assert!(matches!(zoo.images(&task.id, Split::Train), Err(ZooError::NotEmbedded { .. })));
        assert_eq!(zoo.head(&task.id).unwrap().classes, task.classes.len());
        assert!(
            zoo.scores().base(&task.id, Split::Test).is_some() && zoo.scores().expert(&task.id, Split::Test).is_some()
        );
    }
    assert!(matches!(zoo.images("cifar", Split::Test), Err(ZooError::UnknownTask { .. })));
}

fn size(path: &Path) -> u64 {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() }).sum()
}

#[test]
fn folder_and_binary_are_the_same_zoo_and_small_enough() {
    assert_eq!(Zoo::open(&assets()).unwrap().fingerprint(), Zoo::embedded().unwrap().fingerprint());
    assert!(size(&assets()) <= 40 << 20, "{} bytes", size(&assets()));
}

/// A copy of the zoo without its data, to be broken.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "scores.json", "heads.safetensors", "base.safetensors", "data/tasks.json"] {
        put(&folder, name);
    }
    for task in Zoo::embedded().unwrap().tasks() {
        put(&folder, &format!("experts/{}.safetensors", task.id));
    }
    folder
}

fn put(folder: &tempfile::TempDir, name: &str) {
    let to = folder.path().join(name);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(assets().join(name), to).unwrap();
}

#[test]
fn missing_files_are_named_with_their_folder() {
    let nowhere = Path::new("/nonexistent/zoo");
    let error = Zoo::open(nowhere).unwrap_err();
    assert!(matches!(&error, ZooError::Missing { .. }) && error.to_string().contains("/nonexistent/zoo"), "{error}");
    assert!(error.hint().contains("assets/zoo"));
    let folder = copy();
    fs::remove_file(folder.path().join("experts/emoji.safetensors")).unwrap();
    let error = Zoo::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("experts/emoji.safetensors"), "{error}");
    put(&folder, "experts/emoji.safetensors");
    let error = Zoo::open(folder.path()).unwrap().images("emoji", Split::Test).unwrap_err().to_string();
    assert!(error.contains("data/emoji/test.safetensors.gz"), "{error}");
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let folder = copy();
    let broken = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = folder.path().join(name);
        let mut bytes = fs::read(assets().join(name)).unwrap();
        change(&mut bytes);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
    };
    let half = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2);
    for name in ["experts/mnist.safetensors", "heads.safetensors", "scores.json", "data/tasks.json", "config.json"] {
        broken(name, &half);
        let error = Zoo::open(folder.path()).unwrap_err();
        assert!(!error.to_string().is_empty() && !error.hint().is_empty(), "{name}");
        put(&folder, name);
    }
    let name = "data/clipart/test.safetensors.gz";
    for change in [&half as &dyn Fn(&mut Vec<u8>), &|bytes| {
        let at = bytes.len() / 2;
        bytes[at] ^= 0xff;
    }] {
        broken(name, change);
        let error = Zoo::open(folder.path()).unwrap().images("clipart", Split::Test).unwrap_err();
        assert!(error.to_string().contains("clipart"), "{error}");
    }
    // Data of another task: as long as they are sound, the count gives them away.
    fs::copy(assets().join("data/emoji/test.safetensors.gz"), folder.path().join(name)).unwrap();
    let error = Zoo::open(folder.path()).unwrap().images("clipart", Split::Test).unwrap_err().to_string();
    assert!(error.contains("468"), "{error}");
}

/// The data of optdigits under another name, as if they were new.
fn further(id: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut task = Zoo::embedded().unwrap().task("optdigits").unwrap().clone();
    id.clone_into(&mut task.id);
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("digits")).unwrap();
    fs::write(data.join("tasks.json"), serde_json::to_string(&[task]).unwrap()).unwrap();
    for split in ["train", "validation", "test"] {
        let name = format!("{split}.safetensors.gz");
        fs::copy(assets().join("data/optdigits").join(&name), data.join("digits").join(&name)).unwrap();
    }
    folder
}

#[test]
fn a_zoo_takes_further_tasks_and_keeps_what_it_has() {
    let zoo = Zoo::embedded().unwrap();
    let (new, out) = (further("digits"), tempfile::tempdir().unwrap());
    let cancel = Cancel::default();
    let add = |steps: usize| {
        let mut kept = Vec::new();
        let options = AddOptions { steps, ..AddOptions::default() };
        let progress = &mut |event: TrainEvent| {
            if let TrainEvent::Stage { name, kept: true } = event {
                kept.push(name);
            }
        };
        let scores = add_tasks(&zoo, new.path(), out.path(), &options, progress, &cancel).unwrap();
        (scores, kept)
    };
    let (scores, kept) = add(2);
    assert!(kept.is_empty());
    let both = Zoo::open(out.path()).unwrap();
    assert_eq!((both.tasks().len(), both.tasks().last().unwrap().id.as_str()), (9, "digits"));
    assert_eq!(both.pool().base().unwrap().fingerprint(), zoo.pool().base().unwrap().fingerprint());
    for ((name, own), (copied, there)) in zoo.pool().experts().iter().zip(both.pool().experts()) {
        assert_eq!((name, own.fingerprint()), (copied, there.fingerprint()));
        assert_eq!(zoo.scores().tasks[name], both.scores().tasks[name]);
        // Rows are brought to length 1 whenever they are read.
        let (rows, again) = (&zoo.head(name).unwrap().rows, &both.head(name).unwrap().rows);
        assert!(rows.len() == again.len() && rows.iter().zip(again).all(|(a, b)| (a - b).abs() < 1e-6));
        assert_eq!(zoo.images(name, Split::Test).unwrap(), both.images(name, Split::Test).unwrap());
    }
    // Prototypes of a base that has seen these very digits, before anything was learned.
    let digits = &scores.tasks["digits"];
    assert!(digits.base.test > 0.9 && digits.base.test > zoo.scores().tasks["optdigits"].base.test, "{digits:?}");
    assert_eq!(Some(digits), both.scores().tasks.get("digits"));
    let about = both.about_heads().unwrap();
    assert!(about.starts_with(zoo.about_heads().unwrap()) && about.contains("; digits: "), "{about}");

    // The same again keeps all; more steps keep nothing, since heads and experts belong together.
    assert_eq!(add(2), (scores.clone(), vec!["heads".to_owned(), "digits".to_owned()]));
    let expert = fs::read(out.path().join("experts/digits.safetensors")).unwrap();
    assert!(add(3).1.is_empty());
    assert_ne!(expert, fs::read(out.path().join("experts/digits.safetensors")).unwrap());
}

#[test]
fn tasks_that_cannot_be_added_are_refused_before_anything_is_written() {
    let zoo = Zoo::embedded().unwrap();
    let refused = |new: &Path, out: &Path| {
        add_tasks(&zoo, new, out, &AddOptions::default(), &mut |_| (), &Cancel::default()).unwrap_err().to_string()
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (id, error) in [
        ("mnist", "the zoo has a task `mnist` already"),
        ("../mnist", "`../mnist` cannot be the id of a task"),
        ("base", "`base` cannot be the id of a task"),
        ("", "`` cannot be the id of a task"),
    ] {
        let got = refused(further(id).path(), &out);
        assert!(got.contains(error), "{got}");
    }
    let got = refused(&folder.path().join("nowhere"), &out);
    assert!(got.contains("data/tasks.json"), "{got}");
    assert!(!out.exists());
    let new = further("digits");
    let got = refused(new.path(), new.path());
    assert!(got.contains("is one of the folders that are read"), "{got}");
    assert!(!new.path().join("base.safetensors").exists());
}
