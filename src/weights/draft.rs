//! A checkpoint in the making: written beside its place, tensor by tensor in any order, goes on after a crash, and takes
//! its place only when it is whole.
//!
//! `OUT` is made as `.OUT.partial/`, with full-length files from the start, and `.OUT.journal`, one line a finished
//! tensor with its checksum and whatever its maker wants back. Both are gone when `OUT` is there.

use super::layout::{Layout, Slot};
use super::{Digest, WeightsError, digest};
use rayon::prelude::*;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// An unfinished checkpoint.
#[derive(Debug)]
pub struct Draft {
    out: PathBuf,
    folder: PathBuf,
    journal_path: PathBuf,
    journal: Mutex<File>,
    layout: Layout,
    files: Vec<File>,
    done: Vec<Option<Vec<Digest>>>,
}

impl Draft {
    /// Starts a checkpoint, or goes on with one that was started with the same layout and `key`: what decides the
    /// result. Tensors that the journal has are checked against what lies on disk.
    ///
    /// # Errors
    /// A target that exists or cannot be written, too little room (nothing is left behind then), another process that is
    /// writing the same.
    pub fn open(out: &Path, layout: Layout, key: &str) -> Result<Self, WeightsError> {
        let name = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.is_empty() {
            return Err(WeightsError::Exists { path: out.to_owned() });
        }
        let occupied = fs::read_dir(out).map_or_else(|_| out.exists(), |mut entries| entries.next().is_some());
        if occupied {
            return Err(WeightsError::Exists { path: out.to_owned() });
        }
        let folder = out.with_file_name(format!(".{name}.partial"));
        let journal_path = out.with_file_name(format!(".{name}.journal"));
        let write = |path: &Path, source| WeightsError::Write { path: path.to_owned(), source };
        if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(|source| write(parent, source))?;
        }
        let journal = OpenOptions::new().create(true).read(true).append(true).open(&journal_path);
        let journal = journal.map_err(|source| write(&journal_path, source))?;
        match journal.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(WeightsError::Busy { path: out.to_owned() }),
            // Some network file systems have no locks; then two writers are the user's to avoid.
            Err(TryLockError::Error(_)) => {}
        }
        let key = key_line(&layout, key);
        let text = fs::read(&journal_path).map_err(|source| write(&journal_path, source))?;
        let records = records(&String::from_utf8_lossy(&text), &key, layout.slots.len());
        let mut draft = Self {
            out: out.to_owned(),
            folder,
            journal_path,
            journal: Mutex::new(journal),
            files: Vec::new(),
            done: vec![None; layout.slots.len()],
            layout,
        };
        let resumed = records.is_some_and(|records| draft.resume(records));
        if !resumed && let Err(error) = draft.start(&key) {
            draft.abandon();
            return Err(error);
        }
        Ok(draft)
    }

    /// New files, full length.
    fn start(&mut self, key: &str) -> Result<(), WeightsError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| WeightsError::Write { path, source }
        };
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).map_err(failed(&self.folder))?;
        }
        let journal = self.journal.get_mut().unwrap_or_else(PoisonError::into_inner);
        journal.set_len(0).map_err(failed(&self.journal_path))?;
        fs::create_dir(&self.folder).map_err(failed(&self.folder))?;
        self.files.clear();
        for part in &self.layout.parts {
            let path = self.folder.join(&part.name);
            let file = OpenOptions::new().create_new(true).read(true).write(true).open(&path).map_err(failed(&path))?;
            match fallocate(&file, FallocateFlags::empty(), 0, part.bytes) {
                Ok(()) => {}
                Err(Errno::NOSPC) => {
                    let free = free_space(&self.folder).unwrap_or(0);
                    return Err(WeightsError::Full { path: self.out.clone(), needed: self.layout.bytes(), free });
                }
                // Not every file system can reserve; then room runs out, if it does, while writing.
                Err(_) => file.set_len(part.bytes).map_err(failed(&path))?,
            }
            self.files.push(file);
        }
        self.append(&format!("{key}\n"))
    }

    /// Takes over what an earlier process has written; `false` if the files are not there as they should be.
    fn resume(&mut self, records: Vec<(usize, Vec<Digest>)>) -> bool {
        for part in &self.layout.parts {
            let file = OpenOptions::new().read(true).write(true).open(self.folder.join(&part.name));
            match file {
                Ok(file) if file.metadata().is_ok_and(|meta| meta.len() == part.bytes) => self.files.push(file),
                _ => return false,
            }
        }
        let intact = |(slot, digests): &(usize, Vec<Digest>)| {
            self.digest(&self.layout.slots[*slot]).is_ok_and(|found| digests.first() == Some(&found))
        };
        let intact: Vec<bool> = records.par_iter().map(intact).collect();
        // A line that was cut off must not run into the next.
        if self.append("\n").is_err() {
            return false;
        }
        for ((slot, digests), _) in records.into_iter().zip(intact).filter(|(_, intact)| *intact) {
            self.done[slot] = Some(digests);
        }
        true
    }

    /// The checksum of a tensor as it lies on disk.
    fn digest(&self, slot: &Slot) -> io::Result<Digest> {
        let step = (digest::BLOCK * slot.dtype.size()) as u64;
        let mut blocks = Vec::new();
        let mut buffer = Vec::new();
        for start in (0..slot.bytes).step_by(step as usize) {
            buffer.resize(step.min(slot.bytes - start) as usize, 0);
            self.files[slot.file].read_exact_at(&mut buffer, slot.start + start)?;
            blocks.push(Digest::of(&buffer));
        }
        Ok(Digest::join(blocks))
    }

    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What was said of each tensor that is finished, checksum first.
    #[must_use]
    pub fn done(&self) -> &[Option<Vec<Digest>>] {
        &self.done
    }

    /// Writes bytes of a tensor, from its byte `offset` on; from any thread.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn write(&self, slot: usize, offset: u64, bytes: &[u8]) -> Result<(), WeightsError> {
        let slot = &self.layout.slots[slot];
        self.files[slot.file].write_all_at(bytes, slot.start + offset).map_err(|source| self.failed(slot, source))
    }

    fn failed(&self, slot: &Slot, source: io::Error) -> WeightsError {
        if source.kind() == io::ErrorKind::StorageFull {
            let free = free_space(&self.folder).unwrap_or(0);
            return WeightsError::Full { path: self.out.clone(), needed: self.layout.bytes(), free };
        }
        WeightsError::Write { path: self.folder.join(&self.layout.parts[slot.file].name), source }
    }

    /// Notes that tensors are written, each with its checksum first and then what is to be remembered.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn finish(&mut self, slots: Vec<(usize, Vec<Digest>)>) -> Result<(), WeightsError> {
        let line = |(slot, digests): &(usize, Vec<Digest>)| {
            let digests: String = digests.iter().map(|digest| format!(" {digest}")).collect();
            format!("{slot}{digests} .\n")
        };
        let text: String = slots.iter().map(line).collect();
        self.append(&text)?;
        for (slot, digests) in slots {
            self.done[slot] = Some(digests);
        }
        Ok(())
    }

    fn append(&self, text: &str) -> Result<(), WeightsError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        // At once, so that a line is there or is not.
        journal
            .write_all(text.as_bytes())
            .map_err(|source| WeightsError::Write { path: self.journal_path.clone(), source })
    }

    /// Completes the checkpoint: writes the headers of `layout` (the draft's own with other metadata) and the `beside`
    /// files, sees that everything is on disk, and puts the folder in its place.
    ///
    /// # Errors
    /// Whatever the file system reports; what is written stays and can be gone on with.
    pub fn publish(self, layout: &Layout, beside: &[(String, Vec<u8>)]) -> Result<(), WeightsError> {
        let failed = |path: &Path, source| WeightsError::Write { path: path.to_owned(), source };
        for (part, file) in layout.parts.iter().zip(&self.files) {
            let path = self.folder.join(&part.name);
            file.write_all_at(&part.header, 0).map_err(|source| failed(&path, source))?;
            file.sync_all().map_err(|source| failed(&path, source))?;
        }
        for (name, bytes) in beside {
            let path = self.folder.join(name);
            let write = || {
                let mut file = File::create(&path)?;
                file.write_all(bytes)?;
                file.sync_all()
            };
            write().map_err(|source| failed(&path, source))?;
        }
        fs::rename(&self.folder, &self.out).map_err(|source| failed(&self.out, source))?;
        if let Some(parent) = self.out.parent() {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            // The rename itself; a file system that cannot sync a folder has done what it can.
            let _ = File::open(parent).and_then(|folder| folder.sync_all());
        }
        let _ = fs::remove_file(&self.journal_path);
        Ok(())
    }

    /// Removes everything that was written.
    pub fn abandon(self) {
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.journal_path);
    }
}

/// Removes the journal that is left when a process dies between the last two steps.
pub fn tidy_journal(out: &Path) {
    if let Some(name) = out.file_name() {
        let _ = fs::remove_file(out.with_file_name(format!(".{}.journal", name.to_string_lossy())));
    }
}

/// Bytes that may still be written where `path`, or the nearest folder above it that exists, lies.
///
/// # Errors
/// What the system reports.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    let stat = statvfs(existing)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The journal's first line: a checksum of everything that decides the result.
fn key_line(layout: &Layout, key: &str) -> String {
    let headers = layout.parts.iter().map(|part| Digest::of(&part.header));
    format!("fusebench 1 {}", Digest::join(headers.chain([Digest::of(key.as_bytes())])))
}

/// The records of a journal that begins with `key`; a last line that was cut off does not count.
fn records(text: &str, key: &str, slots: usize) -> Option<Vec<(usize, Vec<Digest>)>> {
    let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    if lines.next()? != key {
        return None;
    }
    let record = |line: &str| {
        let mut words = line.strip_suffix(" .")?.split(' ');
        let slot: usize = words.next()?.parse().ok().filter(|slot| *slot < slots)?;
        Some((slot, words.map(Digest::parse).collect::<Option<Vec<_>>>()?))
    };
    Some(lines.filter_map(record).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Checkpoint, DType};
    use std::collections::BTreeMap;

    fn layout(shard: Option<u64>) -> Layout {
        let tensor = |name: &str| (name.to_owned(), vec![3], DType::F32);
        Layout::new(["a", "b", "c"].map(tensor), shard, &BTreeMap::new())
    }

    fn write(draft: &mut Draft, slot: usize) {
        let bytes: Vec<u8> = [1.0, 2.0, slot as f32].iter().flat_map(|x: &f32| x.to_le_bytes()).collect();
        draft.write(slot, 0, &bytes).unwrap();
        draft.finish(vec![(slot, vec![Digest::join([Digest::of(&bytes)]), Digest([7, slot as u64])])]).unwrap();
    }

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_begun_is_gone_on_with_and_published_whole() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new/out");
        for shard in [None, Some(12)] {
            let mut draft = Draft::open(&out, layout(shard), "key").unwrap();
            write(&mut draft, 1);
            // As if killed: a line cut off, and a tensor that is not what the journal says.
            write(&mut draft, 2);
            draft.write(2, 0, &[9]).unwrap();
            draft.append("0 0123").unwrap();
            assert!(matches!(Draft::open(&out, layout(shard), "key"), Err(WeightsError::Busy { .. })));
            drop(draft);
            assert!(!out.exists());
            let mut draft = Draft::open(&out, layout(shard), "key").unwrap();
            let done: Vec<Option<u64>> = draft.done().iter().map(|d| d.as_ref().map(|d| d[1].0[1])).collect();
            assert_eq!(done, [None, Some(1), None]);
            write(&mut draft, 0);
            write(&mut draft, 2);
            draft.publish(&layout(shard), &[("config.json".to_owned(), b"{}".to_vec())]).unwrap();
            assert_eq!(entries(out.parent().unwrap()), ["out"]);
            if shard.is_none() {
                let checkpoint = Checkpoint::open(&out).unwrap();
                assert_eq!(checkpoint.get("c").unwrap().to_vec(), [1.0, 2.0, 2.0]);
                assert_eq!(entries(&out), ["config.json", "model.safetensors"]);
            } else {
                assert_eq!(entries(&out).len(), 4);
            }
            let error = Draft::open(&out, layout(shard), "key").unwrap_err();
            assert!(error.to_string().contains("exists"), "{error}");
            fs::remove_dir_all(&out).unwrap();
        }
    }

    #[test]
    fn another_key_starts_again() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let mut draft = Draft::open(&out, layout(None), "one").unwrap();
        write(&mut draft, 1);
        drop(draft);
        let draft = Draft::open(&out, layout(None), "two").unwrap();
        assert_eq!(draft.done(), [None, None, None]);
        draft.abandon();
        assert_eq!(entries(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn a_target_that_cannot_be_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "in the way").unwrap();
        assert!(matches!(Draft::open(&file, layout(None), "k"), Err(WeightsError::Exists { .. })));
        assert!(matches!(Draft::open(&file.join("out"), layout(None), "k"), Err(WeightsError::Write { .. })));
        // More than any disk has.
        let huge = Layout::new([("w".to_owned(), vec![1 << 50], DType::F32)], None, &BTreeMap::new());
        let error = Draft::open(&folder.path().join("out"), huge, "k").unwrap_err();
        assert!(!error.hint().is_empty());
        assert_eq!(entries(folder.path()), ["file"], "{error}");
    }
}
