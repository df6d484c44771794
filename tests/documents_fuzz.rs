//! Recipes that nobody has thought of: mutations of real ones and plain noise, through every reader and writer.
//!
//! `FUSEBENCH_FUZZ_SECONDS=3600 cargo test --test documents_fuzz` goes on for that long; what fails is printed whole.
//! `FUSEBENCH_FUZZ_FORM=mergekit` or `fusionbench` starts from documents of that program only, `FUSEBENCH_FUZZ_SEED=1` from
//! another round.

use fusebench::engine::document::{Loaded, to_mergekit};
use fusebench::engine::merge::{Inputs, MergeJob, MergePlan, NotFinite, Options};
use fusebench::fusion::find;
use fusebench::params::ParamSet;
use fusebench::weights::{DType, Data, StateDict, Tensor, write_safetensors};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What is mutated: every form that is read.
const CORPUS: &[&str] = &[
    "merge_method: ties\nbase_model: base\nmodels:\n  - model: a\n    parameters: {weight: 0.5, density: [1, 0.5]}\n  - model: b\n    parameters:\n      weight:\n        - filter: mlp\n          value: [0, 0.3, 1]\n        - value: 0.1\nparameters: {normalize: true, int8_mask: true, lambda: 0.9}\ndtype: bfloat16\n",
    "slices:\n  - sources:\n      - {model: a, layer_range: [0, 2]}\n      - {model: b, layer_range: [1, 3]}\n  - sources: [{model: b, layer_range: [0, 1]}, {model: a, layer_range: [2, 3]}]\n    parameters: {t: 0.2}\nmerge_method: slerp\nbase_model: a\nparameters:\n  t:\n    - {filter: self_attn, value: [0, 0.5, 1]}\n    - value: 0.5\n",
    "merge_method: passthrough\nslices:\n  - sources: [{model: a, layer_range: [0, 3]}]\n  - sources: [{model: b, layer_range: [1, 3], parameters: {scale: [{filter: mlp, value: 0}, {value: 1}]}}]\n",
    "name: first\nmerge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: 2}}]\n---\nmerge_method: task_arithmetic\nbase_model: base\nmodels: [{model: first, parameters: {weight: 0.3}}]\ntokenizer_source: union\n",
    "merge_method: nuslerp\nmodules:\n  text_decoder:\n    models: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: 2}}]\n    parameters: {}\nparameters: {nuslerp_flatten: false, nuslerp_row_wise: true}\ntokenizer: {source: base, tokens: {x: {source: {kind: zero}}, y: {source: {kind: model_token, model: a, token: z}, force: true}}, pad_to_multiple_of: 4}\nchat_template: auto\n",
    "method:\n  _target_: fusion_bench.method.TiesMergingAlgorithm\n  scaling_factor: 0.3\n  threshold: 20\n  remove_keys: []\n  merge_func: sum\nmodelpool:\n  _target_: fusion_bench.modelpool.CLIPVisionModelPool\n  _recursive_: false\n  root: base\n  models:\n    _pretrained_: ${..root}\n    x: a\n    y: {_target_: transformers.CLIPVisionModel.from_pretrained, pretrained_model_name_or_path: b}\n  model_kwargs: {torch_dtype: bfloat16}\n",
    "method: {name: task_arithmetic, scaling_factor: 0.2}\nmodelpool:\n  type: clip_vision\n  models:\n    - {name: _pretrained_, path: base}\n    - {name: x, path: a}\n",
    "method: {_target_: DepthUpscalingAlgorithm, layer_indices: [0, \"range(0,2)\", 1]}\nmodelpool: {models: {_pretrained_: a}}\n",
    "method: {_target_: SingularValueCalibrationWithBaseMethod, alpha: 0.1, base_method: {_target_: TiesMergingAlgorithm}}\nmodelpool: {models: {_pretrained_: base, x: a}}\n",
    "method: {_target_: TallMaskTaskArithmeticAlgorithm, tall_mask_lambda: 0.4, debug: 0}\nmodelpool: {models: {_pretrained_: base, x: a}}\n",
    "base_model: base\ngate_mode: random\ndtype: bfloat16\nexperts_per_token: 2\nexperts:\n  - source_model: a\n    positive_prompts: [\"x\"]\n  - {source_model: b, noise_scale: 0, residual_scale: 1.0}\n  - source_model: a\n",
];

/// Whether mutations start from a document: from all of them, or from one program's.
fn starts(text: &str) -> bool {
    match std::env::var("FUSEBENCH_FUZZ_FORM").as_deref() {
        Ok("fusionbench") => text.contains("modelpool"),
        Ok("mergekit") => !text.contains("modelpool"),
        _ => true,
    }
}

/// What is put in: hostile YAML, numbers at the edge, other documents' words.
const PIECES: &[&str] = &[
    "&a ",
    "*a",
    "!!python/object/apply:os.system [ls]",
    "!!int ",
    "<<: ",
    "[[[[[[[[",
    "{{{{",
    "]",
    "}",
    ": ",
    "- ",
    "---\n",
    "\n",
    "\t",
    "\u{feff}",
    "\0",
    "\u{2028}",
    "1e999",
    "-1e308",
    ".nan",
    ".inf",
    "0x7fffffffffffffff",
    "99999999999999999999",
    "-0",
    "1_000",
    "null",
    "~",
    "yes",
    "\"",
    "'",
    "|\n",
    ">\n",
    "# ",
    "%YAML 1.1\n",
    "? ",
    "${..models}",
    "${.x}",
    "???",
    "defaults: [x]\n",
    "models: ",
    "slices: ",
    "modules: ",
    "parameters: ",
    "layer_range: [0, 3]",
    "weight: ",
    "filter: ",
    "value: ",
    "base_model: ",
    "a+b@c",
    "λ",
    "merge_method: della\n",
    "_target_: WUDIMerging\n",
    "[0, 1, 2]",
    "{value: 1}",
    "range(0,9999999)",
];

#[derive(Debug, Clone)]
enum Change {
    Cut(usize, usize),
    Put(usize, usize),
    Noise(usize, String),
    Double(usize, usize),
    Byte(usize, char),
    Splice(usize, usize, usize),
    SwapLines(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = || 0usize..4096;
    prop_oneof![
        (at(), 1usize..40).prop_map(|(a, b)| Change::Cut(a, b)),
        (at(), 0..PIECES.len()).prop_map(|(a, b)| Change::Put(a, b)),
        (at(), ".{0,12}").prop_map(|(a, b)| Change::Noise(a, b)),
        (at(), 1usize..200).prop_map(|(a, b)| Change::Double(a, b)),
        (at(), any::<char>()).prop_map(|(a, b)| Change::Byte(a, b)),
        (at(), 0..CORPUS.len(), at()).prop_map(|(a, b, c)| Change::Splice(a, b, c)),
        (at(), at()).prop_map(|(a, b)| Change::SwapLines(a, b)),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let corpus: Vec<&str> = CORPUS.iter().copied().filter(|text| starts(text)).collect();
    let mutated = (0..corpus.len(), prop::collection::vec(change(), 0..8))
        .prop_map(move |(at, changes)| changed(corpus[at], &changes));
    prop_oneof![9 => mutated, 1 => "(?s).{0,300}", 1 => "[\\[\\]{}:,\\-?!&*#|> \n\ta-c0-9\"'%@`]{0,300}"]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for change in changes {
        let length = chars.len().max(1);
        let end = chars.len();
        let clip = |at: usize| (at % length).min(end);
        match change {
            Change::Cut(at, count) => drop(chars.drain(clip(*at)..(clip(*at) + count).min(chars.len())).count()),
            Change::Put(at, piece) => insert(&mut chars, clip(*at), PIECES[*piece]),
            Change::Noise(at, noise) => insert(&mut chars, clip(*at), noise),
            Change::Double(at, count) => {
                let piece: String = chars[clip(*at)..(clip(*at) + count).min(chars.len())].iter().collect();
                insert(&mut chars, clip(*at), &piece);
            }
            Change::Byte(at, char) => {
                let at = clip(*at);
                if at < chars.len() {
                    chars[at] = *char;
                }
            }
            Change::Splice(at, other, from) => {
                let other: Vec<char> = CORPUS[*other].chars().collect();
                let tail: String = other[from % other.len()..].iter().collect();
                let at = clip(*at);
                chars.truncate(at);
                insert(&mut chars, at, &tail);
            }
            Change::SwapLines(a, b) => {
                let text: String = chars.iter().collect();
                let mut lines: Vec<&str> = text.lines().collect();
                if !lines.is_empty() {
                    let (a, b) = (a % lines.len(), b % lines.len());
                    lines.swap(a, b);
                }
                chars = lines.join("\n").chars().collect();
            }
        }
    }
    chars.into_iter().collect()
}

fn insert(chars: &mut Vec<char>, at: usize, piece: &str) {
    let tail = chars.split_off(at);
    chars.extend(piece.chars());
    chars.extend(tail);
}

/// Models that documents may turn out to fit.
struct World(TempDir);

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (seed, name) in ["base", "a", "b"].iter().enumerate() {
            let tensor = |name: &str, rows: usize| Tensor {
                name: name.to_owned(),
                shape: vec![rows, 2],
                dtype: DType::F32,
                data: Data::Float((0..rows * 2).map(|at| (at + seed) as f32 / 7.0).collect()),
            };
            let mut tensors = vec![
                tensor("model.embed_tokens.weight", 3),
                tensor("model.norm.weight", 1),
                tensor("lm_head.weight", 3),
            ];
            for layer in 0..3 {
                tensors.push(tensor(&format!("model.layers.{layer}.mlp.weight"), 2));
                tensors.push(tensor(&format!("model.layers.{layer}.self_attn.weight"), 2));
            }
            let path = folder.path().join(name).join("model.safetensors");
            write_safetensors(&path, &StateDict::new(tensors), &BTreeMap::new()).unwrap();
            let tokens = serde_json::json!({"added_tokens": [], "model": {"vocab": {"x": 0, "y": 1, "z": 2}}});
            std::fs::write(folder.path().join(name).join("tokenizer.json"), tokens.to_string()).unwrap();
        }
        Self(folder)
    }

    /// Plans the merge of a document on models that are there.
    fn plan(&self, loaded: &Loaded) {
        for document in &loaded.documents {
            let mut document = document.clone();
            let mut known = true;
            document.map_references(&mut |reference| {
                known &= ["base", "a", "b"].contains(&reference.as_str());
                *reference = self.0.path().join(&*reference).display().to_string();
            });
            if !known {
                continue;
            }
            let options = Options { vocab: None, scratch: self.0.path().to_owned() };
            let Ok(inputs) = Inputs::of_document(&document, None, &options) else { continue };
            let Ok(method) = find(&document.method) else { continue };
            let (params, document) = (ParamSet::default(), Some(document));
            let job = MergeJob {
                method,
                params,
                task: None,
                dtype: None,
                not_finite: NotFinite::Keep,
                shard: None,
                memory: 1 << 30,
                vocab: None,
                document,
            };
            let _ = MergePlan::new(&job, &inputs, None);
        }
    }
}

/// Nothing panics or takes long; what is accepted reads back the same from every form that it is written in.
fn hold(text: &str, world: &World) -> Result<bool, TestCaseError> {
    let start = Instant::now();
    let loaded = match Loaded::parse(text, "fuzz.yml") {
        Ok(loaded) => loaded,
        Err(error) => {
            prop_assert!(!error.message.is_empty());
            let _ = Loaded::parse(text, "fuzz.toml");
            prop_assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
            return Ok(false);
        }
    };
    let recipe = loaded.to_recipe();
    let again = Loaded::parse(&recipe, "again.toml");
    prop_assert!(again.is_ok(), "{}\n{recipe}", again.as_ref().err().map(ToString::to_string).unwrap_or_default());
    prop_assert_eq!(&again.unwrap().documents, &loaded.documents, "{}", recipe);
    if let Ok(yaml) = to_mergekit(&loaded.documents) {
        let back = Loaded::parse(&yaml, "back.yml");
        prop_assert!(back.is_ok(), "{}\n{yaml}", back.as_ref().err().map(ToString::to_string).unwrap_or_default());
        let documents = back.unwrap().documents;
        prop_assert_eq!(to_mergekit(&documents).ok(), Some(yaml));
    }
    world.plan(&loaded);
    prop_assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    Ok(true)
}

#[test]
fn no_recipe_is_too_strange() {
    let world = World::new();
    for text in CORPUS {
        let held = hold(text, &world);
        assert!(matches!(held, Ok(true)), "{text}{held:?}");
    }
    let seconds: Option<u64> = std::env::var("FUSEBENCH_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let start = Instant::now();
    let seed: Option<u64> = std::env::var("FUSEBENCH_FUZZ_SEED").ok().and_then(|text| text.parse().ok());
    let (mut round, mut cases, mut accepted) = (seed.unwrap_or_default() << 32, 0u64, 0u64);
    loop {
        // The same cases every time, and others in every round.
        let mut seed = [7u8; 32];
        seed[..8].copy_from_slice(&round.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let config = Config { cases: 2000, failure_persistence: None, ..Config::default() };
        let counted = std::cell::Cell::new((0u64, 0u64));
        let result = TestRunner::new_with_rng(config, rng).run(&text(), |text| {
            let ok = hold(&text, &world)?;
            let (cases, accepted) = counted.get();
            counted.set((cases + 1, accepted + u64::from(ok)));
            Ok(())
        });
        if let Err(error) = result {
            panic!("round {round}: {error}");
        }
        cases += counted.get().0;
        accepted += counted.get().1;
        round += 1;
        if seconds.is_none_or(|seconds| start.elapsed() >= Duration::from_secs(seconds)) {
            break;
        }
    }
    println!("{cases} documents, {accepted} of them accepted");
    assert!(
        accepted * 50 > cases,
        "only {accepted} of {cases} were recipes: the mutations are too wild to find anything"
    );
}
