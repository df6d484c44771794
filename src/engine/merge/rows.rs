//! Tables with one row a token, put together anew: rows in another order, rows of other models, mean rows.

use crate::engine::EngineError;
use crate::weights::{Checkpoint, DType, Source, WeightsError};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where a row of a table comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowOf {
    /// The row of so many models, their mean if there are several: (model, row).
    Mean(Vec<(usize, usize)>),
    Zero,
    /// The mean of all rows that are not of this kind.
    MeanOfAll,
}

impl RowOf {
    pub fn of(model: usize, row: usize) -> Self {
        Self::Mean(vec![(model, row)])
    }
}

/// The model `own` with its table `tensor` made of `rows`, of this and the other models; written to a file in `scratch`
/// that is gone as soon as nobody reads it any more.
///
/// # Errors
/// Rows that are not there; a file that cannot be written.
pub(super) fn rebuilt(
    own: usize,
    tensor: &str,
    rows: &[RowOf],
    models: &[Checkpoint],
    scratch: &Path,
) -> Result<Checkpoint, EngineError> {
    let model = &models[own];
    let table = model.require(tensor)?;
    let width: usize = table.info.shape.iter().skip(1).product();
    let as_it_is = |(at, row): (usize, &RowOf)| *row == RowOf::of(own, at);
    if table.info.shape.first() == Some(&rows.len()) && rows.iter().enumerate().all(as_it_is) {
        return Ok(model.clone());
    }
    // Bytes are copied where all that is needed are rows of one dtype; what is computed stays in f32.
    let whole = |row: &RowOf| match row {
        RowOf::Mean(from) if from.len() == 1 => {
            models[from[0].0].get(tensor).is_some_and(|other| other.info.dtype == table.info.dtype)
        }
        RowOf::Zero => true,
        _ => false,
    };
    let dtype = if rows.iter().all(whole) { table.info.dtype.written() } else { DType::F32 };
    let mut shape = table.info.shape.clone();
    if let Some(first) = shape.first_mut() {
        *first = rows.len();
    }
    let source = written(scratch, |file| {
        let (mut sum, mut count) = (vec![0.0f64; width], 0usize);
        let (mut values, mut scratch, mut bytes) = (vec![0.0f32; width], Vec::new(), Vec::new());
        for row in rows {
            values.fill(0.0);
            match row {
                RowOf::Mean(from) => {
                    for &(model, at) in from {
                        let table = models[model].require(tensor)?;
                        let there = at < table.info.shape.first().copied().unwrap_or(0);
                        if !there || table.info.shape.iter().skip(1).product::<usize>() != width {
                            return Err(WeightsError::MissingTensor {
                                label: models[model].label().to_owned(),
                                tensor: format!("{tensor}, row {at}"),
                            });
                        }
                        let read = table.read(at * width..(at + 1) * width, &mut scratch);
                        values.iter_mut().zip(read).for_each(|(value, read)| *value += read);
                    }
                    if from.len() > 1 {
                        for value in &mut values {
                            *value /= from.len() as f32;
                        }
                    }
                }
                RowOf::Zero => {}
                RowOf::MeanOfAll => {
                    let mean = sum.iter().map(|sum| (sum / count.max(1) as f64) as f32);
                    values.iter_mut().zip(mean).for_each(|(value, mean)| *value = mean);
                }
            }
            if *row != RowOf::MeanOfAll {
                sum.iter_mut().zip(&values).for_each(|(sum, value)| *sum += f64::from(*value));
                count += 1;
            }
            let encoded = dtype.encode_into(&values, &mut bytes);
            file.write_all(encoded)
                .map_err(|source| WeightsError::Write { path: "the table of rows".into(), source })?;
        }
        Ok(())
    })?;
    Ok(model.with_replaced(tensor, shape, dtype, source))
}

/// What `write` writes, mapped; the file has no name any more.
fn written(
    folder: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), WeightsError>,
) -> Result<Source, EngineError> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // The result's folder may not be there yet.
    let folder = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or_else(|| Path::new("."));
    let name = format!(".fusebench-rows-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = folder.join(name);
    let failed = |source| WeightsError::Write { path: path.clone(), source };
    let file = OpenOptions::new().create_new(true).read(true).write(true).open(&path).map_err(failed)?;
    // Without a name from the start: nothing stays, however the process ends.
    fs::remove_file(&path).map_err(failed)?;
    let mut file = BufWriter::new(file);
    write(&mut file)?;
    file.flush().map_err(failed)?;
    Ok(Source::map_file(file.get_ref(), &path)?)
}
