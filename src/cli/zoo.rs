//! The zoo that commands work on.

use super::args::Global;
use super::error::CliError;
use crate::zoo::Zoo;
use std::sync::Arc;

/// The zoo in the binary, or the one in the folder that was named.
pub fn open(global: &Global) -> Result<Arc<Zoo>, CliError> {
    let zoo = match &global.zoo {
        Some(folder) => Zoo::open(folder)
            .map_err(|error| CliError::input(error.to_string()).at(folder.display().to_string()).hint(error.hint()))?,
        None => Zoo::embedded().map_err(|error| CliError::failure(error.to_string()).hint(error.hint()))?,
    };
    Ok(Arc::new(zoo))
}
