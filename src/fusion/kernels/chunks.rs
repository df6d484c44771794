//! All float tensors of a model, chunk by chunk on all cores, with progress and cancellation.

use super::rows::Scratch;
use crate::cancel::Cancel;
use crate::fusion::{Context, FusionError};
use crate::weights::{DType, Data, Tensor};
use rayon::prelude::*;
use std::ops::Range;

/// Elements a chunk: 64 KiB of f32, so that a chunk of the output stays in the second-level cache.
pub(in crate::fusion) const CHUNK: usize = 16 * 1024;

/// Elements between two progress reports: a few milliseconds of work.
const BATCH: usize = 4 << 20;

/// Where a chunk lies.
#[derive(Debug, Clone)]
pub(in crate::fusion) struct Piece {
    /// Index of the tensor.
    pub tensor: usize,
    /// Elements of the flattened tensor.
    pub range: Range<usize>,
}

/// Calls `body` for every chunk of every float tensor that `select`s itself, in no particular order, and checks that
/// what it leaves in the chunk can be written in the tensor's dtype.
///
/// # Errors
/// Cancellation, at the next chunk; a result that is not finite; whatever `body` returns.
pub(in crate::fusion) fn for_chunks(
    tensors: &mut [Tensor],
    select: impl Fn(usize) -> bool,
    cx: &mut Context<'_>,
    body: impl Fn(&Piece, &mut [f32], &mut Scratch) -> Result<(), FusionError> + Sync,
) -> Result<(), FusionError> {
    for_row_chunks(tensors, |_| 1, select, cx, body)
}

/// As [`for_chunks`], with chunks of whole rows: `row` gives a tensor's elements a row.
///
/// # Errors
/// As [`for_chunks`].
pub(in crate::fusion) fn for_row_chunks(
    tensors: &mut [Tensor],
    row: impl Fn(usize) -> usize,
    select: impl Fn(usize) -> bool,
    cx: &mut Context<'_>,
    body: impl Fn(&Piece, &mut [f32], &mut Scratch) -> Result<(), FusionError> + Sync,
) -> Result<(), FusionError> {
    let total = tensors.len();
    let (cancel, lenient) = (cx.cancel, cx.lenient);
    let run = |batch: &mut Vec<(Piece, &mut [f32], DType, &str)>| {
        batch.par_drain(..).with_min_len(4).try_for_each_init(Scratch::default, |scratch, (piece, out, dtype, name)| {
            cancel.check()?;
            body(&piece, out, scratch)?;
            if lenient { Ok(()) } else { check_finite(out, dtype, name) }
        })
    };
    let mut batch = Vec::new();
    let mut waiting = 0;
    for (at, tensor) in tensors.iter_mut().enumerate() {
        let Tensor { name, dtype, data: Data::Float(values), .. } = tensor else { continue };
        if !select(at) {
            continue;
        }
        let chunk = chunk_of(row(at));
        for (index, out) in values.chunks_mut(chunk).enumerate() {
            let start = index * chunk;
            waiting += out.len();
            batch.push((Piece { tensor: at, range: start..start + out.len() }, out, *dtype, name.as_str()));
            if waiting >= BATCH {
                run(&mut batch)?;
                waiting = 0;
            }
        }
        if waiting == 0 {
            (cx.progress)(at + 1, total);
        }
    }
    run(&mut batch)?;
    (cx.progress)(total, total);
    Ok(())
}

/// Calls `body` for every chunk of every tensor whose length is given, and returns what it made of them, in order.
///
/// Reductions that add these up in order come out the same on every machine, whatever the number of cores.
///
/// # Errors
/// Cancellation, at the next chunk.
pub(in crate::fusion) fn map_chunks<R: Send>(
    lengths: impl Iterator<Item = (usize, usize)>,
    cancel: &Cancel,
    body: impl Fn(&Piece, &mut Scratch) -> R + Sync,
) -> Result<Vec<(Piece, R)>, FusionError> {
    map_row_chunks(lengths.map(|(tensor, length)| (tensor, length, 1)), cancel, body)
}

/// As [`map_chunks`], with chunks of whole rows: tensors are given by index, length and elements a row.
///
/// # Errors
/// As [`map_chunks`].
pub(in crate::fusion) fn map_row_chunks<R: Send>(
    tensors: impl Iterator<Item = (usize, usize, usize)>,
    cancel: &Cancel,
    body: impl Fn(&Piece, &mut Scratch) -> R + Sync,
) -> Result<Vec<(Piece, R)>, FusionError> {
    row_pieces(tensors)
        .into_par_iter()
        .with_min_len(4)
        .map_init(Scratch::default, |scratch, piece| {
            cancel.check()?;
            let result = body(&piece, scratch);
            Ok((piece, result))
        })
        .collect()
}

/// The chunks of tensors given by index and length.
pub(in crate::fusion) fn pieces(lengths: impl Iterator<Item = (usize, usize)>) -> Vec<Piece> {
    row_pieces(lengths.map(|(tensor, length)| (tensor, length, 1)))
}

fn row_pieces(tensors: impl Iterator<Item = (usize, usize, usize)>) -> Vec<Piece> {
    let chunks = |(tensor, length, row): (usize, usize, usize)| {
        let chunk = chunk_of(row);
        (0..length).step_by(chunk).map(move |start| Piece { tensor, range: start..length.min(start + chunk) })
    };
    tensors.flat_map(chunks).collect()
}

/// The elements of a chunk of whole rows: as many as fit, and at least one.
fn chunk_of(row: usize) -> usize {
    let row = row.max(1);
    (CHUNK / row).max(1) * row
}

/// Whether every value is finite and stays so when rounded to `dtype`.
pub(in crate::fusion) fn check_finite(values: &[f32], dtype: DType, name: &str) -> Result<(), FusionError> {
    // Magnitudes order like their bits, NaN above all.
    let limit = dtype.overflow_bits();
    let bad = values.iter().fold(false, |bad, value| bad | (value.to_bits() & 0x7fff_ffff >= limit));
    if bad { Err(FusionError::NotFinite { tensor: name.to_owned() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn what_would_round_to_infinity_is_not_finite() {
        let fits = |x: f32, dtype| check_finite(&[0.0, x], dtype, "w").is_ok();
        for (below, dtype) in
            [(65519.996f32, DType::F16), (f32::from_bits(0x7f7f_7fff), DType::Bf16), (f32::MAX, DType::F32)]
        {
            let above = f32::from_bits(below.to_bits() + 1);
            assert!(fits(below, dtype) && fits(-below, dtype), "{dtype}");
            assert!(!fits(above, dtype) && !fits(-above, dtype), "{dtype}");
        }
        assert!(f16::from_f32(65519.996).is_finite() && !f16::from_f32(65520.0).is_finite());
        assert!(bf16::from_f32(f32::from_bits(0x7f7f_7fff)).is_finite());
        assert!(!bf16::from_f32(f32::from_bits(0x7f7f_8000)).is_finite());
        assert!(!fits(f32::NAN, DType::F16) && !fits(f32::NAN, DType::F32));
    }
}
