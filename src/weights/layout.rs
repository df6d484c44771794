//! Where every tensor of a checkpoint that is yet to be written will lie: files, headers, offsets, index.

use super::DType;
use serde_json::json;
use std::collections::BTreeMap;

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: DType,
    /// Which file …
    pub file: usize,
    /// … and where in it, in bytes.
    pub start: u64,
    pub bytes: u64,
}

impl Slot {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub header: Vec<u8>,
    /// Header and tensors.
    pub bytes: u64,
}

/// The files of a checkpoint, before a byte of them is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub slots: Vec<Slot>,
    pub parts: Vec<Part>,
}

impl Layout {
    /// Lays out tensors given as (name, shape, dtype): in one `model.safetensors`, or in files of at most `shard` bytes of
    /// tensors (a tensor that is larger has a file of its own), filled in the order given. Slots come file by file and in
    /// the order in which they lie there, which is the safetensors library's: wide dtypes first, then by name.
    #[must_use]
    pub fn new(
        tensors: impl IntoIterator<Item = (String, Vec<usize>, DType)>,
        shard: Option<u64>,
        metadata: &BTreeMap<String, String>,
    ) -> Self {
        let mut files: Vec<Vec<Slot>> = vec![Vec::new()];
        let mut filled = 0;
        for (name, shape, dtype) in tensors {
            let bytes = (shape.iter().product::<usize>() * dtype.size()) as u64;
            if shard.is_some_and(|most| filled > 0 && filled + bytes > most) {
                files.push(Vec::new());
                filled = 0;
            }
            filled += bytes;
            let file = files.len() - 1;
            files[file].push(Slot { name, shape, dtype, file, start: 0, bytes });
        }
        let count = files.len();
        let name = |at: usize| {
            if count == 1 {
                return "model.safetensors".to_owned();
            }
            format!("model-{:05}-of-{count:05}.safetensors", at + 1)
        };
        let (mut slots, mut parts) = (Vec::new(), Vec::new());
        for (at, mut file) in files.into_iter().enumerate() {
            file.sort_by(|a, b| b.dtype.size().cmp(&a.dtype.size()).then_with(|| a.name.cmp(&b.name)));
            let header = header(&file, metadata);
            let mut next = header.len() as u64;
            for slot in &mut file {
                slot.start = next;
                next += slot.bytes;
            }
            parts.push(Part { name: name(at), header, bytes: next });
            slots.extend(file);
        }
        Self { slots, parts }
    }

    /// The same files with other metadata, which must be as long as before: all offsets stay.
    #[must_use]
    pub fn with_metadata(&self, metadata: &BTreeMap<String, String>) -> Option<Self> {
        let mut parts = self.parts.clone();
        for (at, part) in parts.iter_mut().enumerate() {
            let slots: Vec<Slot> = self.slots.iter().filter(|slot| slot.file == at).cloned().collect();
            let header = header(&slots, metadata);
            if header.len() != part.header.len() {
                return None;
            }
            part.header = header;
        }
        Some(Self { slots: self.slots.clone(), parts })
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// The index that belongs to sharded files.
    #[must_use]
    pub fn index(&self) -> Option<String> {
        if self.parts.len() == 1 {
            return None;
        }
        let total: u64 = self.slots.iter().map(|slot| slot.bytes).sum();
        let map: BTreeMap<&str, &str> =
            self.slots.iter().map(|slot| (slot.name.as_str(), self.parts[slot.file].name.as_str())).collect();
        let index = json!({"metadata": {"total_size": total}, "weight_map": map});
        Some(format!("{index:#}\n"))
    }
}

/// Length and header, padded so that the tensors start aligned.
fn header(slots: &[Slot], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut map = serde_json::Map::new();
    if !metadata.is_empty() {
        map.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut next = 0;
    for slot in slots {
        let offsets = [next, next + slot.bytes];
        next += slot.bytes;
        let dtype = slot.dtype.safetensors_name();
        map.insert(slot.name.clone(), json!({"dtype": dtype, "shape": slot.shape, "data_offsets": offsets}));
    }
    let text = serde_json::Value::Object(map).to_string();
    let length = text.len().next_multiple_of(8);
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend(text.bytes());
    bytes.resize(8 + length, b' ');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Checkpoint, Source};

    fn tensors() -> Vec<(String, Vec<usize>, DType)> {
        let tensor = |name: &str, shape: &[usize], dtype| (name.to_owned(), shape.to_vec(), dtype);
        vec![
            tensor("b.half", &[3], DType::F16),
            tensor("z", &[2, 5], DType::F32),
            tensor("a", &[], DType::I64),
            tensor("empty", &[0, 7], DType::Bf16),
        ]
    }

    #[test]
    fn what_is_laid_out_is_a_valid_file() {
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let layout = Layout::new(tensors(), None, &metadata);
        let mut bytes = layout.parts[0].header.clone();
        bytes.resize(layout.parts[0].bytes as usize, 1);
        let checkpoint = Checkpoint::from_source("laid out", Source::Owned(bytes.into())).unwrap();
        let names: Vec<&str> = checkpoint.tensors().iter().map(|info| info.name.as_str()).collect();
        assert_eq!(names, ["a", "z", "b.half", "empty"]);
        assert!(layout.slots.iter().all(|slot| slot.start % slot.dtype.size() as u64 == 0));
        assert_eq!(checkpoint.metadata(), &metadata);
        assert_eq!(layout.index(), None);
    }

    #[test]
    fn shards_are_filled_in_the_order_given() {
        let layout = Layout::new(tensors(), Some(40), &BTreeMap::new());
        let of: BTreeMap<&str, usize> = layout.slots.iter().map(|slot| (slot.name.as_str(), slot.file)).collect();
        assert_eq!(of, BTreeMap::from([("b.half", 0), ("z", 1), ("a", 2), ("empty", 2)]));
        assert_eq!(layout.parts[1].name, "model-00002-of-00003.safetensors");
        let index: serde_json::Value = serde_json::from_str(&layout.index().unwrap()).unwrap();
        assert_eq!(index["metadata"]["total_size"], 6 + 40 + 8);
        assert_eq!(index["weight_map"]["z"], "model-00002-of-00003.safetensors");
    }

    #[test]
    fn metadata_of_the_same_length_can_be_filled_in_later() {
        let metadata = |value: &str| BTreeMap::from([("hash".to_owned(), value.to_owned())]);
        let layout = Layout::new(tensors(), Some(40), &metadata("????"));
        let filled = layout.with_metadata(&metadata("beef")).unwrap();
        assert_eq!(filled, Layout::new(tensors(), Some(40), &metadata("beef")));
        assert_eq!(layout.with_metadata(&metadata("much longer than that")), None);
    }
}
