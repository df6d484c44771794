//! From a scene to a file.

use super::error::ChartError;
use super::scene::Scene;
use super::{png, raster, svg};
use crate::files;
use std::path::Path;

pub(super) fn write(scene: &Scene, path: &Path) -> Result<(), ChartError> {
    let failed = |source| ChartError::Write { path: path.to_owned(), source };
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    let bytes = match extension.as_str() {
        "svg" => svg::render(scene)?.into_bytes(),
        "png" => png::encode(&raster::render(scene)?).map_err(failed)?,
        _ => return Err(ChartError::Extension { path: path.to_owned() }),
    };
    files::write_bytes(path, &bytes).map_err(failed)
}
