//! The index on disk: a snapshot, and journals of what happened since.
//!
//! Every process appends to a journal of its own, which it locks for as long as it lives. One process at a time writes
//! snapshots; it takes in the journals of processes that are gone. Nothing here is synced: a record that a crash lost
//! costs one look at a file, and a record that it kept is compared with the file before it is believed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::codec::{HELD_BYTES, MAGIC, Record, encode, replay};
use super::index::Index;

/// Bytes of a snapshot for each blob, with what names it.
const BLOB_BYTES: usize = HELD_BYTES * 3 / 2;
/// Bytes of a file of the index that are read at once: 64 KiB.
const READ_BYTES: usize = 64 << 10;
/// Name of the snapshot.
const SNAPSHOT: &str = "snapshot";
/// Name of the file that the process locks that writes snapshots.
const LOCK: &str = "lock";
/// What the name of a journal starts with.
const JOURNAL: &str = "journal-";
/// A journal of this size is replaced by a snapshot: 16 MiB.
const JOURNAL_BYTES_MAX: u64 = 16 << 20;

/// The files of the index of one store.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    /// Journals of processes that are gone: what they say is in the index.
    absorbed: Vec<PathBuf>,
    /// Held by the process that writes snapshots.
    keeper: Option<File>,
    name: PathBuf,
    file: BufWriter<File>,
    written: u64,
    /// Numbers the journals of this process.
    number: u64,
    process: u32,
}

impl Journal {
    /// Opens the index below `folder`. Returns the other journals too: [`read`] takes what is known from them.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(crate) fn open(folder: &Path) -> io::Result<(Self, Vec<PathBuf>)> {
        fs::create_dir_all(folder)?;
        let keeper = lock(folder)?;
        let process = rand::random();
        let (name, file) = create(folder, process, 0)?;
        let mut others = journals(folder)?;
        others.retain(|path| *path != name);
        let mut journal = Self {
            folder: folder.to_owned(),
            absorbed: Vec::new(),
            keeper,
            name,
            file,
            written: 0,
            number: 0,
            process,
        };
        if journal.keeper.is_some() {
            let left: Vec<_> = others.iter().filter(|path| is_left(path)).collect();
            // Those with records go with the next snapshot: a start does not wait for one.
            let (with, without) = left
                .into_iter()
                .cloned()
                .partition(|path| has_records(path));
            journal.absorbed = with;
            remove(without)?;
        }
        Ok((journal, others))
    }

    /// Appends a record. It is on its way to the disk after [`flush`](Self::flush), or when many were appended.
    pub(crate) fn append(&mut self, record: &Record<'_>) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(HELD_BYTES);
        encode(record, &mut bytes);
        self.file.write_all(&bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Hands what was appended to the system.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Whether this process is the one that writes snapshots, evicts and scrubs.
    pub(crate) fn is_keeper(&self) -> bool {
        self.keeper.is_some()
    }

    /// As [`is_keeper`](Self::is_keeper), after an attempt to become it: the last one may be gone.
    pub(crate) fn keep(&mut self) -> bool {
        if self.keeper.is_none() {
            self.keeper = lock(&self.folder).ok().flatten();
        }
        self.is_keeper()
    }

    /// Lets another process be the one that writes snapshots.
    pub(crate) fn leave_keeping(&mut self) {
        self.keeper = None;
        self.absorbed.clear();
    }

    /// Whether the journal is long enough to be replaced by a snapshot.
    pub(crate) fn is_long(&self) -> bool {
        self.keeper.is_some() && self.written > JOURNAL_BYTES_MAX
    }

    /// Whether the last snapshot does not say everything.
    pub(crate) fn is_changed(&self) -> bool {
        self.written > 0 || !self.absorbed.is_empty()
    }

    /// Starts a new journal, so that what happens from now on is not in the old one. Returns the paths of all old ones.
    pub(crate) fn rotate(&mut self) -> io::Result<Vec<PathBuf>> {
        self.file.flush()?;
        self.number += 1;
        let (name, file) = create(&self.folder, self.process, self.number)?;
        self.file = file;
        self.written = 0;
        let mut old = std::mem::take(&mut self.absorbed);
        old.push(std::mem::replace(&mut self.name, name));
        Ok(old)
    }

    /// Where the index is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The names of the journals below `folder`; none where they cannot be listed.
pub(crate) fn names(folder: &Path) -> Vec<PathBuf> {
    journals(folder).unwrap_or_default()
}

/// Reads what the snapshot below `folder` and these journals say. What cannot be read or understood is skipped.
pub(crate) fn read(folder: &Path, journals: &[PathBuf]) -> Index {
    let mut index = Index::default();
    if let Ok(file) = File::open(folder.join(SNAPSHOT)) {
        let bytes = file.metadata().map_or(0, |found| found.len());
        index.reserve(usize::try_from(bytes).unwrap_or(0) / BLOB_BYTES);
        replay(BufReader::with_capacity(READ_BYTES, file), &mut index);
    }
    for path in journals {
        if let Ok(file) = File::open(path) {
            replay(BufReader::with_capacity(READ_BYTES, file), &mut index);
        }
    }
    index.shrink();
    index
}

/// Replaces the snapshot and removes the journals that are in it.
pub(crate) fn write_snapshot(
    folder: &Path,
    bytes: &[u8],
    absorbed: Vec<PathBuf>,
) -> io::Result<()> {
    let fresh = folder.join("snapshot.new");
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&fresh, folder.join(SNAPSHOT))?;
    remove(absorbed)
}

fn remove(journals: Vec<PathBuf>) -> io::Result<()> {
    journals.into_iter().try_for_each(fs::remove_file)
}

/// Everything that an index knows, as a file.
pub(crate) fn encode_all(index: &Index) -> Vec<u8> {
    let blobs = usize::try_from(index.usage().objects).unwrap_or(0);
    let mut bytes = Vec::with_capacity(MAGIC.len() + blobs * BLOB_BYTES);
    bytes.extend_from_slice(MAGIC);
    index.visit(|fact| encode(&Record::Fact(fact), &mut bytes));
    bytes
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A record that is lost costs one look at a file.
        drop(self.file.flush());
        if self.written == 0 {
            drop(fs::remove_file(&self.name));
        }
    }
}

/// Locks the index for this process; `None` where another one has it.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(folder.join(LOCK))?;
    Ok(lock.try_lock().is_ok().then_some(lock))
}

/// Makes and locks a journal.
fn create(folder: &Path, process: u32, number: u64) -> io::Result<(PathBuf, BufWriter<File>)> {
    let name = folder.join(format!("{JOURNAL}{process:08x}-{number:08}"));
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(&name)?;
    file.lock()?;
    let mut file = BufWriter::new(file);
    file.write_all(MAGIC)?;
    Ok((name, file))
}

/// The journals, those of one process in the order in which they were written.
fn journals(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(JOURNAL) {
            let age = entry.metadata().and_then(|found| found.modified()).ok();
            found.push((age, entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn has_records(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() > MAGIC.len() as u64)
}

/// Whether the process that wrote a journal is gone.
fn is_left(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::super::index::Held;
    use super::super::stamp::Stamp;
    use super::*;
    use longshore_reference::Digest;

    /// An index of so many blobs, ten to an image, of which one is shared with another image.
    fn large(blobs: u32) -> Index {
        let mut index = Index::default();
        let digest = |number: u32| Digest::sha256(&number.to_le_bytes());
        for number in 0..blobs {
            let stamp = Stamp {
                inode: number.into(),
                size: 1000,
                modified: 1,
                changed: 2,
            };
            let held = Held {
                stamp,
                trusted: true,
                used: number,
                scrubbed: 7,
            };
            index.insert(&digest(number), held);
            if number % 10 == 9 {
                let first = number - 9;
                let children: Vec<_> = (first.saturating_sub(1)..number).map(digest).collect();
                index.image(&digest(number), &children);
            }
        }
        index
    }

    #[test]
    fn a_hundred_thousand_blobs_need_little_memory() {
        let index = large(100_000);
        let bytes = encode_all(&index);
        let mut again = Index::default();
        again.reserve(bytes.len() / BLOB_BYTES);
        replay(&*bytes, &mut again);
        again.shrink();
        assert_eq!(again.usage(), index.usage());
        for index in [&index, &again] {
            let each = index.memory_bytes() / 100_000;
            assert!(each < 200, "{each} bytes a blob");
        }
        assert_eq!(encode_all(&again).len(), bytes.len());
    }

    #[test]
    fn facts_survive_and_what_is_cut_off_is_passed_over() {
        let index = large(100);
        let bytes = encode_all(&index);
        let mut last = 0;
        for len in (0..=bytes.len()).step_by(13).chain([bytes.len()]) {
            let mut again = Index::default();
            replay(bytes.get(..len).unwrap(), &mut again);
            let objects = again.usage().objects;
            assert!(objects >= last, "a longer file says more");
            last = objects;
        }
        assert_eq!(last, 100);
        // What is no index, and one of another version, says nothing.
        for foreign in [&b"longshore index 2\n"[..], b"", &[7; 300]] {
            let mut again = Index::default();
            replay(foreign, &mut again);
            assert_eq!(again.usage().objects, 0);
        }
    }
}
