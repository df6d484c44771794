//! The zoo that commands work on, guests included.

use super::args::Global;
use super::error::CliError;
use crate::engine::merge::Input;
use crate::zoo::Zoo;
use std::sync::Arc;

/// The zoo in the binary, or the one in the folder that was named, with the guests that were named.
pub fn open(global: &Global) -> Result<Arc<Zoo>, CliError> {
    let mut zoo = match &global.zoo {
        Some(folder) => Zoo::open(folder)
            .map_err(|error| CliError::input(error.to_string()).at(folder.display().to_string()).hint(error.hint()))?,
        None => Zoo::embedded().map_err(|error| CliError::failure(error.to_string()).hint(error.hint()))?,
    };
    for given in &global.with {
        let place = || format!("--with {given}");
        let guest = Input::open(given).map_err(|error| CliError::from(error).at(place()))?;
        zoo = zoo
            .with_guest(guest.name, guest.checkpoint)
            .map_err(|error| CliError::input(error.to_string()).at(place()).hint(error.hint()))?;
    }
    Ok(Arc::new(zoo))
}
