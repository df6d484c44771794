//! Where fusebench keeps what outlives a session.
//!
//! `FUSEBENCH_HOME` holds everything when it is set; otherwise the XDG folders, on every Unix alike.

use super::StoreError;
use etcetera::{AppStrategy, AppStrategyArgs, app_strategy::Xdg};
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::path::{Path, PathBuf};

/// The environment variable that overrides every other rule.
pub const HOME_VARIABLE: &str = "FUSEBENCH_HOME";

/// The folders of one user; none of them needs to exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// What a person writes for fusebench to read: `$XDG_CONFIG_HOME/fusebench`.
    pub config: PathBuf,
    /// History and remembered state: `$XDG_DATA_HOME/fusebench`.
    pub data: PathBuf,
    /// Log files: `$XDG_STATE_HOME/fusebench/logs`.
    pub logs: PathBuf,
    /// What the explorer exports where no folder was named: `fusebench-exports` in the working folder.
    pub exports: PathBuf,
}

impl Paths {
    /// The folders that the environment asks for.
    ///
    /// # Errors
    /// [`StoreError::NoHome`] where neither `FUSEBENCH_HOME` nor a home folder is known.
    pub fn find() -> Result<Self, StoreError> {
        if let Some(home) = std::env::var_os(HOME_VARIABLE).filter(|home| !home.is_empty()) {
            return Ok(Self::within(&absolute(home)));
        }
        let strategy = Xdg::new(AppStrategyArgs {
            top_level_domain: "org".into(),
            author: "fusebench".into(),
            app_name: "fusebench".into(),
        })
        .map_err(|_| StoreError::NoHome)?;
        let (config, data) = (strategy.config_dir(), strategy.data_dir());
        let logs = strategy.state_dir().unwrap_or_else(|| data.clone()).join("logs");
        Ok(Self { config, data, logs, exports: absolute("fusebench-exports".into()) })
    }

    /// All folders inside one, as `FUSEBENCH_HOME` has it.
    #[must_use]
    pub fn within(home: &Path) -> Self {
        Self { config: home.to_owned(), data: home.to_owned(), logs: home.join("logs"), exports: home.join("exports") }
    }

    /// The history's file.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.data.join("history.db")
    }

    /// The person's own keys for the explorer.
    #[must_use]
    pub fn keymap(&self) -> PathBuf {
        self.config.join("keymap.toml")
    }
}

fn absolute(path: OsString) -> PathBuf {
    let path = PathBuf::from(path);
    std::path::absolute(&path).unwrap_or(path)
}

/// Makes `folder` and its missing parents, readable by nobody else.
///
/// # Errors
/// [`StoreError::Folder`] with what the file system said.
pub fn make_private(folder: &Path) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| StoreError::Folder { path: folder.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_can_hold_everything() {
        let paths = Paths::within(Path::new("/scratch/fb"));
        assert_eq!(paths.history(), Path::new("/scratch/fb/history.db"));
        assert_eq!(paths.logs, Path::new("/scratch/fb/logs"));
        assert_eq!(paths.exports, Path::new("/scratch/fb/exports"));
    }

    #[test]
    fn the_environment_gives_absolute_paths() {
        let paths = Paths::find().unwrap();
        assert!(paths.history().is_absolute() && paths.logs.is_absolute() && paths.exports.is_absolute(), "{paths:?}");
    }

    #[cfg(unix)]
    #[test]
    fn new_folders_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        make_private(&folder).unwrap();
        for made in [&folder, &home.path().join("a")] {
            assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = make_private(&file.path().join("fusebench")).unwrap_err();
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
        assert!(error.hint().contains(HOME_VARIABLE));
    }
}
