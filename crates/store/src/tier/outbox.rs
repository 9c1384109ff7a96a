//! The outbox: what is committed here and not in the bucket yet, on disk until it is.
//!
//! ```text
//! outbox/<algorithm>-<hex>       a blob to upload; the file is empty
//! outbox/record-<unique>         a record to write or remove; the file holds `put <key>` or `remove <key>`
//! outbox/uploads/<unique>        an upload in parts under way, locked by its process; the file holds its key and id
//! ```
//! Several processes may share the folder: entries are idempotent, and each process removes the files it has seen.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use longshore_reference::Digest;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::entry::{RECORD, read_entry, remove_all, unique};
use self::notes::Notes;
use crate::tier::layout;

mod entry;
mod notes;

pub(crate) use self::entry::{Item, Lane};
pub(crate) use self::notes::UploadNote;

/// Entries in memory. More of them wait on disk until there is room.
const IN_MEMORY_MAX: usize = if cfg!(test) { 40 } else { 100_000 };
/// Delay before the first retry of an entry. It doubles up to `BACKOFF_MAX`.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// Longest delay between two attempts.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// An entry that is being sent, until [`Outbox::done`] or [`Outbox::failed`].
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) item: Item,
    /// The record was removed here.
    pub(crate) removed: bool,
    /// When it was listed.
    pub(crate) added: SystemTime,
}

/// A durable list of what the bucket lacks.
///
/// *Invariant*: an entry's file is there from before its content is visible until the bucket has it.
#[derive(Debug)]
pub(crate) struct Outbox {
    folder: PathBuf,
    uploads: Notes,
    state: Mutex<State>,
    /// Something may be due earlier than before.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Item, Entry>,
    blobs: BTreeMap<(Instant, u64), Item>,
    records: BTreeMap<(Instant, u64), Item>,
    /// Blobs that are uploaded while they land.
    claimed: HashSet<Digest>,
    /// Entries that are on disk alone.
    on_disk: u64,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    added: SystemTime,
    removed: bool,
    attempts: u32,
    /// Files that stand for it, without those of the attempt under way.
    files: Vec<PathBuf>,
    /// Files of the attempt under way.
    sending: Vec<PathBuf>,
    /// Place in the queue; `None` while it is being sent or claimed.
    place: Option<(Instant, u64)>,
}

/// Number and age of the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) entries: u64,
    /// Age of the oldest entry.
    pub(crate) oldest: Duration,
}

impl Outbox {
    /// Opens or makes the outbox below `root`. [`scan`](Self::scan) reads what is in it.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let folder = root.join(layout::OUTBOX);
        let uploads = Notes::open(&folder)?;
        Ok(Self {
            folder,
            uploads,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Reads the entries on disk that are not in memory: those of earlier and of other processes.
    pub(crate) fn scan(&self) -> io::Result<()> {
        let mut left = 0;
        for file in fs::read_dir(&self.folder)? {
            let path = file?.path();
            // One that another process removed meanwhile is done.
            let Ok(Some((item, removed, added))) = read_entry(&path) else {
                continue;
            };
            let mut state = self.state();
            if state.entries.len() < IN_MEMORY_MAX || state.entries.contains_key(&item) {
                state.insert(item, removed, added, path);
            } else {
                left += 1;
            }
        }
        self.state().on_disk = left;
        self.changed.notify_waiters();
        Ok(())
    }

    /// Whether entries wait on disk alone and memory has room for them.
    pub(crate) fn wants_scan(&self) -> bool {
        let state = self.state();
        state.on_disk > 0 && state.entries.len() < IN_MEMORY_MAX / 2
    }

    /// Lists a blob on disk. Call it before the blob becomes visible, and [`queue_blob`](Self::queue_blob) after.
    ///
    /// # Errors
    /// The entry is not on disk then.
    pub(crate) fn list_blob(&self, digest: &Digest) -> io::Result<()> {
        let path = self.blob_file(digest);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => File::open(&self.folder)?.sync_all()?,
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(cause),
        }
        Ok(())
    }

    /// Queues a blob that is listed and visible now.
    pub(crate) fn queue_blob(&self, digest: &Digest) {
        self.add(Item::Blob(*digest), false, self.blob_file(digest));
    }

    /// Lists a record that was written, or removed, under this key. It survives the process, not a loss of power: then
    /// the record itself may be lost too.
    ///
    /// # Errors
    /// The entry is not on disk then.
    pub(crate) fn add_record(&self, key: &str, removed: bool) -> io::Result<()> {
        let item = Item::Record(key.into());
        let waits = |entry: &Entry| {
            let waits = entry.place.is_some() && !entry.files.is_empty();
            waits && entry.removed == removed
        };
        if self.state().entries.get(&item).is_some_and(waits) {
            return Ok(());
        }
        let path = self.folder.join(format!("{RECORD}{}", unique()));
        let verb = if removed { "remove" } else { "put" };
        fs::write(&path, format!("{verb} {key}\n"))?;
        self.add(item, removed, path);
        Ok(())
    }

    fn add(&self, item: Item, removed: bool, path: PathBuf) {
        let mut state = self.state();
        if state.entries.len() < IN_MEMORY_MAX || state.entries.contains_key(&item) {
            state.insert(item, removed, SystemTime::now(), path);
        } else {
            state.on_disk += 1;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Whether a blob waits for its upload: it must not be evicted. The disk decides, so that entries of other
    /// processes count.
    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.blob_file(digest).try_exists().unwrap_or_else(|cause| {
            tracing::warn!(%digest, %cause, "outbox cannot be read: the blob is kept");
            true
        })
    }

    /// Number and age of the entries.
    pub(crate) fn backlog(&self) -> Backlog {
        let state = self.state();
        let oldest = state.entries.values().map(|entry| entry.added).min();
        Backlog {
            entries: state.entries.len() as u64 + state.on_disk,
            oldest: oldest
                .and_then(|oldest| oldest.elapsed().ok())
                .unwrap_or_default(),
        }
    }

    /// Keeps a blob's entry from being taken until [`release`](Self::release): it is uploaded while it lands.
    /// False when it is claimed or being sent already.
    pub(crate) fn claim(&self, digest: &Digest) -> bool {
        let mut state = self.state();
        let sent = |entry: &Entry| entry.place.is_none();
        if state.entries.get(&Item::Blob(*digest)).is_some_and(sent) {
            return false;
        }
        if !state.claimed.insert(*digest) {
            return false;
        }
        state.unqueue(&Item::Blob(*digest));
        true
    }

    /// Ends a claim. The entry is removed if the bucket has the blob, else it waits for its turn.
    pub(crate) fn release(&self, digest: &Digest, uploaded: bool) {
        let item = Item::Blob(*digest);
        let mut state = self.state();
        state.claimed.remove(digest);
        let mut sent = Vec::new();
        if uploaded {
            let entry = state.entries.remove(&item);
            sent = entry.map(|entry| entry.files).unwrap_or_default();
        } else {
            state.queue(item, Instant::now());
        }
        drop(state);
        remove_all(&sent);
        self.changed.notify_waiters();
    }

    /// Whether blobs are uploaded while they land: their entries may be due later.
    pub(crate) fn has_claims(&self) -> bool {
        !self.state().claimed.is_empty()
    }

    /// Takes the next entry of a lane that is due. The time is that at which the next one will be.
    pub(crate) fn take(&self, lane: Lane) -> Result<Taken, Option<Instant>> {
        let mut state = self.state();
        let queue = state.lane(lane);
        let Some((&(due, _), _)) = queue.first_key_value() else {
            return Err(None);
        };
        if due > Instant::now() {
            return Err(Some(due));
        }
        let Some((_, item)) = queue.pop_first() else {
            return Err(None);
        };
        let Some(entry) = state.entries.get_mut(&item) else {
            return Err(Some(due));
        };
        entry.place = None;
        entry.sending = std::mem::take(&mut entry.files);
        Ok(Taken {
            removed: entry.removed,
            added: entry.added,
            item,
        })
    }

    /// The bucket has it: the files are removed. What was listed meanwhile is sent again.
    pub(crate) fn done(&self, taken: Taken) {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(&taken.item) else {
            return;
        };
        entry.attempts = 0;
        let sent = std::mem::take(&mut entry.sending);
        // A blob never changes: there is nothing to send again.
        if entry.files.is_empty() || taken.item.lane() == Lane::Blobs {
            state.entries.remove(&taken.item);
        } else {
            state.queue(taken.item, Instant::now());
        }
        drop(state);
        remove_all(&sent);
    }

    /// It could not be sent: it waits longer each time.
    pub(crate) fn failed(&self, taken: Taken) {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(&taken.item) else {
            return;
        };
        let sent = std::mem::take(&mut entry.sending);
        entry.files.extend(sent);
        entry.attempts += 1;
        let due = Instant::now() + backoff(entry.attempts);
        state.queue(taken.item, due);
    }

    /// Waits until something may be due earlier than before. Ask for it before looking at the queue.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// The uploads in parts under way.
    pub(crate) fn uploads(&self) -> &Notes {
        &self.uploads
    }

    fn blob_file(&self, digest: &Digest) -> PathBuf {
        let name = format!("{}-{}", digest.algorithm().as_str(), &*digest.hex());
        self.folder.join(name)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, item: Item, removed: bool, added: SystemTime, path: PathBuf) {
        let claimed = matches!(&item, Item::Blob(digest) if self.claimed.contains(digest));
        let entry = self.entries.get_mut(&item);
        let fresh = entry.is_none();
        let entry = match entry {
            Some(entry) => entry,
            None => self.entries.entry(item.clone()).or_insert(Entry {
                added,
                removed,
                attempts: 0,
                files: Vec::new(),
                sending: Vec::new(),
                place: None,
            }),
        };
        entry.added = entry.added.min(added);
        entry.removed = removed;
        if !entry.files.contains(&path) && !entry.sending.contains(&path) {
            entry.files.push(path);
        }
        if fresh && !claimed {
            self.queue(item, Instant::now());
        }
    }

    fn queue(&mut self, item: Item, due: Instant) {
        self.unqueue(&item);
        self.next += 1;
        let place = (due, self.next);
        if let Some(entry) = self.entries.get_mut(&item) {
            entry.place = Some(place);
            self.lane(item.lane()).insert(place, item);
        }
    }

    fn unqueue(&mut self, item: &Item) {
        let place = self
            .entries
            .get_mut(item)
            .and_then(|entry| entry.place.take());
        if let Some(place) = place {
            self.lane(item.lane()).remove(&place);
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut BTreeMap<(Instant, u64), Item> {
        match lane {
            Lane::Blobs => &mut self.blobs,
            Lane::Records => &mut self.records,
        }
    }
}

/// Delay after this many failed attempts.
pub(crate) fn backoff(attempts: u32) -> Duration {
    let factor = 1 << attempts.saturating_sub(1).min(16);
    (BACKOFF_MIN * factor).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests;
