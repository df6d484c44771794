//! Writing safetensors, beside the target and then renamed.

use super::{Data, StateDict, Tensor, WeightsError};
use crate::files::write_atomically;
use safetensors::{Dtype, View};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

/// Writes all tensors in their own dtypes, rounding f32 once; `metadata` becomes the header's `__metadata__`.
///
/// # Errors
/// Whatever the file system reports; the target is then as it was.
pub fn write_safetensors(
    path: &Path,
    tensors: &StateDict,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let metadata: HashMap<String, String> = metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let views = tensors.tensors().iter().map(|tensor| (tensor.name.as_str(), tensor));
    let bytes = safetensors::serialize(views, (!metadata.is_empty()).then_some(metadata))
        .map_err(io::Error::other)
        .map_err(|source| WeightsError::Write { path: path.to_owned(), source })?;
    write_atomically(path, |file| file.write_all(&bytes))
        .map_err(|source: io::Error| WeightsError::Write { path: path.to_owned(), source })
}

impl View for &Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype.to_safetensors()
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.data {
            Data::Raw(bytes) => Cow::Borrowed(bytes),
            Data::Float(values) => Cow::Owned(self.dtype.encode(values)),
        }
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Checkpoint, DType};

    #[test]
    fn what_is_written_is_read_back() {
        let tensor = |name: &str, dtype, data| Tensor { name: name.to_owned(), shape: vec![2], dtype, data };
        let saved = StateDict::new(vec![
            tensor("b", DType::F16, Data::Float(vec![0.5, -2.0])),
            tensor("a", DType::I16, Data::Raw(vec![1, 0, 2, 0])),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/model.safetensors");
        write_safetensors(&path, &saved, &BTreeMap::from([("recipe".to_owned(), "x".to_owned())])).unwrap();
        let back = Checkpoint::open(&path).unwrap();
        assert_eq!(back.metadata()["recipe"], "x");
        let back = StateDict::load(&back);
        assert_eq!(back.get("b"), saved.get("b"));
        assert_eq!(back.get("a"), saved.get("a"));
    }
}
