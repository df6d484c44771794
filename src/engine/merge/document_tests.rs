//! Documents on small models on disk: slices, gradients, filters, modules, vocabularies.

use super::*;
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::engine::document::{Document, Loaded};
use crate::fusion::find;
use crate::params::ParamSet;
use crate::weights::{Checkpoint, DType, Data, StateDict, Tensor, write_safetensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

struct World(TempDir);

/// A language model in miniature: every value of a tensor is a number that says where it comes from.
fn model(mark: f32, layers: usize, rows: usize) -> Vec<Tensor> {
    let tensor = |name: String, rows: usize, value: f32| Tensor {
        name,
        shape: vec![rows, 2],
        dtype: DType::F32,
        data: Data::Float((0..rows * 2).map(|at| value + (at / 2) as f32 / 1000.0).collect()),
    };
    let mut all = vec![tensor("model.embed_tokens.weight".into(), rows, mark)];
    for layer in 0..layers {
        let value = mark + (layer + 1) as f32 / 10.0;
        all.push(tensor(format!("model.layers.{layer}.mlp.up.weight"), 2, value));
        all.push(tensor(format!("model.layers.{layer}.self_attn.q.weight"), 2, value + 0.05));
    }
    all.push(tensor("model.norm.weight".into(), 2, mark + 0.9));
    all.push(tensor("lm_head.weight".into(), rows, mark + 0.95));
    all
}

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        for (at, name) in ["base", "a", "b"].iter().enumerate() {
            world.write(name, model(at as f32, 4, 3));
        }
        world.write("wide", model(3.0, 4, 5));
        let config = r#"{"num_hidden_layers": 4, "vocab_size": 3, "layer_types": ["w", "x", "y", "z"]}"#;
        fs::write(world.path("base/config.json"), config).unwrap();
        world
    }

    fn write(&self, name: &str, tensors: Vec<Tensor>) {
        write_safetensors(&self.path(name).join("model.safetensors"), &StateDict::new(tensors), &BTreeMap::new())
            .unwrap();
    }

    fn tokens(&self, name: &str, tokens: &[&str]) {
        let vocab: BTreeMap<&str, usize> = tokens.iter().enumerate().map(|(id, token)| (*token, id)).collect();
        let json = serde_json::json!({"added_tokens": [], "model": {"type": "WordLevel", "vocab": vocab}});
        fs::write(self.path(name).join("tokenizer.json"), json.to_string()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A document with the world's models in place of their names.
    fn document(&self, text: &str, label: &str) -> Document {
        let mut document =
            Loaded::parse(text, label).unwrap_or_else(|error| panic!("{error}\n{text}")).documents.remove(0);
        document.map_references(&mut |reference| *reference = self.path(reference).display().to_string());
        document
    }

    fn merge(&self, text: &str, vocab: Option<Vocab>) -> Result<Checkpoint, EngineError> {
        self.merge_document(&self.document(text, "m.yml"), vocab)
    }

    fn merge_document(&self, document: &Document, vocab: Option<Vocab>) -> Result<Checkpoint, EngineError> {
        let options = Options { vocab, scratch: self.0.path().to_owned() };
        let inputs = Inputs::of_document(document, None, &options)?;
        let job = MergeJob {
            method: find(&document.method).unwrap(),
            params: ParamSet::default(),
            task: None,
            dtype: None,
            not_finite: NotFinite::Error,
            shard: None,
            memory: 1 << 30,
            vocab,
            document: Some(document.clone()),
        };
        let out = self.path("out");
        if out.exists() {
            fs::remove_dir_all(&out).unwrap();
        }
        let plan = MergePlan::new(&job, &inputs, Some(&out))?;
        merge(&job, &inputs, &plan, &out, &Cancel::default(), &mut |_, _| {})?;
        let comparison = reproduce(&out, None, &[], 1 << 30, &Cancel::default(), &mut |_, _| {})?;
        assert!(comparison.is_same(), "{comparison:?}");
        let again = merge(&job, &inputs, &plan, &out, &Cancel::default(), &mut |_, _| {})?;
        assert!(again.existed);
        let hidden = fs::read_dir(self.0.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
        assert_eq!(hidden.count(), 0, "something was left behind");
        Ok(Checkpoint::open(&out)?)
    }
}

fn first(model: &Checkpoint, name: &str) -> f32 {
    model.require(name).unwrap().to_vec()[0]
}

fn assert_near(got: f32, expected: f32, what: &str) {
    assert!((got - expected).abs() < 1e-5, "{what}: {got} is not {expected}");
}

#[test]
fn layers_are_stacked_and_the_configuration_follows() {
    let world = World::new();
    let merged = world
        .merge("merge_method: passthrough\nslices:\n  - sources: [{model: base, layer_range: [0, 3]}]\n  - sources: [{model: a, layer_range: [2, 4]}]\n", None)
        .unwrap();
    for (name, expected) in [
        ("model.embed_tokens.weight", 0.0),
        ("model.layers.2.mlp.up.weight", 0.3),
        ("model.layers.3.mlp.up.weight", 1.3),
        ("model.layers.4.self_attn.q.weight", 1.45),
        ("model.norm.weight", 1.9),
        ("lm_head.weight", 1.95),
    ] {
        assert_near(first(&merged, name), expected, name);
    }
    assert_eq!(merged.tensors().len(), 13);
    let config: serde_json::Value = serde_json::from_slice(&fs::read(world.path("out/config.json")).unwrap()).unwrap();
    assert_eq!(config["num_hidden_layers"], 5);
    assert_eq!(config["layer_types"], serde_json::json!(["w", "x", "y", "y", "z"]));
    let error = world
        .merge("merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [2, 9]}]}]\n", None)
        .unwrap_err();
    assert!(error.to_string().contains("goes beyond the 4 layers"), "{error}");
}

#[test]
fn gradients_and_filters_give_every_tensor_its_own_value() {
    let world = World::new();
    let text = "merge_method: task_arithmetic\nbase_model: base\nmodels:\n  - model: a\n    parameters:\n      weight:\n        - {filter: self_attn, value: [0, 1]}\n        - value: 0.5\n  - model: b\n    parameters: {weight: [0.3, 0]}\n";
    let merged = world.merge(text, None).unwrap();
    // b − base is 2 everywhere, a − base is 1.
    for (name, base, expected) in [
        ("model.embed_tokens.weight", 0.0, 0.5 + 2.0 * 0.3),
        ("model.layers.0.mlp.up.weight", 0.1, 0.5 + 2.0 * 0.3),
        ("model.layers.1.mlp.up.weight", 0.2, 0.5 + 2.0 * 0.2),
        ("model.layers.1.self_attn.q.weight", 0.25, 1.0 / 3.0 + 2.0 * 0.2),
        ("model.layers.3.self_attn.q.weight", 0.45, 1.0),
        // The last of the gradient, where mergekit takes the first.
        ("lm_head.weight", 0.95, 0.5),
    ] {
        assert_near(first(&merged, name), base + expected, name);
    }
}

#[test]
fn slices_have_bases_and_parameters_of_their_own() {
    let world = World::new();
    let text = "merge_method: task_arithmetic\nbase_model: base\nslices:\n  - sources: [{model: base, layer_range: [0, 2]}, {model: a, layer_range: [2, 4], parameters: {weight: 0.5}}]\n\
                \x20 - sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [0, 2]}]\n    base_model: a\n    parameters: {weight: 2, lambda: 0.25}\n";
    let merged = world.merge(text, None).unwrap();
    // base layer 0 is 0.1, a's layer 2 is 1.3.
    assert_near(first(&merged, "model.layers.0.mlp.up.weight"), 0.1 + 0.5 * 1.2, "first slice");
    assert_near(first(&merged, "model.layers.2.mlp.up.weight"), 1.1 + 0.25 * 2.0, "second slice");
    assert_near(first(&merged, "lm_head.weight"), 1.95 + 0.25 * 2.0, "head");
    let missing = world.merge("merge_method: task_arithmetic\nbase_model: base\nmodels: [{model: a, parameters: {weight: {filter: mlp, value: 1}}}]\n", None);
    let message = missing.unwrap_err().to_string();
    assert!(message.contains("`lm_head.weight`: `weight (for"), "{message}");
}

#[test]
fn our_own_methods_take_gradients_too_unless_they_need_the_whole_model() {
    let world = World::new();
    let recipe = |method: &str, parameters: &str| {
        format!(
            "[[merge]]\nmethod = \"{method}\"\nbase_model = \"base\"\nmodels = [{{ model = \"a\" }}, {{ model = \"b\" }}]\nparameters = {parameters}\n"
        )
    };
    let merged =
        world.merge_document(&world.document(&recipe("magmax", "{ scaling = [0.0, 1.0] }"), "r.toml"), None).unwrap();
    assert_near(first(&merged, "model.layers.0.mlp.up.weight"), 0.1, "nothing in the first layer");
    assert_near(first(&merged, "model.layers.3.mlp.up.weight"), 2.4, "all in the last");
    for method in ["ties", "doge_ta"] {
        let document = world.document(&recipe(method, "{ scaling = [0.01, 1.0] }"), "r.toml");
        let error = world.merge_document(&document, None).unwrap_err().to_string();
        assert!(error.contains("whole model"), "{method}: {error}");
        let uniform = world.document(&recipe(method, "{ scaling = 0.1 }"), "r.toml");
        assert!(world.merge_document(&uniform, None).is_ok(), "{method}");
    }
}

#[test]
fn modules_are_merged_by_themselves() {
    let world = World::new();
    for (name, mark) in [("base", 0.0), ("a", 1.0)] {
        let mut tensors = model(mark, 2, 3);
        let vision = model(mark + 10.0, 3, 3).into_iter().filter(|tensor| tensor.name.contains(".layers."));
        tensors.extend(vision.map(|tensor| Tensor { name: tensor.name.replace("model.", "vision_tower."), ..tensor }));
        world.write(name, tensors);
    }
    let text = |more: &str| {
        format!(
            "merge_method: task_arithmetic\nbase_model: base\nmodules:\n  text_decoder:\n    models: [{{model: a, parameters: {{weight: 0.5}}}}]\n{more}"
        )
    };
    let vision = "  vision_tower:\n    slices:\n      - sources: [{model: base, layer_range: [0, 2]}, {model: a, layer_range: [1, 3]}]\n    parameters: {weight: 1}\n";
    let merged = world.merge(&text(vision), None).unwrap();
    assert_near(first(&merged, "model.layers.1.mlp.up.weight"), 0.7, "text");
    assert_near(first(&merged, "vision_tower.layers.1.mlp.up.weight"), 11.3, "vision");
    assert!(merged.get("vision_tower.layers.2.mlp.up.weight").is_none());
    let error = world.merge(&text(""), None).unwrap_err().to_string();
    assert!(error.contains("belongs to the module `vision_tower`, which is not named"), "{error}");
    let flat = world
        .merge("merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 1]}]}]\n", None)
        .unwrap_err()
        .to_string();
    assert!(flat.contains("several stacks of layers: model.layers, vision_tower.layers"), "{flat}");
}

const TWO: &str = "merge_method: linear\nmodels: [{model: a, parameters: {weight: [0.5, 0.5]}}, {model: wide, parameters: {weight: 0.5}}]\n";

#[test]
fn vocabularies_of_different_sizes_need_a_word() {
    let world = World::new();
    let error = world.merge(TWO, None).unwrap_err();
    assert_eq!(error.to_string(), "vocabularies of different sizes: `lm_head.weight` has 3 rows in a and 5 in wide");
    for option in ["truncate", "union", "backbone"] {
        assert!(error.hint().contains(option));
    }
    let rows = |merged: &Checkpoint| merged.require("lm_head.weight").unwrap().info.shape[0];
    let cut = world.merge(TWO, Some(Vocab::Truncate)).unwrap();
    assert_eq!(rows(&cut), 3);
    assert_near(first(&cut, "model.embed_tokens.weight"), 2.0, "mean of both");
    let backbone = world.merge(TWO, Some(Vocab::Backbone)).unwrap();
    assert_eq!(rows(&backbone), 3);
    assert_near(first(&backbone, "model.embed_tokens.weight"), 1.0, "the first's");
    assert_near(first(&backbone, "model.layers.0.mlp.up.weight"), 2.1, "merged");
    let union = world.merge(TWO, Some(Vocab::Union)).unwrap();
    assert_eq!(rows(&union), 5);
    let values = union.require("model.embed_tokens.weight").unwrap().to_vec();
    assert_near(values[0], 2.0, "in both");
    assert_near(values[8], 3.004, "in one alone");
    // The same through the command line's way.
    let places = [world.path("a").display().to_string(), world.path("wide").display().to_string()];
    assert!(matches!(Inputs::open(None, &places), Err(EngineError::Vocabulary { .. })));
    let options = Options { vocab: Some(Vocab::Backbone), scratch: world.0.path().to_owned() };
    assert_eq!(Inputs::open_with(None, &places, &options).unwrap().pool.reference().unwrap().tensors().len(), 9);
}

#[test]
fn tokens_are_matched_by_what_they_are_and_not_by_their_numbers() {
    let world = World::new();
    world.tokens("a", &["x", "y", "z"]);
    world.tokens("wide", &["z", "x", "new", "y", "more"]);
    let error = world.merge(TWO, Some(Vocab::Truncate)).unwrap_err().to_string();
    assert!(error.contains("token 0 is `x` in a and `z` in wide"), "{error}");
    let union = world.merge(TWO, Some(Vocab::Union)).unwrap();
    let values = union.require("model.embed_tokens.weight").unwrap().to_vec();
    // x is row 0 of a (1.000) and row 1 of wide (3.001).
    assert_near(values[0], 2.0005, "x");
    assert_near(values[2 * 2], 2.001, "z");
    assert_near(values[3 * 2], 3.002, "new");
    let json: serde_json::Value = serde_json::from_slice(&fs::read(world.path("out/tokenizer.json")).unwrap()).unwrap();
    let added: Vec<(&str, u64)> = json["added_tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| (token["content"].as_str().unwrap(), token["id"].as_u64().unwrap()))
        .collect();
    assert_eq!(added, [("new", 3), ("more", 4)]);
    let base = world.merge(&format!("{TWO}tokenizer_source: wide\n"), None).unwrap();
    let values = base.require("lm_head.weight").unwrap().to_vec();
    assert_near(values[0], 2.951, "z is the first of wide");
    assert_near(values[2 * 2], 3.952, "new");
    let both = world.merge(&format!("{TWO}tokenizer_source: union\n"), Some(Vocab::Union)).unwrap_err().to_string();
    assert!(both.contains("--vocab is given"), "{both}");
}

#[test]
fn a_record_that_no_reader_would_have_accepted_is_an_error() {
    let world = World::new();
    let text =
        "merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 2]}]}]\ntokenizer_source: base\n";
    world.tokens("a", &["x", "y", "z"]);
    let good = world.document(text, "m.yml");
    assert!(world.merge_document(&good, None).is_ok());
    for range in [Some((3, 1)), Some((2, 2)), Some((0, usize::MAX)), Some((usize::MAX, usize::MAX - 1))] {
        let mut bad = good.clone();
        bad.slices[0].sources[0].layer_range = range;
        assert!(world.merge_document(&bad, None).is_err(), "{range:?}");
    }
    let mut bad = good.clone();
    bad.tokenizer.as_mut().unwrap().pad_to_multiple_of = Some(0);
    assert!(world.merge_document(&bad, None).is_ok(), "no padding");
    bad.slices[0].sources.clear();
    assert!(world.merge_document(&bad, None).is_err(), "nothing to merge");
    bad.slices.clear();
    assert!(world.merge_document(&bad, None).is_err(), "no slices");
}

#[test]
fn chat_templates_are_written_or_chosen() {
    let world = World::new();
    for (name, template) in [("base", "{{ one }}"), ("a", "{{ two }}"), ("b", "{{ two }}")] {
        let json = serde_json::json!({"chat_template": template, "other": 1});
        fs::write(world.path(name).join("tokenizer_config.json"), json.to_string()).unwrap();
    }
    let text = |template: &str| {
        format!(
            "merge_method: task_arithmetic\nbase_model: base\nmodels: [{{model: a}}, {{model: b}}]\nparameters: {{weight: 0.5}}\nchat_template: \"{template}\"\n"
        )
    };
    for (given, expected) in [("auto", "{{ two }}"), ("{{ mine }}", "{{ mine }}")] {
        world.merge(&text(given), None).unwrap();
        assert_eq!(fs::read_to_string(world.path("out/chat_template.jinja")).unwrap(), expected);
        let config = fs::read_to_string(world.path("out/tokenizer_config.json")).unwrap();
        assert!(config.contains("other") && !config.contains("chat_template"), "{config}");
    }
}
