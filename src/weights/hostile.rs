//! Damaged, lying and hostile safetensors files: every one a clear message, none a panic.

use super::{Checkpoint, Source, StateDict, WeightsError};
use proptest::prelude::*;

/// A file with this header, its true length before it, and so many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..data).map(|at| at as u8));
    bytes
}

fn tensor(name: &str, dtype: &str, shape: &str, offsets: (u64, u64)) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{},{}]}}"#, offsets.0, offsets.1)
}

fn open(bytes: &[u8]) -> Result<Checkpoint, WeightsError> {
    Checkpoint::from_source("evil.safetensors", Source::Owned(bytes.into()))
}

/// The message, which must name the file and come with a hint.
fn message(bytes: &[u8]) -> String {
    let error = open(bytes).expect_err("a hostile file was accepted");
    assert!(!error.hint().is_empty());
    let text = error.to_string();
    assert!(text.starts_with("evil.safetensors: "), "{text}");
    text
}

fn valid() -> Vec<u8> {
    let tensors =
        [tensor("a", "F32", "[2,2]", (0, 16)), tensor("b", "F16", "[3]", (16, 22)), tensor("n", "I64", "[]", (22, 30))];
    file(&format!(r#"{{"__metadata__":{{"format":"pt"}},{}}}"#, tensors.join(",")), 30)
}

#[test]
fn the_valid_file_is_valid() {
    let checkpoint = open(&valid()).unwrap();
    assert_eq!(checkpoint.tensors().len(), 3);
    assert_eq!(checkpoint.parameters(), 7);
    assert_eq!(StateDict::load(&checkpoint).tensors().len(), 3);
}

#[test]
fn files_that_end_too_soon() {
    assert!(message(b"").contains("0 bytes are too few for a header"));
    assert!(message(b"1234567").contains("7 bytes are too few for a header"));
    let valid = valid();
    for length in 8..valid.len() {
        let text = message(&valid[..length]);
        assert!(text.contains("longer than the file") || text.contains("truncated?"), "{length}: {text}");
    }
}

#[test]
fn bytes_after_the_last_tensor() {
    let mut bytes = valid();
    bytes.push(0);
    assert!(message(&bytes).contains("do not add up to the file's"));
}

#[test]
fn headers_that_lie_about_their_length() {
    let lie = |length: u64| {
        let mut bytes = valid();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        message(&bytes)
    };
    for absurd in [u64::MAX, u64::MAX - 7, 1 << 63, 100_000_001] {
        assert!(lie(absurd).contains("over 100 MB"), "{absurd}");
    }
    assert!(lie(100_000_000).contains("longer than the file"));
    assert!(lie(0).contains("header cannot be read"));
    assert!(lie(5).contains("header cannot be read"));
}

#[test]
fn headers_that_are_no_json() {
    assert!(message(&file("not json", 0)).contains("header cannot be read"));
    assert!(message(&file("[1,2]", 0)).contains("header cannot be read"));
    assert!(message(&file(r#"{"a":7}"#, 0)).contains("header cannot be read"));
    assert!(message(&file(&"[".repeat(100_000), 0)).contains("header cannot be read"));
    let mut latin = file("{}", 0);
    latin[8] = 0xff;
    assert!(message(&latin).contains("UTF-8"));
}

#[test]
fn offsets_that_do_not_fit() {
    let two = |first, second, data| {
        let tensors = [tensor("a", "F32", "[1]", first), tensor("b", "F32", "[1]", second)];
        message(&file(&format!("{{{}}}", tensors.join(",")), data))
    };
    for (first, second, data) in [
        ((0, 4), (2, 6), 6),                   // overlap
        ((0, 4), (0, 4), 4),                   // the same bytes twice
        ((0, 4), (5, 9), 9),                   // gap
        ((4, 8), (8, 12), 12),                 // gap at the start
        ((0, 4), (8, 4), 8),                   // backwards
        ((u64::MAX, u64::MAX - 3), (0, 4), 8), // wraps around
    ] {
        let text = two(first, second, data);
        assert!(text.contains("overlap, leave gaps or run backwards"), "{first:?} {second:?}: {text}");
    }
    assert!(two((0, 4), (4, 8), 4).contains("truncated?"));
    let long = message(&file(&format!("{{{}}}", tensor("a", "F32", "[3]", (0, 4))), 4));
    assert!(long.contains("do not match its shape and dtype"), "{long}");
}

#[test]
fn shapes_that_overflow() {
    for shape in ["[4294967296,4294967296,4294967296]", "[18446744073709551615,2]", "[18446744073709551615]"] {
        let text = message(&file(&format!("{{{}}}", tensor("a", "F32", shape, (0, 4))), 4));
        assert!(text.contains("shape overflows"), "{shape}: {text}");
    }
    let negative = message(&file(&format!("{{{}}}", tensor("a", "F32", "[-1]", (0, 4))), 4));
    assert!(negative.contains("header cannot be read"), "{negative}");
}

#[test]
fn dtypes_that_cannot_be_read() {
    let unknown = message(&file(&format!("{{{}}}", tensor("a", "F7", "[1]", (0, 4))), 4));
    assert!(unknown.contains("F7"), "{unknown}");
    let eight = message(&file(&format!("{{{}}}", tensor("a", "F8_E8M0", "[1]", (0, 1))), 1));
    assert!(eight.contains("`a` has dtype F8_E8M0"), "{eight}");
    let scaled = [tensor("a", "F8_E4M3", "[1]", (0, 1)), tensor("a_scale_inv", "F8_E4M3", "[1]", (1, 2))];
    let scaled = message(&file(&format!("{{{}}}", scaled.join(",")), 2));
    assert!(scaled.contains("`a` is float8 with scales"), "{scaled}");
}

#[test]
fn names_that_stand_twice() {
    let tensors =
        [tensor("a", "F32", "[1]", (0, 4)), tensor("b", "F32", "[0]", (0, 0)), tensor("a", "F32", "[1]", (0, 4))];
    let text = message(&file(&format!("{{{}}}", tensors.join(",")), 4));
    assert!(text.contains("`a` stands twice"), "{text}");
}

#[test]
fn numbers_that_are_none() {
    for (value, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let mut bytes = file(&format!("{{{}}}", tensor("w", "F32", "[3]", (0, 12))), 12);
        let at = bytes.len() - 8;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let error = open(&bytes).unwrap().check_finite().unwrap_err();
        assert_eq!(error.to_string(), format!("evil.safetensors: tensor `w` holds {name} at element 1"));
    }
}

#[test]
fn paths_that_lead_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let text = |path: &std::path::Path| Checkpoint::open(path).unwrap_err().to_string();
    assert!(text(&folder.path().join("gone.safetensors")).starts_with("cannot read"));
    assert!(text(folder.path()).contains("no model.safetensors in this folder"));
    let empty = folder.path().join("empty.safetensors");
    std::fs::write(&empty, b"").unwrap();
    assert!(text(&empty).contains("0 bytes are too few"));
}

proptest! {
    /// Whatever bytes are flipped, cut out or put in: a checkpoint that can be read to its end, or an error.
    #[test]
    fn corrupted_files_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        cut_length in 0usize..4,
        insert in prop::collection::vec(any::<u8>(), 0..4),
        fix_length in any::<bool>(),
    ) {
        let mut bytes = valid();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let start = cut.index(bytes.len());
        let end = (start + cut_length).min(bytes.len());
        bytes.splice(start..end, insert);
        // Most corruptions are caught by the header's length alone: get past it half of the time.
        if fix_length && bytes.len() > 8 {
            let header = bytes.iter().rposition(|byte| *byte == b'}').map_or(0, |end| end.saturating_sub(7));
            bytes[..8].copy_from_slice(&(header as u64).to_le_bytes());
        }
        if let Ok(checkpoint) = open(&bytes) {
            let loaded = StateDict::load(&checkpoint);
            prop_assert_eq!(loaded.tensors().len(), checkpoint.tensors().len());
            let _ = checkpoint.check_finite();
        }
    }

    /// The same for headers that are valid JSON of the right form with any numbers in them.
    #[test]
    fn invented_headers_never_panic(
        tensors in prop::collection::vec((
            prop::sample::select(vec!["F32", "F16", "BF16", "F64", "I64", "BOOL", "U8", "F8_E5M2", "C64"]),
            prop::collection::vec(prop_oneof![0u64..4, any::<u64>()], 0..4),
            prop_oneof![0u64..40, any::<u64>()],
            prop_oneof![0u64..40, any::<u64>()],
        ), 0..4),
        data in 0usize..64,
    ) {
        let entry = |(at, (dtype, shape, start, end)): (usize, &(&str, Vec<u64>, u64, u64))| {
            tensor(&format!("t{at}"), dtype, &format!("{shape:?}"), (*start, *end))
        };
        let header: Vec<String> = tensors.iter().enumerate().map(entry).collect();
        if let Ok(checkpoint) = open(&file(&format!("{{{}}}", header.join(",")), data)) {
            let _ = StateDict::load(&checkpoint);
        }
    }
}
