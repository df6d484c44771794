//! Where checkpoints are found: a path, or a Hugging Face id in the local hub cache. Nothing is ever downloaded.

use super::WeightsError;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// A checkpoint's place on disk, and what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// As it was given: a path or a hub id.
    pub given: String,
    pub path: PathBuf,
    /// The commit, for what came out of the hub cache.
    pub commit: Option<String>,
}

impl Location {
    /// Finds `given`: an existing path first, then `ORG/NAME[@REVISION]` in the local hub cache (`HF_HUB_CACHE`,
    /// `HUGGINGFACE_HUB_CACHE`, `HF_HOME/hub`, `XDG_CACHE_HOME/huggingface/hub`, `~/.cache/huggingface/hub`).
    ///
    /// # Errors
    /// When it is neither.
    pub fn find(given: &str) -> Result<Self, WeightsError> {
        Self::find_in(given, cache_root().as_deref())
    }

    pub(super) fn find_in(given: &str, root: Option<&Path>) -> Result<Self, WeightsError> {
        let path = Path::new(given);
        if path.exists() {
            return Ok(Self { given: given.to_owned(), path: path.to_owned(), commit: None });
        }
        let (id, revision) = given.split_once('@').unwrap_or((given, "main"));
        if !is_id(id) {
            return Err(WeightsError::Io { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() });
        }
        let missing = |reason: String| WeightsError::NotCached { id: given.to_owned(), reason };
        let root =
            root.ok_or_else(|| missing("no folder for the hub cache: HF_HOME and HOME are not set".to_owned()))?;
        let folder = root.join(format!("models--{}", id.replace('/', "--")));
        if !folder.is_dir() {
            return Err(missing(format!("neither a path nor in the hub cache {}", root.display())));
        }
        // A revision may name a branch or tag, which `refs` resolves, or be a commit itself.
        let safe = !revision.is_empty()
            && Path::new(revision).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !safe {
            return Err(missing(format!("`{revision}` is not a revision")));
        }
        let commit = fs::read_to_string(folder.join("refs").join(revision))
            .map_or_else(|_| revision.to_owned(), |text| text.trim().to_owned());
        let path = folder.join("snapshots").join(&commit);
        if !path.is_dir() {
            return Err(missing(format!("{} holds no snapshot of revision `{revision}`", folder.display())));
        }
        Ok(Self { given: given.to_owned(), path, commit: Some(commit) })
    }
}

/// `ORG/NAME` or `NAME` in the characters that the hub allows.
fn is_id(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let parts: Vec<&str> = text.split('/').collect();
    parts.len() <= 2 && parts.iter().all(|text| part(text)) && !text.contains("--")
}

fn cache_root() -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("HF_HUB_CACHE")
        .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| Some(folder("HF_HOME")?.join("hub")))
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("huggingface/hub")))
        .or_else(|| Some(folder("HOME")?.join(".cache/huggingface/hub")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_the_cache_at_the_revision_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let repo = root.path().join("models--org--clip.b32");
        for commit in ["aaa", "bbb"] {
            fs::create_dir_all(repo.join("snapshots").join(commit)).unwrap();
        }
        fs::create_dir_all(repo.join("refs/pr")).unwrap();
        fs::write(repo.join("refs/main"), "aaa\n").unwrap();
        fs::write(repo.join("refs/pr/1"), "bbb").unwrap();
        let find = |given: &str| Location::find_in(given, Some(root.path()));
        for (given, commit) in [("org/clip.b32", "aaa"), ("org/clip.b32@pr/1", "bbb"), ("org/clip.b32@bbb", "bbb")] {
            let found = find(given).unwrap();
            assert_eq!((found.path, found.commit.as_deref()), (repo.join("snapshots").join(commit), Some(commit)));
        }
        let error = |given: &str| find(given).unwrap_err().to_string();
        assert!(error("org/other").contains("nor in the hub cache"), "{}", error("org/other"));
        assert!(error("org/clip.b32@ccc").contains("no snapshot of revision `ccc`"));
        assert!(error("org/clip.b32@../../x").contains("is not a revision"));
        assert!(error("/no/such/folder").starts_with("cannot read /no/such/folder"));
        let path = root.path().to_str().unwrap();
        assert_eq!(find(path).unwrap().commit, None);
    }
}
