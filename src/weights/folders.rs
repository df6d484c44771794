//! Folders on disk: single, sharded, incomplete, contradictory, pickled.

use super::{Checkpoint, DType, Data, StateDict, Tensor, WeightsError, write_safetensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn shard(folder: &Path, file: &str, names: &[&str]) {
    let tensor = |(at, name): (usize, &&str)| Tensor {
        name: (*name).to_owned(),
        shape: vec![2],
        dtype: DType::F32,
        data: Data::Float(vec![at as f32, name.len() as f32]),
    };
    let tensors = names.iter().enumerate().map(tensor).collect();
    write_safetensors(&folder.join(file), &StateDict::new(tensors), &BTreeMap::new()).unwrap();
}

fn index(folder: &Path, map: &str) {
    let text = format!(r#"{{"metadata":{{"total_size":24}},"weight_map":{{{map}}}}}"#);
    fs::write(folder.join("model.safetensors.index.json"), text).unwrap();
}

const MAP: &str = r#""a":"model-1.safetensors","bb":"model-1.safetensors","ccc":"model-2.safetensors""#;

fn sharded() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    shard(folder.path(), "model-1.safetensors", &["a", "bb"]);
    shard(folder.path(), "model-2.safetensors", &["ccc"]);
    index(folder.path(), MAP);
    folder
}

fn error(folder: &Path) -> WeightsError {
    let error = Checkpoint::open(folder).unwrap_err();
    assert!(!error.hint().is_empty());
    error
}

fn message(folder: &Path) -> String {
    error(folder).to_string()
}

#[test]
fn shards_are_one_checkpoint() {
    let folder = sharded();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.tensors().len(), 3);
    assert_eq!(checkpoint.get("ccc").unwrap().to_vec(), [0.0, 3.0]);
    assert_eq!(checkpoint.get("bb").unwrap().to_vec(), [1.0, 2.0]);
    assert_eq!(checkpoint.paths().count(), 2);
    assert_eq!(checkpoint.folder(), Some(folder.path()));
    let part = checkpoint.subset(["ccc", "a", "none"]);
    assert_eq!(part.tensors().iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["ccc", "a"]);
}

#[test]
fn a_missing_shard_is_named() {
    let folder = sharded();
    fs::remove_file(folder.path().join("model-1.safetensors")).unwrap();
    let text = message(folder.path());
    assert!(text.contains("model-1.safetensors is missing: 1 of 2 shards, with 2 tensors"), "{text}");
}

#[test]
fn a_truncated_shard_is_named() {
    let folder = sharded();
    let path = folder.path().join("model-2.safetensors");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let text = message(folder.path());
    assert!(text.contains("model-2.safetensors: ") && text.contains("truncated?"), "{text}");
}

#[test]
fn an_index_that_contradicts_its_shards() {
    let folder = sharded();
    let case = |map: &str, expected: &str| {
        index(folder.path(), map);
        let text = message(folder.path());
        assert!(text.contains(expected), "{text}");
    };
    case(
        &MAP.replace(r#""ccc":"model-2"#, r#""ccc":"model-1"#),
        "`ccc` should be in model-1.safetensors but is in none",
    );
    case(&format!(r#"{MAP},"d":"model-2.safetensors""#), "`d` should be in model-2.safetensors but is in none");
    case(&format!(r#"{MAP},"a":"model-2.safetensors""#), "`a` stands twice in the index");
    case(r#""a":"../model-1.safetensors""#, "not a file of its own folder");
    case(r#""a":"/etc/passwd""#, "not a file of its own folder");
    case(r#""a":7"#, "the index cannot be read");
    shard(folder.path(), "model-2.safetensors", &["ccc", "a"]);
    case(MAP, "`a` is in both model-1.safetensors and model-2.safetensors");
}

#[test]
fn one_file_of_any_name_will_do_but_not_two() {
    let folder = tempfile::tempdir().unwrap();
    shard(folder.path(), "weights.safetensors", &["a"]);
    assert_eq!(Checkpoint::open(folder.path()).unwrap().tensors().len(), 1);
    shard(folder.path(), "more.safetensors", &["b"]);
    assert!(message(folder.path()).contains("2 safetensors files and no model.safetensors.index.json"));
}

#[test]
fn pickles_are_refused_with_the_command_that_converts_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    for magic in [&b"PK\x03\x04 zip archive of tensors"[..], b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01u."] {
        fs::write(&path, magic).unwrap();
        for named in [folder.path(), &path] {
            let error = error(named);
            assert!(matches!(&error, WeightsError::Pickle { .. }), "{error}");
            assert!(error.hint().contains("weights_only=True") && !error.hint().contains('\n'), "{}", error.hint());
        }
    }
}
