//! The safetensors reader, the index of a sharded folder, and adapters.

use crate::fuzz;
use fusebench::cancel::Cancel;
use fusebench::engine::inspect::inspect;
use fusebench::weights::{Checkpoint, DType, Data, Source, StateDict, Tensor, write_safetensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "\"dtype\":",
    "\"shape\":[",
    "\"data_offsets\":[",
    "\"F32\"",
    "\"F16\"",
    "\"BF16\"",
    "\"F64\"",
    "\"F8_E4M3\"",
    "\"F8_E5M2\"",
    "\"I64\"",
    "\"BOOL\"",
    "\"C64\"",
    "__metadata__",
    "weight_scale",
    "weight_map",
    "lora_A",
    "lora_B",
    "\"r\":",
    "\"lora_alpha\":",
    "\"rank_pattern\":{",
    "../",
    "\u{1b}[2J",
    "\u{0}",
];

fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..data).map(|at| (at * 37) as u8));
    bytes
}

/// Some mutants with the true length of their header before it: the rest would all end at the first check.
fn relength(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() > 9
        && bytes.len().is_multiple_of(2)
        && let Some(end) = bytes.windows(2).rposition(|pair| pair == b"}}")
        && end > 7
    {
        bytes[..8].copy_from_slice(&(end as u64 + 2 - 8).to_le_bytes());
    }
    bytes
}

/// Reads everything that a merge would read.
fn read_all(checkpoint: &Checkpoint) {
    let loaded = StateDict::load(checkpoint);
    assert_eq!(loaded.tensors().len(), checkpoint.tensors().len());
    let _ = checkpoint.check_finite();
    let _ = checkpoint.fingerprint();
}

fn corpus() -> [Vec<u8>; 7] {
    [
        file(
            r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"F16","shape":[3],"data_offsets":[16,22]},"n":{"dtype":"I64","shape":[],"data_offsets":[22,30]}}"#,
            30,
        ),
        file(
            r#"{"w":{"dtype":"F8_E4M3","shape":[3,1],"data_offsets":[0,3]},"v":{"dtype":"F64","shape":[2],"data_offsets":[3,19]},"e":{"dtype":"BF16","shape":[0,7],"data_offsets":[19,19]}}"#,
            19,
        ),
        file(r#"{"x":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]}}"#, 4),
        file("{}", 0),
        b"PK\x03\x04archive/data.pkl".to_vec(),
        b"\x80\x02}q\x00.".to_vec(),
        file(
            r#"{"h.0.w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"h.1.w":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},"encoder.layers.2":{"dtype":"F16","shape":[1],"data_offsets":[16,18]}}"#,
            18,
        ),
    ]
}

#[test]
fn safetensors() {
    fuzz("safetensors", &corpus(), WORDS, |bytes| {
        let source = Source::Owned(relength(bytes).into());
        match Checkpoint::from_source("fuzz.safetensors", source) {
            Ok(checkpoint) => read_all(&checkpoint),
            Err(error) => assert!(error.to_string().contains("fuzz.safetensors") && !error.hint().is_empty()),
        }
    });
}

#[test]
fn inspected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let given = path.display().to_string();
    fuzz("inspect", &corpus(), WORDS, |bytes| {
        fs::write(&path, relength(bytes)).unwrap();
        let _ = inspect(&given, None, true, &Cancel::default(), &mut |_, _| {});
    });
}

fn weights(path: &Path, tensors: &[(&str, &[usize])]) {
    let tensor = |&(name, shape): &(&str, &[usize])| {
        let values = (0..shape.iter().product()).map(|at: usize| at as f32 / 8.0).collect();
        Tensor { name: name.to_owned(), shape: shape.to_vec(), dtype: DType::F32, data: Data::Float(values) }
    };
    let weights = StateDict::new(tensors.iter().map(tensor).collect());
    write_safetensors(path, &weights, &BTreeMap::new()).unwrap();
}

#[test]
fn index_of_shards() {
    let folder = tempfile::tempdir().unwrap();
    weights(&folder.path().join("model-00001-of-00002.safetensors"), &[("a.weight", &[2, 3]), ("b", &[4])]);
    weights(&folder.path().join("model-00002-of-00002.safetensors"), &[("c.weight", &[3])]);
    let corpus = [
        br#"{"metadata":{"total_size":52},"weight_map":{"a.weight":"model-00001-of-00002.safetensors","b":"model-00001-of-00002.safetensors","c.weight":"model-00002-of-00002.safetensors"}}"#.to_vec(),
        br#"{"weight_map":{}}"#.to_vec(),
    ];
    fuzz("index of shards", &corpus, WORDS, |bytes| {
        fs::write(folder.path().join("model.safetensors.index.json"), bytes).unwrap();
        if let Ok(checkpoint) = Checkpoint::open(folder.path()) {
            read_all(&checkpoint);
        }
    });
}

#[test]
fn adapters() {
    let folder = tempfile::tempdir().unwrap();
    let (base, adapter) = (folder.path().join("base.safetensors"), folder.path().join("adapter"));
    weights(&base, &[("encoder.layers.0.q_proj.weight", &[4, 6]), ("encoder.layers.0.q_proj.bias", &[4])]);
    let name = "base_model.model.encoder.layers.0.q_proj";
    let (a, b) = (format!("{name}.lora_A.weight"), format!("{name}.lora_B.weight"));
    weights(&adapter.join("adapter_model.safetensors"), &[(&a, &[2, 6]), (&b, &[4, 2])]);
    let base = Checkpoint::open(&base).unwrap();
    let corpus = [
        br#"{"peft_type":"LORA","r":2,"lora_alpha":4,"target_modules":["q_proj"],"base_model_name_or_path":"base","bias":"none"}"#.to_vec(),
        br#"{"peft_type":"LORA","r":8,"lora_alpha":4.5,"use_rslora":true,"rank_pattern":{"layers.0.q_proj":2},"alpha_pattern":{"q_proj":3},"modules_to_save":["bias"],"fan_in_fan_out":false,"use_dora":false}"#.to_vec(),
    ];
    fuzz("adapters", &corpus, WORDS, |bytes| {
        fs::write(adapter.join("adapter_config.json"), bytes).unwrap();
        if let Ok(checkpoint) = base.clone().with_adapter(&adapter) {
            read_all(&checkpoint);
        }
    });
}
