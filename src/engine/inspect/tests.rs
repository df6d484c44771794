//! Small models on disk, looked into and compared; every alarm once, and none where nothing is wrong.

use super::*;
use crate::cancel::Cancel;
use crate::engine::EngineError;
use crate::weights::{DType, Data, StateDict, Tensor, Tied, write_safetensors};
use crate::zoo::Zoo;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct World(TempDir);

impl World {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, tensors: Vec<Tensor>) {
        write_safetensors(&self.path(name).join("model.safetensors"), &StateDict::new(tensors), &BTreeMap::new())
            .unwrap();
    }

    fn file(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn diff(&self, experts: &[&str]) -> Diff {
        let experts: Vec<String> = experts.iter().map(|name| self.text(name)).collect();
        run(&Models::open(&self.text("base"), &experts).unwrap(), true)
    }
}

fn run(models: &Models, ranks: bool) -> Diff {
    let mut folded = Diff::default();
    let result = diff(models, ranks, &Cancel::default(), &mut |step| folded.apply(&step)).unwrap();
    assert_eq!(folded, result, "what is told step by step is the whole");
    result
}

fn look(given: &str, filter: Option<&str>, stats: bool) -> Inspection {
    inspect(given, filter, stats, &Cancel::default(), &mut |_, _| {}).unwrap()
}

/// Numbers that look random, another sequence for every name and seed.
fn noise(name: &str, seed: u64, n: usize) -> Vec<f32> {
    let mut state = name.bytes().fold(seed + 1, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

fn tensor(name: &str, shape: &[usize], values: Vec<f32>) -> Tensor {
    Tensor { name: name.to_owned(), shape: shape.to_vec(), dtype: DType::F32, data: Data::Float(values) }
}

const SHAPES: &[(&str, &[usize])] = &[
    ("model.embed_tokens.weight", &[40, 16]),
    ("model.layers.0.fc.weight", &[24, 16]),
    ("model.layers.0.norm.weight", &[16]),
    ("model.layers.1.fc.weight", &[24, 16]),
    ("model.layers.1.norm.weight", &[16]),
    ("model.norm.weight", &[16]),
];

/// A model: noise for matrices, ones for norms; `step` of other noise is added to all.
fn model(seed: u64, step: f32, direction: u64) -> Vec<Tensor> {
    let make = |(name, shape): &(&str, &[usize])| {
        let n = shape.iter().product();
        let start = if shape.len() > 1 { noise(name, seed, n) } else { vec![1.0; n] };
        let moves = noise(name, 1000 + direction, n);
        tensor(name, shape, start.iter().zip(moves).map(|(x, d)| x + step * d).collect())
    };
    SHAPES.iter().map(make).collect()
}

/// A base and two experts fine-tuned from it.
fn family() -> World {
    let world = World::new();
    world.write("base", model(0, 0.0, 0));
    world.write("a", model(0, 0.1, 1));
    world.write("b", model(0, 0.1, 2));
    world
}

fn change(tensors: &mut [Tensor], name: &str, how: impl FnOnce(&mut Vec<f32>)) {
    let found = tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
    if let Data::Float(values) = &mut found.data {
        how(values);
    }
}

fn found(diff: &Diff) -> Vec<(Severity, Kind, &str)> {
    diff.alarms.iter().map(|alarm| (alarm.severity, alarm.kind, alarm.models[0].as_str())).collect()
}

#[test]
fn names_that_end_with_a_layers_number_are_names() {
    let world = World::new();
    world.write("odd", ["h.0", "h.1", "h.é"].map(|name| tensor(name, &[2], vec![1.0, 2.0])).into());
    let found = look(&world.text("odd"), None, true);
    assert_eq!(found.blocks.iter().map(|block| block.tensors).sum::<usize>(), 3);
}

#[test]
fn fine_tuned_models_raise_no_alarm_and_have_the_measures_that_they_were_made_with() {
    let diff = family().diff(&["a", "b"]);
    assert_eq!(diff.alarms, []);
    assert_eq!((&diff.experts[..], diff.left_out.len()), (&["a".to_owned(), "b".to_owned()][..], 0));
    let names: Vec<&str> = diff.blocks.iter().map(|block| block.name.as_str()).collect();
    assert_eq!(names, ["embeddings", "layer 0", "layer 1", "head"]);
    let whole = &diff.whole;
    assert_eq!((whole.tensors, whole.parameters), (6, 40 * 16 + 2 * 24 * 16 + 3 * 16));
    // Noise of the same kind, a tenth as large: the norms of ones are what it is not a tenth of.
    for expert in &diff.blocks[0].experts {
        assert!((expert.relative - 0.1).abs() < 0.01 && expert.changed == 1.0, "{expert:?}");
        assert!(expert.cosine_to_base > 0.99);
    }
    assert!(whole.cosine[0][1].abs() < 0.1 && (whole.pair_conflict - 0.5).abs() < 0.05, "{whole:?}");
    assert_eq!(whole.conflict, whole.pair_conflict);
    let rank = diff.blocks[1].experts[0].rank.unwrap();
    assert_eq!((rank.full, rank.estimated), (16.0, false));
    assert!((12.0..16.0).contains(&rank.rank), "{rank:?}");
    let sum: f64 = diff.blocks.iter().map(|block| block.experts[0].rank.unwrap().rank).sum();
    assert!((whole.experts[0].rank.unwrap().rank - sum).abs() < 1e-9);
    // The head is one vector: no matrix, no rank.
    assert_eq!(diff.blocks[3].experts[0].rank.unwrap().share(), None);
}

#[test]
fn other_ancestors_are_told_from_relatives() {
    let world = family();
    world.write("stranger", model(77, 0.0, 0));
    world.write("cousin", model(0, 1.3, 5));
    let mut patched = model(0, 0.1, 1);
    change(&mut patched, "model.layers.1.fc.weight", |values| *values = noise("other", 3, values.len()));
    world.write("patched", patched);
    let diff = world.diff(&["a", "stranger", "cousin", "patched"]);
    let expected = [
        (Severity::Error, Kind::Ancestor, "stranger"),
        (Severity::Warning, Kind::Ancestor, "cousin"),
        (Severity::Warning, Kind::Ancestor, "patched"),
    ];
    assert_eq!(found(&diff), expected);
    assert!(diff.alarms[0].text.contains("not fine-tuned from this base"), "{}", diff.alarms[0].text);
    assert_eq!(diff.alarms[2].tensors, ["model.layers.1.fc.weight"]);
}

#[test]
fn broken_dead_and_doubled_models_are_found() {
    let world = family();
    let mut broken = model(0, 0.1, 1);
    change(&mut broken, "model.layers.0.fc.weight", |values| (values[3], values[9]) = (f32::NAN, f32::INFINITY));
    world.write("broken", broken);
    let mut dead = model(0, 0.1, 3);
    change(&mut dead, "model.layers.1.fc.weight", |values| values.fill(0.0));
    world.write("dead", dead);
    world.write("twin", model(0, 0.1, 2));
    world.write("copy", model(0, 0.0, 0));
    let diff = world.diff(&["b", "broken", "dead", "twin", "copy"]);
    let expected = [
        (Severity::Error, Kind::NotFinite, "broken"),
        (Severity::Warning, Kind::Dead, "dead"),
        (Severity::Warning, Kind::Duplicate, "twin"),
        (Severity::Warning, Kind::Duplicate, "copy"),
    ];
    assert_eq!(found(&diff), expected);
    assert_eq!(diff.alarms[0].tensors, ["model.layers.0.fc.weight"]);
    assert_eq!((&diff.alarms[2].models[1], &diff.alarms[3].models[1]), (&"b".to_owned(), &"base".to_owned()));
    // One NaN does not take the numbers of everybody with it.
    assert!(diff.blocks[1].experts.iter().all(|expert| expert.norm.is_finite() && expert.relative < 0.2));
    assert_eq!(diff.blocks[1].experts[1].rank, Some(Rank::default()));
    assert!((diff.whole.cosine[0][3] - 1.0).abs() < 1e-12);
}

#[test]
fn what_does_not_fit_is_named_and_the_rest_is_compared() {
    let world = family();
    let mut wide = model(0, 0.1, 1);
    wide[1] = tensor("model.layers.0.fc.weight", &[24, 8], vec![0.5; 24 * 8]);
    wide.push(tensor("score.weight", &[2, 16], noise("score", 1, 32)));
    wide.retain(|tensor| tensor.name != "model.norm.weight");
    world.write("wide", wide);
    let mut grown = model(0, 0.1, 2);
    grown[0] = tensor("model.embed_tokens.weight", &[42, 16], noise("more", 1, 42 * 16));
    world.write("grown", grown);
    world.write("other", vec![tensor("conv.weight", &[8, 8], noise("conv", 1, 64))]);
    let diff = world.diff(&["a", "wide", "grown", "other"]);
    assert_eq!(
        (&diff.experts[..], &diff.left_out[..]),
        (&["a", "wide", "grown"].map(str::to_owned)[..], &["other".to_owned()][..])
    );
    let shapes: Vec<&str> = diff.alarms.iter().filter(|a| a.models == ["wide"]).map(|a| a.text.as_str()).collect();
    assert_eq!(
        shapes,
        [
            "wide: 1 tensor of the base missing: `model.norm.weight`",
            "wide: 1 tensor that the base does not have: `score.weight`",
            "wide: 1 tensor of another shape ([24, 8], the base [24, 16]): `model.layers.0.fc.weight`",
        ]
    );
    let grown: Vec<&Alarm> = diff.alarms.iter().filter(|a| a.models == ["grown"]).collect();
    assert_eq!((grown.len(), grown[0].kind, grown[0].severity), (1, Kind::Vocabulary, Severity::Error));
    assert!(grown[0].text.starts_with("grown: embeddings of 42 tokens, the base has 40"), "{}", grown[0].text);
    assert_eq!(diff.whole.tensors, 3);
    // Nobody left to compare with.
    let alone = world.diff(&["other"]);
    assert_eq!((alone.experts.len(), alone.left_out.len(), alone.whole.parameters > 0), (0, 1, true));
    assert!(alone.count(Severity::Error) > 0);
}

#[test]
fn tokenizers_and_configurations_are_compared() {
    let world = family();
    world.file("base/tokenizer.json", r#"{"model": {"vocab": {"a": 0, "b": 1}}}"#);
    world.file("base/config.json", r#"{"vocab_size": 40}"#);
    assert_eq!(world.diff(&["a"]).alarms, []);
    world.file("a/tokenizer.json", r#"{"model": {"vocab": {"a": 1, "b": 0}}}"#);
    world.file("b/tokenizer.json", r#"{"model": {"vocab": {"a": 0, "b": 1, "c": 2}}}"#);
    world.file("b/config.json", r#"{"vocab_size": 41}"#);
    let diff = world.diff(&["a", "b"]);
    let texts: Vec<&str> = diff.alarms.iter().map(|alarm| alarm.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "a: 2 tokens with other numbers than in the base",
            "b: 1 tokens added to the base's 2, 0 missing",
            "b: vocab_size is 41 in its configuration, 40 in the base's",
        ]
    );
    assert_eq!((diff.count(Severity::Error), diff.count(Severity::Warning)), (1, 2));
}

#[test]
fn heads_that_came_untied_are_noticed_and_tied_ones_are_not() {
    let world = family();
    world.file("base/config.json", r#"{"tie_word_embeddings": true}"#);
    let head = |own: bool, direction: u64| {
        let mut tensors = model(0, 0.1, direction);
        let values = tensors[0].values().unwrap().iter().map(|x| x + f32::from(u8::from(own)) / 8.0).collect();
        tensors.push(tensor("lm_head.weight", &[40, 16], values));
        tensors
    };
    world.write("stored", head(false, 1));
    world.write("untied", head(true, 2));
    assert_eq!(world.diff(&["a", "stored"]).alarms.iter().map(|a| a.kind).collect::<Vec<_>>(), [Kind::Duplicate]);
    let diff = world.diff(&["b", "stored", "untied"]);
    let tied: Vec<&Alarm> = diff.alarms.iter().filter(|alarm| alarm.kind == Kind::Tied).collect();
    assert_eq!(tied.len(), 1);
    assert!(tied[0].text.starts_with("untied: `lm_head.weight` came untied"), "{}", tied[0].text);
    let state = |name: &str| look(&world.text(name), None, false).ties.iter().map(|tie| tie.state).collect::<Vec<_>>();
    assert_eq!(
        ["base", "stored", "untied", "a"].map(state),
        [vec![Tied::Implied], vec![Tied::Stored], vec![Tied::Untied], vec![]]
    );
    world.file("untied/config.json", r#"{"tie_word_embeddings": true}"#);
    let diff = world.diff(&["untied"]);
    assert!(diff.alarms[0].text.contains("its configuration says that they are tied"), "{:?}", diff.alarms);
}

#[test]
fn the_zoo_raises_no_alarm() {
    let zoo = Zoo::embedded().unwrap();
    let diff = run(&Models::of(zoo.pool()).unwrap(), true);
    assert_eq!(diff.alarms, []);
    assert_eq!(diff.experts.len(), 8);
    let groups: Vec<&str> = zoo.pool().groups().names().iter().map(String::as_str).collect();
    assert_eq!(diff.blocks.iter().map(|block| block.name.as_str()).collect::<Vec<_>>(), groups);
    assert!(diff.blocks.iter().flat_map(|block| &block.experts).all(|expert| expert.rank.is_some()));
}

#[test]
fn a_checkpoint_tells_its_blocks_facts_and_statistics() {
    let world = family();
    world.file(
        "base/config.json",
        r#"{"model_type": "llama", "vocab_size": 40, "text_config": {"hidden_size": 16}, "x": 1}"#,
    );
    let found = look(&world.text("base"), None, false);
    assert_eq!((found.tensors.len(), found.parameters, found.bytes), (6, 1456, 4 * 1456));
    let keys: Vec<&str> = found.config.iter().map(|fact| fact.key.as_str()).collect();
    assert_eq!(keys, ["model_type", "vocab_size", "text_config.hidden_size"]);
    let blocks: Vec<_> = found.blocks.iter().map(|b| (b.name.as_str(), b.times, b.tensors, b.parameters)).collect();
    assert_eq!(blocks, [("embeddings", 1, 1, 640), ("layers 0 to 1", 2, 4, 800), ("head", 1, 1, 16)]);
    let below: Vec<&str> = found.blocks[1].members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(below, ["fc.weight", "norm.weight"]);
    assert!(found.tensors.iter().all(|tensor| tensor.stats.is_none()) && found.alarms.is_empty());
    // With statistics every block is told by itself.
    let found = look(&world.text("base"), None, true);
    assert_eq!(found.blocks.len(), 4);
    let norms = found.blocks[3].stats.unwrap();
    assert_eq!((norms.stats.mean, norms.std, norms.norm, norms.zero_share), (1.0, 0.0, 4.0, 0.0));
    let filtered = look(&world.text("base"), Some("*.norm.weight"), true);
    assert_eq!(filtered.tensors.len(), 3);
    let error = inspect(&world.text("base"), Some("fc"), false, &Cancel::default(), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, EngineError::NothingMatches { .. }) && error.hint().contains('*'), "{error}");
}

#[test]
fn what_is_wrong_with_one_checkpoint_is_found_with_statistics() {
    let world = World::new();
    let mut tensors = model(0, 0.1, 1);
    change(&mut tensors, "model.layers.0.fc.weight", |values| values[0] = f32::NEG_INFINITY);
    change(&mut tensors, "model.layers.1.fc.weight", |values| values.fill(0.25));
    world.write("m", tensors);
    assert_eq!(look(&world.text("m"), None, false).alarms, []);
    let alarms = look(&world.text("m"), None, true).alarms;
    assert_eq!(
        alarms.iter().map(|a| (a.severity, a.kind)).collect::<Vec<_>>(),
        [(Severity::Error, Kind::NotFinite), (Severity::Warning, Kind::Dead)]
    );
}

fn lora(path: &Path) {
    let matrix = |name: &str, shape: [usize; 2]| {
        tensor(
            &format!("base_model.model.model.layers.0.fc.{name}.weight"),
            &shape,
            noise(name, 9, shape[0] * shape[1]),
        )
    };
    let pair = vec![matrix("lora_A", [2, 16]), matrix("lora_B", [24, 2])];
    write_safetensors(&path.join("adapter_model.safetensors"), &StateDict::new(pair), &BTreeMap::new()).unwrap();
    let config = r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 1, "target_modules": ["fc"], "base_model_name_or_path": "org/base"}"#;
    fs::write(path.join("adapter_config.json"), config).unwrap();
}

#[test]
fn adapters_are_looked_into_alone_and_over_their_model() {
    let world = family();
    lora(&world.path("lora"));
    let alone = look(&world.text("lora"), None, true);
    assert_eq!((alone.tensors.len(), alone.parameters), (2, 80));
    let facts = alone.adapter.unwrap();
    assert_eq!(
        (facts.kind.as_str(), facts.r, facts.alpha, facts.base.as_deref()),
        ("LORA", Some(2.0), Some(1.0), Some("org/base"))
    );
    let both = look(&format!("{}+{}", world.text("base"), world.text("lora")), None, true);
    let adapted: Vec<&str> = both.tensors.iter().filter(|t| t.adapted).map(|t| t.name.as_str()).collect();
    assert_eq!(adapted, ["model.layers.0.fc.weight"]);
    let plain = look(&world.text("base"), None, true);
    assert_ne!(plain.tensors[1].stats, both.tensors[1].stats);
    // As an expert it changes one tensor in two directions.
    let diff = world.diff(&["lora"]);
    assert_eq!(diff.alarms, []);
    let changed: Vec<bool> = diff.blocks.iter().map(|block| block.experts[0].changed > 0.0).collect();
    assert_eq!(changed, [false, true, false, false]);
    let rank = diff.blocks[1].experts[0].rank.unwrap().rank;
    assert!((1.0..=2.01).contains(&rank), "{rank}");
}

#[test]
fn merged_checkpoints_say_how_they_were_made() {
    use crate::engine::merge::{Inputs, MergeJob, MergePlan, NotFinite, merge};
    let world = family();
    let inputs = Inputs::open(Some(&world.text("base")), &[world.text("a"), world.text("b")]).unwrap();
    let method = crate::fusion::find("task_arithmetic").unwrap();
    let params = crate::params::ParamSet::defaults(method.specs);
    let job = MergeJob {
        task: None,
        method,
        params,
        dtype: None,
        not_finite: NotFinite::Error,
        shard: None,
        memory: 1 << 30,
        vocab: None,
        document: None,
    };
    let plan = MergePlan::new(&job, &inputs, None).unwrap();
    merge(&job, &inputs, &plan, &world.path("out"), &Cancel::default(), &mut |_, _| {}).unwrap();
    let found = look(&world.text("out"), None, false);
    let origin = found.origin.unwrap();
    assert_eq!((origin.method.as_str(), origin.params["scaling"].as_f64()), ("task_arithmetic", Some(0.3)));
    let names: Vec<&str> = origin.parents.iter().map(|parent| parent.name.as_str()).collect();
    assert_eq!(names, ["base", "a", "b"]);
    assert!(origin.parents.iter().all(|p| p.from.as_ref().unwrap().starts_with('/') && p.fingerprint.len() == 32));
    assert_eq!(found.metadata.keys().map(String::as_str).collect::<Vec<_>>(), ["format"]);
}

#[test]
fn a_comparison_can_be_stopped() {
    let world = family();
    let models = Models::open(&world.text("base"), &[world.text("a")]).unwrap();
    let cancel = Cancel::default();
    cancel.cancel();
    assert!(diff(&models, true, &cancel, &mut |_| {}).unwrap_err().is_cancelled());
    // Once more while it is going on.
    let cancel = Cancel::default();
    let stop = &mut |step| {
        if matches!(step, Step::Block { at: 1, .. }) {
            cancel.cancel();
        }
    };
    assert!(diff(&models, true, &cancel, stop).unwrap_err().is_cancelled());
}
