//! Where a checkpoint's bytes live.

use super::WeightsError;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a safetensors file: mapped, embedded in the binary, or in memory. Cheap to clone.
#[derive(Clone)]
pub enum Source {
    Mapped(Arc<memmap2::Mmap>),
    Static(&'static [u8]),
    Owned(Arc<[u8]>),
}

impl Source {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped.
    pub fn map(path: &Path) -> Result<Self, WeightsError> {
        let file = File::open(path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })?;
        Self::map_file(&file, path)
    }

    /// Maps an open file, which may have no name any more; `path` is for messages.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn map_file(file: &File, path: &Path) -> Result<Self, WeightsError> {
        // SAFETY: the mapping is read-only and private to this process. A file that another process shortens while it
        // is mapped ends in SIGBUS, the price that every mmapping reader pays; nothing here writes to inputs.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(file) };
        map.map(|map| Self::Mapped(Arc::new(map))).map_err(|source| WeightsError::Io { path: path.to_owned(), source })
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Static(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self::Mapped(_) => "mapped",
            Self::Static(_) => "static",
            Self::Owned(_) => "owned",
        };
        write!(f, "{kind} {} bytes", self.bytes().len())
    }
}
