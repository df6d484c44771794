//! An opened checkpoint: its tensors by name, their bytes on demand.

use super::{DType, Source, WeightsError};
use safetensors::SafeTensors;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// One tensor of a checkpoint: what its header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: DType,
    /// Byte range in the file.
    range: Range<usize>,
}

impl TensorInfo {
    /// Number of elements; 1 for a scalar.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size in bytes as stored.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.range.len()
    }
}

/// A safetensors checkpoint, opened but not loaded. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    label: String,
    source: Source,
    tensors: Arc<[TensorInfo]>,
    index: Arc<HashMap<String, usize>>,
    metadata: Arc<BTreeMap<String, String>>,
    fingerprint: Arc<OnceLock<String>>,
}

impl Checkpoint {
    /// Opens a `.safetensors` file, or a Hugging Face folder that holds `model.safetensors`.
    ///
    /// # Errors
    /// Unreadable, malformed or hostile files; dtypes that cannot be read.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
        if path.is_dir() && !file.exists() {
            let reason = if path.join("model.safetensors.index.json").exists() {
                "sharded checkpoints are not supported yet"
            } else {
                "no model.safetensors in this folder"
            };
            return Err(WeightsError::Folder { path: path.to_owned(), reason: reason.to_owned() });
        }
        Self::from_source(path.display().to_string(), Source::map(&file)?)
    }

    /// Reads the header of a safetensors file already in memory; `label` names it in messages.
    ///
    /// # Errors
    /// Malformed or hostile headers; dtypes that cannot be read.
    pub fn from_source(label: impl Into<String>, source: Source) -> Result<Self, WeightsError> {
        let label = label.into();
        let malformed = |reason: String| WeightsError::Malformed { label: label.clone(), reason };
        let (header, metadata) =
            SafeTensors::read_metadata(source.bytes()).map_err(|error| malformed(explain(&error, source.bytes())))?;
        let data = header + 8;
        if let Some(name) = duplicate_name(&source.bytes()[8..data]) {
            return Err(malformed(format!("tensor `{name}` stands twice in the header")));
        }
        let mut tensors = Vec::new();
        // In file order, which is the order of the state dict for files that were written that way.
        for name in metadata.offset_keys() {
            let Some(info) = metadata.info(&name) else { continue };
            let dtype = DType::from_safetensors(info.dtype).ok_or_else(|| WeightsError::UnsupportedDType {
                label: label.clone(),
                tensor: name.clone(),
                dtype: format!("{:?}", info.dtype),
            })?;
            let (start, end) = info.data_offsets;
            tensors.push(TensorInfo { name, shape: info.shape.clone(), dtype, range: data + start..data + end });
        }
        let index = tensors.iter().enumerate().map(|(at, info)| (info.name.clone(), at)).collect();
        let metadata = metadata.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Self {
            label,
            source,
            tensors: tensors.into(),
            index: Arc::new(index),
            metadata: Arc::new(metadata),
            fingerprint: Arc::default(),
        })
    }

    /// The name that messages use: a path, or the name of an embedded checkpoint.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// All tensors, in file order.
    #[must_use]
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The header's `__metadata__`.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Number of elements of all float tensors.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.tensors.iter().filter(|info| info.dtype.is_float()).map(TensorInfo::len).sum()
    }

    /// Whether both are clones of one opened checkpoint.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tensors, &other.tensors)
    }

    /// Size of the whole file in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.source.bytes().len()
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<TensorRef<'_>> {
        self.index.get(name).map(|&at| self.tensor(&self.tensors[at]))
    }

    /// A tensor that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn require(&self, name: &str) -> Result<TensorRef<'_>, WeightsError> {
        self.get(name).ok_or_else(|| WeightsError::MissingTensor { label: self.label.clone(), tensor: name.to_owned() })
    }

    fn tensor<'a>(&'a self, info: &'a TensorInfo) -> TensorRef<'a> {
        TensorRef { info, bytes: &self.source.bytes()[info.range.clone()] }
    }

    /// All tensors with their bytes, in file order.
    pub fn iter(&self) -> impl Iterator<Item = TensorRef<'_>> {
        self.tensors.iter().map(|info| self.tensor(info))
    }

    /// Hash of the whole file, in hex; computed once.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| {
            Sha256::digest(self.source.bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
        })
    }

    /// Checks that every float is finite.
    ///
    /// # Errors
    /// The first NaN or infinity, with its tensor and element.
    pub fn check_finite(&self) -> Result<(), WeightsError> {
        let mut scratch = Vec::new();
        for tensor in self.iter().filter(|tensor| tensor.info.dtype.is_float()) {
            let values = tensor.read(0..tensor.info.len(), &mut scratch);
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                return Err(WeightsError::NotFinite {
                    label: self.label.clone(),
                    tensor: tensor.info.name.clone(),
                    index,
                    value: values[index],
                });
            }
        }
        Ok(())
    }
}

/// A tensor's description together with its bytes.
#[derive(Debug, Clone, Copy)]
pub struct TensorRef<'a> {
    pub info: &'a TensorInfo,
    bytes: &'a [u8],
}

impl<'a> TensorRef<'a> {
    /// Bytes as stored.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.bytes
    }

    /// All values as f32.
    #[must_use]
    pub fn to_vec(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.info.len()];
        self.info.dtype.decode(self.bytes, &mut values);
        values
    }

    /// All values as f64, whatever the dtype: the only way to look into an integer buffer.
    #[must_use]
    pub fn to_f64_vec(&self) -> Vec<f64> {
        self.info.dtype.decode_f64(self.bytes)
    }

    /// The elements `range` of the flattened tensor as f32: the mapped bytes themselves where they are aligned f32,
    /// otherwise decoded into `scratch`.
    #[must_use]
    pub fn read<'b>(&self, range: Range<usize>, scratch: &'b mut Vec<f32>) -> &'b [f32]
    where
        'a: 'b,
    {
        let size = self.info.dtype.size();
        let bytes = &self.bytes[range.start * size..range.end * size];
        if self.info.dtype == DType::F32
            && let Ok(values) = bytemuck::try_cast_slice(bytes)
        {
            return values;
        }
        scratch.resize(range.len(), 0.0);
        self.info.dtype.decode(bytes, scratch);
        scratch
    }
}

/// The first name that a header holds twice: JSON readers silently take the last.
fn duplicate_name(header: &[u8]) -> Option<String> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Option<String>;

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
            Ok(twice)
        }
    }
    serde_json::Deserializer::from_slice(header).deserialize_map(Names).ok().flatten()
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
