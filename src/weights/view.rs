//! Other views on the tensors of a checkpoint: under other names, cut short, or with some of them replaced.

use super::open::File;
use super::{Checkpoint, DType, Source, TensorInfo};

impl Checkpoint {
    /// The tensors named second, under the names given first and in that order; a tensor may stand several times. Those
    /// that it does not have are left out.
    #[must_use]
    pub fn mapped<'a>(&self, names: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let tensor = |(name, existing): (&str, &str)| {
            Some(TensorInfo { name: name.to_owned(), ..self.get(existing)?.info.clone() })
        };
        self.with_tensors(names.into_iter().filter_map(tensor).collect())
    }

    /// With only the first `rows` rows of the tensors named.
    #[must_use]
    pub fn cut(&self, names: &[String], rows: usize) -> Self {
        let cut = |info: &TensorInfo| {
            let mut info = info.clone();
            if names.contains(&info.name)
                && let Some(first) = info.shape.first_mut()
                && *first > rows
            {
                *first = rows;
                info.range.end = info.range.start + info.len() * info.dtype.size();
            }
            info
        };
        self.with_tensors(self.tensors().iter().map(cut).collect())
    }

    /// With the tensor `name` replaced by what `source` holds, from its first byte on. Nothing changes if that is too
    /// short or there is no such tensor.
    #[must_use]
    pub fn with_replaced(&self, name: &str, shape: Vec<usize>, dtype: DType, source: Source) -> Self {
        let length = shape.iter().product::<usize>() * dtype.size();
        if source.bytes().len() < length {
            return self.clone();
        }
        let mut files = self.files.to_vec();
        let file = files.len();
        files.push(File { path: None, source, stamp: None });
        let replaced = |info: &TensorInfo| {
            if info.name != name {
                return info.clone();
            }
            TensorInfo { name: info.name.clone(), shape: shape.clone(), dtype, file, range: 0..length }
        };
        let deltas = (*self.deltas).clone();
        let tensors = self.tensors().iter().map(replaced).collect();
        self.with_files(files, deltas).with_tensors(tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Data, StateDict, Tensor, write_safetensors};
    use std::collections::BTreeMap;

    #[test]
    fn views_rename_cut_and_replace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensor = |name: &str, rows: usize| Tensor {
            name: name.to_owned(),
            shape: vec![rows, 2],
            dtype: DType::F32,
            data: Data::Float((0..rows * 2).map(|at| at as f32).collect()),
        };
        write_safetensors(&path, &StateDict::new(vec![tensor("a", 3), tensor("b", 2)]), &BTreeMap::new()).unwrap();
        let model = Checkpoint::open(&path).unwrap();
        let mapped = model.mapped([("x", "a"), ("y", "a"), ("z", "nothing")]);
        assert_eq!(mapped.tensors().iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(mapped.require("y").unwrap().to_vec(), model.require("a").unwrap().to_vec());
        let cut = model.cut(&["a".to_owned()], 2);
        assert_eq!(cut.require("a").unwrap().to_vec(), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(cut.require("b").unwrap().to_vec(), [0.0, 1.0, 2.0, 3.0]);
        let bytes: Vec<u8> = [7.0f32, 8.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let replaced = model.with_replaced("b", vec![1, 2], DType::F32, Source::Owned(bytes.into()));
        assert_eq!(replaced.require("b").unwrap().to_vec(), [7.0, 8.0]);
        assert_eq!(replaced.require("a").unwrap().to_vec(), model.require("a").unwrap().to_vec());
    }
}
