//! An opened checkpoint: its tensors by name, their bytes on demand.

use super::low_rank::LowRank;
use super::open::{self, File, Stamp};
use super::{DType, Digest, Source, WeightsError, digest, header};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// One tensor of a checkpoint: what its header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: DType,
    /// Which of the checkpoint's files.
    pub(super) file: usize,
    /// Byte range in the file.
    pub(super) range: Range<usize>,
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

/// A safetensors checkpoint, of one file or many, opened but not loaded. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    label: String,
    pub(super) files: Arc<[File]>,
    tensors: Arc<[TensorInfo]>,
    index: Arc<HashMap<String, usize>>,
    metadata: Arc<BTreeMap<String, String>>,
    fingerprint: Arc<OnceLock<String>>,
    /// Low-rank changes by file and start of the tensor that they change.
    pub(super) deltas: Arc<HashMap<(usize, usize), Arc<LowRank>>>,
}

impl Checkpoint {
    /// Opens a `.safetensors` file, or a Hugging Face folder with one such file or with shards and their index.
    ///
    /// # Errors
    /// Unreadable, malformed or hostile files; missing shards; dtypes that cannot be read; pickles.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        open::open(path)
    }

    /// Reads the header of a safetensors file already in memory; `label` names it in messages.
    ///
    /// # Errors
    /// Malformed or hostile headers; dtypes that cannot be read.
    pub fn from_source(label: impl Into<String>, source: Source) -> Result<Self, WeightsError> {
        let label = label.into();
        let (tensors, metadata) = header::read(&label, source.bytes(), 0)?;
        Ok(Self::assemble(label, vec![File { path: None, source, stamp: None }], tensors, metadata))
    }

    /// A checkpoint from its files and what their headers say.
    pub(super) fn assemble(
        label: String,
        files: Vec<File>,
        tensors: Vec<TensorInfo>,
        metadata: BTreeMap<String, String>,
    ) -> Self {
        let index = Arc::default();
        let empty = Self {
            label,
            files: files.into(),
            tensors: Arc::default(),
            index,
            metadata: Arc::new(metadata),
            fingerprint: Arc::default(),
            deltas: Arc::default(),
        };
        empty.with_tensors(tensors)
    }

    /// The same files, seen as these tensors.
    pub(super) fn with_tensors(&self, tensors: Vec<TensorInfo>) -> Self {
        let index = tensors.iter().enumerate().map(|(at, info)| (info.name.clone(), at)).collect();
        Self { tensors: tensors.into(), index: Arc::new(index), ..self.clone() }
    }

    /// Reading from these files, some tensors changed by what is added to them.
    pub(super) fn with_files(&self, files: Vec<File>, deltas: HashMap<(usize, usize), Arc<LowRank>>) -> Self {
        Self { files: files.into(), deltas: Arc::new(deltas), fingerprint: Arc::default(), ..self.clone() }
    }

    /// The same checkpoint under another name in messages.
    #[must_use]
    pub fn labelled(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// The files on disk that it reads from.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter_map(|file| file.path.as_deref())
    }

    pub(super) fn stamps(&self) -> impl Iterator<Item = (&Path, &Stamp)> {
        self.files.iter().filter_map(|file| Some((file.path.as_deref()?, file.stamp.as_ref()?)))
    }

    /// The folder of its files, where configuration and tokenizer lie.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.paths().next()?.parent()
    }

    /// Only the tensors that `keep` names, in that order; names that it does not have are left out.
    #[must_use]
    pub fn subset<'a>(&self, keep: impl IntoIterator<Item = &'a str>) -> Self {
        let tensors = keep.into_iter().filter_map(|name| Some(self.tensors[*self.index.get(name)?].clone()));
        self.with_tensors(tensors.collect())
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

    /// Size of its files in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.files.iter().map(|file| file.source.bytes().len()).sum()
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
        let bytes = &self.files[info.file].source.bytes()[info.range.clone()];
        let delta = if self.deltas.is_empty() { None } else { self.deltas.get(&(info.file, info.range.start)) };
        TensorRef { info, bytes, delta: delta.map(|delta| &**delta).filter(|_| info.dtype.is_float()) }
    }

    /// All tensors with their bytes, in file order.
    pub fn iter(&self) -> impl Iterator<Item = TensorRef<'_>> {
        self.tensors.iter().map(|info| self.tensor(info))
    }

    /// Hash of its whole files, in hex; computed once.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| {
            let mut hash = Sha256::new();
            self.files.iter().for_each(|file| hash.update(file.source.bytes()));
            hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
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
    delta: Option<&'a LowRank>,
}

impl<'a> TensorRef<'a> {
    /// Bytes as stored; an adapter's change is not in them.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.bytes
    }

    /// All values as f32.
    #[must_use]
    pub fn to_vec(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.info.len()];
        self.info.dtype.decode(self.bytes, &mut values);
        if let Some(delta) = self.delta {
            delta.add(0, &mut values, &mut Vec::new());
        }
        values
    }

    /// All values as f64, whatever the dtype: the only way to look into an integer buffer.
    #[must_use]
    pub fn to_f64_vec(&self) -> Vec<f64> {
        self.read_f64(0..self.info.len())
    }

    /// The elements `range` as f64, whatever the dtype.
    #[must_use]
    pub fn read_f64(&self, range: Range<usize>) -> Vec<f64> {
        if self.delta.is_some() {
            return self.read(range, &mut Vec::new()).iter().map(|&x| f64::from(x)).collect();
        }
        let size = self.info.dtype.size();
        self.info.dtype.decode_f64(&self.bytes[range.start * size..range.end * size])
    }

    /// Whether an adapter changes it.
    #[must_use]
    pub fn is_adapted(&self) -> bool {
        self.delta.is_some()
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
            && self.delta.is_none()
            && let Ok(values) = bytemuck::try_cast_slice(bytes)
        {
            return values;
        }
        scratch.resize(range.len(), 0.0);
        self.info.dtype.decode(bytes, scratch);
        if let Some(delta) = self.delta {
            delta.add(range.start, scratch, &mut Vec::new());
        }
        scratch
    }

    /// The checksum of the elements `range`: of the bytes as stored, or of the f32 values where an adapter changes them.
    #[must_use]
    pub fn digest(&self, range: Range<usize>) -> Digest {
        let size = self.info.dtype.size();
        if self.delta.is_none() {
            return Digest::of(&self.bytes[range.start * size..range.end * size]);
        }
        Digest::of(bytemuck::cast_slice(self.read(range, &mut Vec::new())))
    }

    /// The checksum of the whole tensor.
    #[must_use]
    pub fn whole_digest(&self) -> Digest {
        let length = self.info.len();
        let starts: Vec<usize> = (0..length).step_by(digest::BLOCK).collect();
        let block = |&start: &usize| self.digest(start..length.min(start + digest::BLOCK));
        Digest::join(starts.par_iter().map(block).collect::<Vec<_>>())
    }
}
