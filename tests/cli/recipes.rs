//! `fusebench import`, `export` and `merge` of recipes that people have, as scripts see them.

use super::program::{command, run};
use fusebench::weights::{Checkpoint, DType, Data, StateDict, Tensor, write_safetensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn models() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (seed, name) in ["base", "a", "b"].iter().enumerate() {
        let tensor = |at: usize| {
            let values =
                (0..64).map(|i| ((i * 31 + at * 7) % 113) as f32 / 97.0 + (seed * (i % 5)) as f32 / 30.0).collect();
            Tensor {
                name: format!("model.layers.{at}.mlp.weight"),
                shape: vec![8, 8],
                dtype: DType::F32,
                data: Data::Float(values),
            }
        };
        let path = folder.path().join(name).join("model.safetensors");
        write_safetensors(&path, &StateDict::new((0..3).map(tensor).collect()), &BTreeMap::new()).unwrap();
    }
    folder
}

/// Runs in `folder`, where models are named by relative paths; standard output and error.
fn within(folder: &Path, args: &[&str], code: i32) -> (String, String) {
    let output = command(args).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
    (out, err)
}

fn weights(folder: &Path, name: &str) -> Vec<f32> {
    let model = Checkpoint::open(&folder.join(name)).unwrap();
    model.iter().flat_map(|tensor| tensor.to_vec()).collect()
}

const TIES: &str = "merge_method: ties\nbase_model: base\nmodels:\n  - model: a\n    parameters: {weight: 0.5, density: 0.5}\n  - model: b\n    parameters: {weight: 0.25}\ndtype: float32\n";

#[test]
fn a_mergekit_recipe_a_preset_of_it_and_the_command_line_give_the_same() {
    let folder = models();
    let at = folder.path();
    fs::write(at.join("ties.yml"), TIES).unwrap();
    within(at, &["merge", "ties.yml", "--out", "one"], 0);
    let (preset, _) = within(at, &["import", "ties.yml"], 0);
    assert!(preset.contains("[models]\nbase = \"base\"\nexperts = [\"a\", \"b\"]\ndtype = \"f32\""), "{preset}");
    fs::write(at.join("preset.toml"), &preset).unwrap();
    within(at, &["merge", "preset.toml", "--out", "two"], 0);
    let (recipe, _) = within(at, &["import", "ties.yml", "--recipe"], 0);
    assert!(recipe.contains("[[merge]]"), "{recipe}");
    fs::write(at.join("recipe.toml"), &recipe).unwrap();
    within(at, &["merge", "recipe.toml", "--out", "three"], 0);
    let set = ["--set", "weight=[0.5,0.25]", "--set", "density=[0.5,1]"];
    within(
        at,
        &[&["merge", "mergekit_ties", "--base", "base", "--expert", "a", "b", "--out", "four"][..], &set].concat(),
        0,
    );
    for other in ["two", "three", "four"] {
        assert_eq!(weights(at, other), weights(at, "one"), "{other}");
    }
    let (yaml, _) = within(at, &["export", "preset.toml", "--to", "mergekit"], 0);
    fs::write(at.join("back.yml"), &yaml).unwrap();
    within(at, &["merge", "back.yml", "--out", "five"], 0);
    assert_eq!(weights(at, "five"), weights(at, "one"), "{yaml}");
    within(at, &["merge", "ties.yml", "--set", "lambda=0.5", "--out", "six"], 0);
    assert_ne!(weights(at, "six"), weights(at, "one"));
}

#[test]
fn several_documents_are_merged_one_after_another() {
    let folder = models();
    let at = folder.path();
    let text = "name: first\nmerge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: 1}}]\n---\n\
                merge_method: slerp\nbase_model: base\nmodels: [{model: first}]\nparameters: {t: [0.2, 0.8]}\n";
    fs::write(at.join("two.yml"), text).unwrap();
    let (_, dry) = within(at, &["merge", "two.yml", "--out", "out", "--dry-run"], 0);
    assert!(dry.contains("once it is there") && !at.join("out").exists(), "{dry}");
    within(at, &["merge", "two.yml", "--out", "out"], 0);
    assert!(at.join("out.steps/first/model.safetensors").exists());
    within(at, &["merge", "weighted_average", "--expert", "a", "b", "--out", "mean"], 0);
    assert_eq!(weights(at, "mean"), weights(at, "out.steps/first"));
    let (again, _) = within(at, &["reproduce", "out"], 0);
    assert!(again.starts_with("identical"), "{again}");
    let (_, err) = within(at, &["merge", "two.yml", "--out", "out"], 0);
    assert!(err.contains("is there already"), "{err}");
    let (recipe, _) = within(at, &["import", "two.yml"], 0);
    fs::write(at.join("two.toml"), &recipe).unwrap();
    within(at, &["merge", "two.toml", "--out", "other", "--steps", "steps"], 0);
    assert_eq!(weights(at, "other"), weights(at, "out"));
    assert!(at.join("steps/first").is_dir());
}

#[test]
fn fusionbenchs_method_and_pool_are_merged() {
    let folder = models();
    let at = folder.path();
    fs::write(at.join("ta.yaml"), "_target_: fusion_bench.method.TaskArithmeticAlgorithm\nscaling_factor: 0.4\n")
        .unwrap();
    fs::write(
        at.join("pool.yaml"),
        "_target_: fusion_bench.modelpool.CLIPVisionModelPool\nmodels: {_pretrained_: base, x: a, y: b}\n",
    )
    .unwrap();
    within(at, &["merge", "ta.yaml", "--pool", "pool.yaml", "--out", "one"], 0);
    within(at, &["merge", "task_arithmetic", "--pool", "pool.yaml", "--set", "scaling=0.4", "--out", "two"], 0);
    within(
        at,
        &["merge", "task_arithmetic", "--base", "base", "--expert", "a", "b", "--set", "scaling=0.4", "--out", "three"],
        0,
    );
    assert_eq!(weights(at, "one"), weights(at, "two"));
    assert_eq!(weights(at, "one"), weights(at, "three"));
    let (preset, _) = within(at, &["import", "ta.yaml", "--pool", "pool.yaml"], 0);
    assert!(preset.contains("experts = [\"x=a\", \"y=b\"]"), "{preset}");
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_exit_code_two() {
    let folder = models();
    let at = folder.path();
    fs::write(at.join("bad.yml"), TIES.replace("density", "densty")).unwrap();
    let (_, err) = within(at, &["merge", "bad.yml", "--out", "out"], 2);
    assert!(err.contains("unknown key `densty`, did you mean `density`?\nwhere: bad.yml:5:31"), "{err}");
    fs::write(at.join("evil.yml"), "merge_method: !!python/object/apply:os.system [ls]\n").unwrap();
    let (_, err) = within(at, &["import", "evil.yml"], 2);
    assert!(err.contains("python/object") && err.contains("evil.yml:1:"), "{err}");
    fs::write(at.join("ties.yml"), TIES).unwrap();
    let (_, err) = within(at, &["merge", "ties.yml", "--expert", "a", "--out", "out"], 2);
    assert!(err.contains("names its models itself"), "{err}");
    let (_, err) = within(at, &["merge", "ties", "--out", "out"], 2);
    assert!(err.contains("no models to merge"), "{err}");
    let (_, err) = within(at, &["export", "tsv_m", "--to", "mergekit", "--base", "base", "--expert", "a", "b"], 2);
    assert!(err.contains("mergekit has no method"), "{err}");
    let gone = run(&["import", "/no/such/file.yml"]);
    assert_eq!(gone.code, 2, "{}", gone.stderr);
}
