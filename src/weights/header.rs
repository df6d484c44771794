//! Reading the header of one safetensors file: what is in it and where, everything checked before a byte is used.

use super::{DType, TensorInfo, WeightsError};
use safetensors::SafeTensors;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// The tensors of a file, in file order, and its `__metadata__`; `label` names the file in messages, `file` is its number
/// among the checkpoint's files.
///
/// # Errors
/// Malformed, truncated or hostile headers; names that stand twice; dtypes that cannot be read.
pub(super) fn read(
    label: &str,
    bytes: &[u8],
    file: usize,
) -> Result<(Vec<TensorInfo>, BTreeMap<String, String>), WeightsError> {
    let malformed = |reason: String| WeightsError::Malformed { label: label.to_owned(), reason };
    if is_pickle(bytes) {
        return Err(WeightsError::Pickle { path: label.into() });
    }
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| malformed(explain(&error, bytes)))?;
    let data = header + 8;
    if let Ok(Twice(Some(name))) = serde_json::from_slice(&bytes[8..data]) {
        return Err(malformed(format!("tensor `{name}` stands twice in the header")));
    }
    let mut tensors = Vec::new();
    // In file order, which is the order of the state dict for files that were written that way.
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let dtype = DType::from_safetensors(info.dtype).ok_or_else(|| WeightsError::UnsupportedDType {
            label: label.to_owned(),
            tensor: name.clone(),
            dtype: format!("{:?}", info.dtype),
        })?;
        let (start, end) = info.data_offsets;
        tensors.push(TensorInfo { name, shape: info.shape.clone(), dtype, file, range: data + start..data + end });
    }
    if let Some(scaled) = scaled_float8(&tensors) {
        return Err(malformed(format!(
            "tensor `{scaled}` is float8 with scales beside it: its bytes alone are not its values; dequantise it first"
        )));
    }
    Ok((tensors, metadata.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()))
}

/// Whether these are the first bytes of what `torch.save` writes: a zip archive, or a bare pickle (protocol 2 to 5).
fn is_pickle(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
        || (bytes.first() == Some(&0x80)
            && bytes.get(1).is_some_and(|b| (2..=5).contains(b))
            && bytes.get(4..8) != Some(&[0; 4]))
}

/// A float8 tensor that is to be multiplied by a scale stored beside it, as in quantised checkpoints.
fn scaled_float8(tensors: &[TensorInfo]) -> Option<&str> {
    let narrow = |info: &&TensorInfo| matches!(info.dtype, DType::F8E4M3 | DType::F8E5M2);
    if !tensors.iter().any(|info| narrow(&info)) {
        return None;
    }
    let names: HashSet<&str> = tensors.iter().map(|info| info.name.as_str()).collect();
    let scaled =
        |name: &str| ["_scale", "_scale_inv"].iter().any(|end| names.contains(format!("{name}{end}").as_str()));
    tensors.iter().filter(narrow).map(|info| info.name.as_str()).find(|name| scaled(name))
}

/// The first name that a JSON map holds twice: JSON readers silently take the last.
pub(super) struct Twice(pub Option<String>);

impl<'de> Deserialize<'de> for Twice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Twice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut seen, mut twice) = (HashSet::new(), None);
                while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                    if let Some(name) = seen.replace(name) {
                        twice.get_or_insert(name);
                    }
                }
                Ok(Twice(twice))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

fn explain(error: &safetensors::SafeTensorError, bytes: &[u8]) -> String {
    use safetensors::SafeTensorError as E;
    match error {
        E::HeaderTooSmall => format!("{} bytes are too few for a header", bytes.len()),
        E::HeaderTooLarge => "the header claims to be over 100 MB long".to_owned(),
        E::InvalidHeaderLength => format!("the header claims to be longer than the file ({} bytes)", bytes.len()),
        E::MetadataIncompleteBuffer => {
            format!("the tensors in the header do not add up to the file's {} bytes (truncated?)", bytes.len())
        }
        E::InvalidOffset(name) => format!("tensor `{name}` has offsets that overlap, leave gaps or run backwards"),
        E::TensorInvalidInfo => "a tensor's offsets do not match its shape and dtype".to_owned(),
        E::ValidationOverflow => "a tensor's shape overflows".to_owned(),
        E::InvalidHeaderDeserialization(error) => format!("the header cannot be read: {error}"),
        other => other.to_string(),
    }
}
