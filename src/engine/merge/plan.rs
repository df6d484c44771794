//! What a merge will take, before it starts: files, windows, memory, disk, time.

use super::provenance::Provenance;
use super::{Inputs, MergeJob, Part};
use crate::engine::EngineError;
use crate::fusion::stream::PIECE;
use crate::weights::{DType, Digest, Layout, TensorInfo, free_space};
use serde::Serialize;
use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

/// Elements of a window for each core when there is enough memory: enough work between two waits, little memory.
const WINDOW: usize = 4 << 20;
/// What the program itself takes, with the survey of a method that needs one.
const OWN: u64 = 64 << 20;
/// Bytes a second that a disk is taken to write.
const DISK: f64 = 5e8;

/// A merge that can be started.
#[derive(Debug, Clone, Serialize)]
pub struct MergePlan {
    #[serde(skip)]
    pub layout: Layout,
    #[serde(skip)]
    pub(super) parts: Vec<Part>,
    /// Whether the job's method fuses several of them, each by itself.
    #[serde(skip)]
    pub(super) several: bool,
    /// The part of every slot of the layout.
    #[serde(skip)]
    pub(super) part_of: Vec<usize>,
    /// Slots of the layout that are fused together, each of one part.
    #[serde(skip)]
    pub(super) windows: Vec<Vec<usize>>,
    pub tensors: usize,
    pub parameters: usize,
    pub files: usize,
    /// Bytes of memory, at most.
    pub memory: u64,
    /// Bytes to be read and written.
    pub read: u64,
    pub written: u64,
    /// Bytes free where the result goes.
    pub free: Option<u64>,
    /// A rough guess.
    pub seconds: f64,
}

impl MergePlan {
    /// Plans the merge of `inputs`; `out` is where the result goes.
    ///
    /// # Errors
    /// A method that cannot fuse these models; models that cannot be merged within the memory allowed.
    pub fn new(job: &MergeJob, inputs: &Inputs, out: Option<&Path>) -> Result<Self, EngineError> {
        let parts = inputs.parts(job);
        let several = parts.iter().filter(|part| part.method.id == job.method.id).count() > 1;
        for part in &parts {
            part.method.check(part.pool.base().is_some(), part.pool.experts().len())?;
            if !part.method.gives_weights() {
                return Err(EngineError::NoWeights { method: part.method.name });
            }
            part.method.check_without_data()?;
            if several && !part.method.streams() {
                return Err(EngineError::OneRecipe { method: part.method.name });
            }
        }
        let mut tensors: Vec<(usize, &TensorInfo)> =
            parts.iter().flat_map(|part| part.places.iter().copied().zip(part.tensors())).collect();
        tensors.sort_by_key(|(place, _)| *place);
        let named =
            tensors.iter().map(|(_, info)| (info.name.clone(), info.shape.clone(), written_as(job, info.dtype)));
        let layout = Layout::new(named, job.shard, &Provenance::of(job, inputs).metadata());

        // Each core has pieces in work: values, and bytes to be written.
        let fixed = OWN + (rayon::current_num_threads() * PIECE * 12) as u64;
        let budget = usize::try_from(job.memory.saturating_sub(fixed) / 16).unwrap_or(usize::MAX);
        let window = budget.clamp(PIECE, WINDOW * rayon::current_num_threads());
        let part_of = part_of(&layout, &parts);
        let mut windows = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let slots: Vec<usize> = (0..layout.slots.len()).filter(|&slot| part_of[slot] == at).collect();
            let window = if part.method.streams() { window } else { usize::MAX };
            let ranges = self::windows(slots.iter().map(|&slot| layout.slots[slot].len()), window);
            windows.extend(ranges.into_iter().map(|range| slots[range].to_vec()));
        }
        let largest = |slots: &Vec<usize>| slots.iter().map(|&slot| layout.slots[slot].len() as u64).sum();
        let held: u64 = windows.iter().map(largest).max().unwrap_or(0);
        // The result of a window, and as much again for what its method works with.
        let memory = fixed + 8 * held;
        if memory > job.memory {
            return Err(EngineError::Memory { needed: memory, allowed: job.memory });
        }
        let (read, written) = (parts.iter().map(Part::bytes).sum(), layout.bytes());
        Ok(Self {
            tensors: tensors.len(),
            parameters: tensors.iter().filter(|(_, info)| info.dtype.is_float()).map(|(_, info)| info.len()).sum(),
            files: layout.parts.len(),
            memory,
            read,
            written,
            free: out.and_then(|out| free_space(out).ok()),
            seconds: guess(inputs, read, written),
            layout,
            parts,
            several,
            part_of,
            windows,
        })
    }
}

impl MergePlan {
    /// Seconds for so many models at once that differ in nothing but the task, roughly.
    #[must_use]
    pub fn seconds_for(&self, models: usize) -> f64 {
        self.seconds + models.saturating_sub(1) as f64 * self.written as f64 / DISK
    }

    /// The windows of one part.
    pub(super) fn windows_of(&self, part: usize) -> impl Iterator<Item = &Vec<usize>> {
        self.windows.iter().filter(move |slots| slots.first().is_some_and(|&slot| self.part_of[slot] == part))
    }
}

/// The part of every slot.
fn part_of(layout: &Layout, parts: &[Part]) -> Vec<usize> {
    let of =
        parts.iter().enumerate().flat_map(|(at, part)| part.tensors().iter().map(move |info| (info.name.as_str(), at)));
    let of: HashMap<&str, usize> = of.collect();
    layout.slots.iter().map(|slot| of.get(slot.name.as_str()).copied().unwrap_or(0)).collect()
}

/// The dtype in which a tensor of the reference's `dtype` is written.
fn written_as(job: &MergeJob, dtype: DType) -> DType {
    if dtype.is_float() { job.dtype.unwrap_or(dtype.written()) } else { dtype }
}

/// Consecutive slots of together at most `most` elements, or one that is larger.
fn windows(lengths: impl Iterator<Item = usize>, most: usize) -> Vec<Range<usize>> {
    let (mut windows, mut start, mut filled, mut end) = (Vec::new(), 0, 0_usize, 0);
    for (at, length) in lengths.enumerate() {
        if at > start && filled.saturating_add(length) > most {
            windows.push(start..at);
            (start, filled) = (at, 0);
        }
        filled += length;
        end = at + 1;
    }
    if end > start {
        windows.push(start..end);
    }
    windows
}

/// Seconds, from how fast a little of the first model is read now and a disk that writes half a gigabyte a second.
fn guess(inputs: &Inputs, read: u64, written: u64) -> f64 {
    const SAMPLE: usize = 16 << 20;
    let Some(largest) = inputs.all().flat_map(|input| input.checkpoint.iter()).max_by_key(|tensor| tensor.raw().len())
    else {
        return 0.0;
    };
    let bytes = &largest.raw()[..largest.raw().len().min(SAMPLE)];
    let start = Instant::now();
    let digest = Digest::of(bytes);
    // Used, so that it is not left out.
    let seconds = start.elapsed().as_secs_f64() + f64::MIN_POSITIVE * (digest.0[0] & 1) as f64;
    let rate = bytes.len() as f64 / seconds.max(1e-6) * rayon::current_num_threads() as f64;
    read as f64 / rate.max(1.0) + written as f64 / DISK
}

/// A quarter of the machine's memory.
#[must_use]
pub fn default_memory() -> u64 {
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    total.map_or(2 << 30, |kilobytes| kilobytes * 1024 / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_everything_once() {
        let cut = |lengths: &[usize]| windows(lengths.iter().copied(), 10);
        assert_eq!(cut(&[]), Vec::<Range<usize>>::new());
        assert_eq!(cut(&[4, 6, 1, 20, 0, 3, 8]), [0..2, 2..3, 3..4, 4..6, 6..7]);
        assert_eq!(cut(&[25, 1]), [0..1, 1..2]);
    }
}
