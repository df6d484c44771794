//! Ensembles of CLIP vision towers.

use crate::case::{Case, Outcome, Result};
use std::path::Path;

pub fn run(_: &Path, case: &Case) -> Result {
    Ok(Outcome::Skipped(format!("{}: not wired yet", case.method())))
}
