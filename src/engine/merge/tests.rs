//! Small models on disk, merged, interrupted, changed, reproduced.

use super::*;
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::fusion::find;
use crate::params::{ParamSet, Value};
use crate::weights::{Checkpoint, DType, Data, StateDict, Tensor, WeightsError, write_safetensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with `base`, `a` and `b`, and what tests do with them.
struct World {
    folder: TempDir,
}

fn model(seed: usize) -> StateDict {
    let float = |name: &str, shape: &[usize], dtype| {
        let length = shape.iter().product();
        let value = |at: usize| ((at * 37 + name.len() * 11) % 101) as f32 / 64.0 + (seed * (at % 7)) as f32 / 256.0;
        Tensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            dtype,
            data: Data::Float((0..length).map(value).collect()),
        }
    };
    StateDict::new(vec![
        float("encoder.layers.0.fc.weight", &[300, 1000], DType::F32),
        float("encoder.layers.0.fc.bias", &[300], DType::F32),
        float("encoder.layers.1.fc.weight", &[20, 30], DType::F16),
        float("scale", &[], DType::F32),
        Tensor { name: "steps".to_owned(), shape: vec![], dtype: DType::I64, data: Data::Raw(vec![7; 8]) },
    ])
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = Self { folder };
        for (seed, name) in ["base", "a", "b"].iter().enumerate() {
            write_safetensors(&world.path(name).join("model.safetensors"), &model(seed), &BTreeMap::new()).unwrap();
        }
        fs::write(world.path("base/config.json"), r#"{"torch_dtype": "float32", "hidden_size": 8}"#).unwrap();
        fs::write(world.path("base/tokenizer.json"), "{}").unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn inputs(&self) -> Inputs {
        let text = |name: &str| self.path(name).display().to_string();
        Inputs::open(Some(&text("base")), &[text("a"), text("b")]).unwrap()
    }

    fn merge(&self, job: &MergeJob, out: &str) -> Result<Merged, EngineError> {
        let inputs = self.inputs();
        self.merge_these(job, &inputs, out)
    }

    fn merge_these(&self, job: &MergeJob, inputs: &Inputs, out: &str) -> Result<Merged, EngineError> {
        let out = self.path(out);
        let plan = MergePlan::new(job, inputs, Some(&out))?;
        merge(job, inputs, &plan, &out, &Cancel::default(), &mut |_, _| {})
    }

    /// Files of the world beside the inputs.
    fn left(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into());
        let mut names: Vec<String> =
            names.filter(|name: &String| !["base", "a", "b"].contains(&name.as_str())).collect();
        names.sort();
        names
    }

    fn reproduce(&self, out: &str) -> Comparison {
        reproduce(&self.path(out), None, &[], 1 << 30, &Cancel::default(), &mut |_, _| {}).unwrap()
    }
}

fn job(id: &str, given: &[(&str, Value)]) -> MergeJob {
    let method = find(id).unwrap();
    MergeJob {
        method,
        params: ParamSet::checked(method.specs, given.iter().cloned()).unwrap(),
        task: None,
        dtype: None,
        not_finite: NotFinite::Error,
        shard: None,
        memory: 1 << 30,
        vocab: None,
        document: None,
    }
}

fn values(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    checkpoint.require(name).unwrap().to_vec()
}

#[test]
fn a_merge_has_weights_configuration_card_and_record() {
    let world = World::new();
    world.merge(&job("task_arithmetic", &[("scaling", Value::Float(0.5))]), "out").unwrap();
    let merged = Checkpoint::open(&world.path("out")).unwrap();
    let [base, a, b] = [0, 1, 2].map(model);
    for name in ["encoder.layers.0.fc.weight", "scale"] {
        let of = |model: &StateDict| model.require(name).unwrap().1.to_vec();
        let expected: Vec<f32> = of(&base)
            .iter()
            .zip(of(&a))
            .zip(of(&b))
            .map(|((base, a), b)| base + 0.5 * (a - base) + 0.5 * (b - base))
            .collect();
        assert_eq!(values(&merged, name), expected);
    }
    assert_eq!(merged.require("steps").unwrap().raw(), [7; 8]);
    assert_eq!(merged.require("encoder.layers.1.fc.weight").unwrap().info.dtype, DType::F16);
    let read = |name: &str| fs::read_to_string(world.path("out").join(name)).unwrap();
    assert_eq!(read("config.json"), r#"{"torch_dtype": "float32", "hidden_size": 8}"#);
    assert_eq!(read("tokenizer.json"), "{}");
    let card = read("README.md");
    assert!(card.starts_with("---\nbase_model:\n- \"/") && card.contains("scaling = 0.5"), "{card}");
    let recorded = Provenance::read(&merged).unwrap();
    assert_eq!(recorded.parents.len(), 3);
    assert!(recorded.parents.iter().all(|parent| parent.fingerprint.len() == 32 && !parent.fingerprint.contains('?')));
    assert_eq!(world.left(), ["out"]);
    assert!(world.reproduce("out").is_same());
    // Once more is no error, and nothing is written.
    let again = world.merge(&job("task_arithmetic", &[("scaling", Value::Float(0.5))]), "out").unwrap();
    assert!(again.existed);
    let other = world.merge(&job("task_arithmetic", &[("scaling", Value::Float(0.6))]), "out").unwrap_err();
    assert!(matches!(&other, EngineError::Weights(WeightsError::Exists { .. })), "{other}");
}

#[test]
fn shards_windows_and_dtypes_make_no_difference_to_the_values() {
    let world = World::new();
    for id in ["task_arithmetic", "ties", "dare", "magmax", "model_stock"] {
        let whole = job(id, &[]);
        world.merge(&whole, "whole").unwrap();
        let sharded = MergeJob { shard: Some(1_000_000), ..whole.clone() };
        world.merge(&sharded, "sharded").unwrap();
        let half = MergeJob { dtype: Some(DType::Bf16), ..whole.clone() };
        world.merge(&half, "half").unwrap();
        let open = |name: &str| Checkpoint::open(&world.path(name)).unwrap();
        let (whole, sharded, half) = (open("whole"), open("sharded"), open("half"));
        assert_eq!(sharded.paths().count(), 3, "{id}");
        for tensor in whole.iter() {
            let name = &tensor.info.name;
            assert_eq!(tensor.raw(), sharded.require(name).unwrap().raw(), "{id} {name}");
            if tensor.info.dtype == DType::F32 {
                let rounded: Vec<f32> = tensor.to_vec().iter().map(|x| half::bf16::from_f32(*x).to_f32()).collect();
                assert_eq!(values(&half, name), rounded, "{id} {name}");
            }
        }
        let config = fs::read_to_string(world.path("half/config.json")).unwrap();
        assert!(config.contains("\"bfloat16\""), "{config}");
        for name in ["whole", "sharded", "half"] {
            assert!(world.reproduce(name).is_same(), "{id} {name}");
            fs::remove_dir_all(world.path(name)).unwrap();
        }
    }
}

#[test]
fn reproduce_sees_what_was_changed_in_result_or_parent() {
    let world = World::new();
    world.merge(&job("simple_average", &[]), "out").unwrap();
    let path = world.path("out/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    let comparison = world.reproduce("out");
    assert_eq!(comparison.differences.len(), 1);
    assert_eq!(comparison.differences[0].tensor, "encoder.layers.1.fc.weight");
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut other = model(1);
    if let Data::Float(values) = &mut other.tensors_mut()[0].data {
        values[77] += 1.0;
    }
    write_safetensors(&world.path("a/model.safetensors"), &other, &BTreeMap::new()).unwrap();
    let comparison = world.reproduce("out");
    assert_eq!(comparison.changed_parents, ["a"]);
    assert_eq!(comparison.differences[0].tensor, "encoder.layers.0.fc.weight");
}

#[test]
fn numbers_that_are_none_are_refused_kept_or_made_zero() {
    let world = World::new();
    let mut broken = model(1);
    if let Data::Float(values) = &mut broken.tensors_mut()[0].data {
        values[5] = f32::NAN;
    }
    write_safetensors(&world.path("a/model.safetensors"), &broken, &BTreeMap::new()).unwrap();
    for id in ["task_arithmetic", "ties", "magmax"] {
        let error = world.merge(&job(id, &[]), "out").unwrap_err();
        assert!(error.to_string().contains("`encoder.layers.0.fc.weight` is not finite"), "{id}: {error}");
        assert_eq!(world.left(), Vec::<String>::new(), "{id}");
        for policy in [NotFinite::Keep, NotFinite::Zero] {
            world.merge(&MergeJob { not_finite: policy, ..job(id, &[]) }, "out").unwrap();
            let merged = Checkpoint::open(&world.path("out")).unwrap();
            let values = values(&merged, "encoder.layers.0.fc.weight");
            assert!(values.iter().enumerate().all(|(at, value)| at == 5 || value.is_finite()), "{id}");
            if id == "task_arithmetic" {
                assert_eq!(values[5].is_nan(), policy == NotFinite::Keep);
                assert!(policy == NotFinite::Keep || values[5] == 0.0);
            }
            fs::remove_dir_all(world.path("out")).unwrap();
        }
    }
    // What overflows the dtype asked for is not finite either.
    let large = Tensor { name: "w".into(), shape: vec![1], dtype: DType::F32, data: Data::Float(vec![1e6]) };
    for name in ["base", "a", "b"] {
        let path = world.path(name).join("model.safetensors");
        write_safetensors(&path, &StateDict::new(vec![large.clone()]), &BTreeMap::new()).unwrap();
    }
    let half = MergeJob { dtype: Some(DType::F16), ..job("simple_average", &[]) };
    assert!(world.merge(&half, "out").unwrap_err().to_string().contains("`w` is not finite"));
}

#[test]
fn inputs_that_change_are_noticed_and_nothing_is_left() {
    let world = World::new();
    let inputs = world.inputs();
    // Written anew with the same length, as a download that starts over would.
    let path = world.path("b/model.safetensors");
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let error = world.merge_these(&job("task_arithmetic", &[]), &inputs, "out").unwrap_err();
    assert!(error.to_string().contains("b/model.safetensors has changed"), "{error}");
    assert_eq!(world.left(), Vec::<String>::new());
}

#[test]
fn cancelled_it_goes_on_where_it_stopped_and_ends_the_same() {
    let world = World::new();
    let slow = job("dare", &[]);
    let inputs = world.inputs();
    let plan = MergePlan::new(&slow, &inputs, None).unwrap();
    // Small windows, so that there is something to go on with.
    let plan = MergePlan { windows: (0..plan.layout.slots.len()).map(|at| vec![at]).collect(), ..plan };
    let cancel = Cancel::default();
    let out = world.path("out");
    let mut calls = 0;
    let mut stop = |_, _| {
        calls += 1;
        if calls == 3 {
            cancel.cancel();
        }
    };
    let error = merge(&slow, &inputs, &plan, &out, &cancel, &mut stop).unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    assert_eq!(world.left(), [".out.journal", ".out.partial"]);
    let merged = merge(&slow, &inputs, &plan, &out, &Cancel::default(), &mut |_, _| {}).unwrap();
    assert!(merged.resumed >= 2, "{}", merged.resumed);
    merge(&slow, &inputs, &plan, &world.path("at once"), &Cancel::default(), &mut |_, _| {}).unwrap();
    let bytes = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert!(bytes(&out) == bytes(&world.path("at once")));
    assert_eq!(world.left(), ["at once", "out"]);
}

#[test]
fn models_of_several_tasks_are_made_in_one_pass_and_gone_on_with() {
    let world = World::new();
    let inputs = world.inputs();
    let work = |folder: &str, task: &str| {
        let job = MergeJob { task: Some(task.to_owned()), ..job("emr", &[]) };
        let plan = MergePlan::new(&job, &inputs, None).unwrap();
        let plan = MergePlan { windows: (0..plan.layout.slots.len()).map(|at| vec![at]).collect(), ..plan };
        Work { job, plan, out: world.path(&format!("{folder}/{task}")) }
    };
    let works = ["a", "b"].map(|task| work("all", task));
    // One is whole already, another was stopped after some tensors.
    merge_all(&works[..1], &inputs, &Cancel::default(), &mut |_, _| {}).unwrap();
    let cancel = Cancel::default();
    let mut calls = 0;
    let mut stop = |_, _| {
        calls += 1;
        if calls == 3 {
            cancel.cancel();
        }
    };
    assert!(merge_all(&works, &inputs, &cancel, &mut stop).unwrap_err().is_cancelled());
    let mut seen = (0, 0);
    let merged = merge_all(&works, &inputs, &Cancel::default(), &mut |done, total| seen = (done, total)).unwrap();
    assert!(merged[0].existed && !merged[1].existed && merged[1].resumed >= 2, "{merged:?}");
    assert!(seen.0 == seen.1 && seen.1 > 0, "{seen:?}");
    // At once, with neither there before, and one by one: the same bytes.
    let fresh = ["a", "b"].map(|task| work("fresh", task));
    merge_all(&fresh, &inputs, &Cancel::default(), &mut |_, _| {}).unwrap();
    for (task, one) in ["a", "b"].map(|task| (task, work("one", task))) {
        merge_all(&[one], &inputs, &Cancel::default(), &mut |_, _| {}).unwrap();
        let [all, fresh, one] = ["all", "fresh", "one"]
            .map(|folder| fs::read(world.path(&format!("{folder}/{task}/model.safetensors"))).unwrap());
        assert!(all == fresh && fresh == one, "{task}");
    }
}

#[test]
fn too_little_memory_and_methods_without_weights_are_refused_before_work() {
    let world = World::new();
    let inputs = world.inputs();
    let error = MergePlan::new(&MergeJob { memory: 1 << 20, ..job("ties", &[]) }, &inputs, None).unwrap_err();
    assert!(error.to_string().contains("are needed at least, 1 MB are allowed"), "{error}");
    let error = world.merge(&job("simple_ensemble", &[]), "out").unwrap_err();
    assert!(error.to_string().contains("no single set of weights"), "{error}");
    assert_eq!(world.left(), Vec::<String>::new());
}

#[test]
fn a_task_gets_its_own_model_which_says_so_and_can_be_made_again() {
    let world = World::new();
    let error = world.merge(&job("emr", &[]), "out").unwrap_err();
    assert!(error.to_string().contains("needs to know the task at test time"), "{error}");
    assert_eq!(world.left(), Vec::<String>::new());
    for (task, slot) in [("a", 1), ("b", 2)] {
        let job = MergeJob { task: Some(task.to_owned()), ..job("emr", &[]) };
        let out = format!("for {task}");
        world.merge(&job, &out).unwrap();
        assert!(world.reproduce(&out).is_same(), "{task}");
        let card = fs::read_to_string(world.path(&out).join("README.md")).unwrap();
        assert!(card.contains(&format!("the model of `{task}`")), "{card}");
        // Nearer to its own expert than to the other one.
        let made = Checkpoint::open(&world.path(&out)).unwrap();
        let distance = |seed: usize| -> f32 {
            let expert = model(seed);
            let (_, expert) = expert.require("encoder.layers.0.fc.weight").unwrap();
            values(&made, "encoder.layers.0.fc.weight").iter().zip(expert).map(|(a, b)| (a - b).abs()).sum()
        };
        assert!(distance(slot) < distance(3 - slot), "{task}");
    }
}

#[test]
fn names_must_differ() {
    let world = World::new();
    let a = world.path("a").display().to_string();
    let error = Inputs::open(None, &[a.clone(), a.clone()]).unwrap_err();
    assert_eq!(error.to_string(), "two models are called `a`");
    assert_eq!(Inputs::open(None, &[a.clone(), format!("b={a}")]).unwrap().experts[1].name, "b");
}

#[test]
fn adapters_merge_alone_and_with_their_model_named() {
    let world = World::new();
    let matrix = |name: &str, shape: [usize; 2]| Tensor {
        name: format!("base_model.model.encoder.layers.0.fc.{name}.weight"),
        shape: shape.to_vec(),
        dtype: DType::F32,
        data: Data::Float((0..shape[0] * shape[1]).map(|at| (at % 13) as f32 / 64.0).collect()),
    };
    let pair = [matrix("lora_A", [2, 1000]), matrix("lora_B", [300, 2])];
    let path = world.path("lora");
    write_safetensors(&path.join("adapter_model.safetensors"), &StateDict::new(pair.to_vec()), &BTreeMap::new())
        .unwrap();
    fs::write(path.join("adapter_config.json"), r#"{"peft_type":"LORA","r":2,"lora_alpha":1}"#).unwrap();
    let text = |name: &str| world.path(name).display().to_string();
    let both = format!("x={}+{}", text("base"), text("lora"));
    let job = job("task_arithmetic", &[("scaling", Value::Float(1.0))]);
    let mut results = Vec::new();
    for (expert, out) in [(text("lora"), "alone"), (both, "both")] {
        let inputs = Inputs::open(Some(&text("base")), &[expert]).unwrap();
        world.merge_these(&job, &inputs, out).unwrap();
        assert!(world.reproduce(out).is_same(), "{out}");
        let merged = Checkpoint::open(&world.path(out)).unwrap();
        results.push(values(&merged, "encoder.layers.0.fc.weight"));
        assert_eq!(values(&merged, "scale"), model(0).require("scale").unwrap().1);
        let recorded = Provenance::read(&merged).unwrap();
        assert!(recorded.parents[1].from.contains("/base+/"), "{:?}", recorded.parents[1]);
        assert_ne!(recorded.parents[0].fingerprint, recorded.parents[1].fingerprint);
    }
    assert_eq!(results[0], results[1]);
    let (a, b) = (pair[0].values().unwrap(), pair[1].values().unwrap());
    let base = model(0);
    let base = base.require("encoder.layers.0.fc.weight").unwrap().1;
    for (at, value) in results[0].iter().enumerate() {
        let (row, column) = (at / 1000, at % 1000);
        let change = 0.5 * (0..2).map(|k| b[row * 2 + k] * a[k * 1000 + column]).sum::<f32>();
        assert!((value - base[at] - change).abs() < 1e-6, "{at}");
    }
}
