//! The index and its journal: what changes in one is written to the other.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use longshore_reference::Digest;

use super::codec::Record;
use super::index::{Fact, Held, Index, Seen, Usage, Victims};
use super::journal::{self, Journal, encode_all, write_snapshot};
use super::pins::Pins;
use super::stamp::Stamp;
use super::stock::Stock;

/// What is held, in memory and on disk. A journal that cannot be written costs trust after the next start, nothing else.
///
/// The index is read by its first use, which the housekeeping makes at once: a start does not wait for it.
///
/// *Invariant*: the journal is locked before the index, by all who lock both.
#[derive(Debug)]
pub(super) struct Catalog {
    folder: PathBuf,
    /// Journals of other processes, from which the index is read too.
    others: Vec<PathBuf>,
    pins: Arc<Pins>,
    journal: Mutex<Option<Journal>>,
    index: OnceLock<Mutex<Index>>,
}

impl Catalog {
    /// Opens what is known of the blobs in `folder`.
    pub(super) fn open(folder: &Path, pins: Arc<Pins>) -> Self {
        let opened = Journal::open(folder)
            .inspect_err(|cause| tracing::warn!(%cause, "the index cannot be written: after the next start every file is hashed once"));
        let (journal, others) = match opened {
            Ok((journal, others)) => (Some(journal), others),
            Err(_) => (None, journal::names(folder)),
        };
        Self {
            folder: folder.to_owned(),
            others,
            pins,
            journal: Mutex::new(journal),
            index: OnceLock::new(),
        }
    }

    /// Reads the index.
    fn read(&self) -> Mutex<Index> {
        let mut index = journal::read(&self.folder, &self.others);
        index.retain_pins(|name| self.pins.hold_name(name));
        for digest in self.pins.digests() {
            index.pin(&digest.to_string(), digest);
        }
        Mutex::new(index)
    }

    /// Whether this process is the one that evicts and scrubs. The next one takes its place when it is gone.
    pub(super) fn is_keeper(&self) -> bool {
        self.journal().as_mut().is_none_or(Journal::keep)
    }

    /// A blob was committed, or found to be right.
    pub(super) fn insert(&self, digest: &Digest, held: Held) {
        self.index().insert(digest, held);
        self.write(&Record::Fact(Fact::Held(digest, held)), held.trusted);
    }

    /// A blob is gone. Returns its size.
    pub(super) fn remove(&self, digest: &Digest) -> Option<u64> {
        let size = self.index().remove(digest)?;
        self.write(&Record::Gone(digest), false);
        Some(size)
    }

    /// A file was removed, whatever the index says.
    pub(super) fn forget(&self, digest: &Digest) {
        self.index().remove(digest);
        self.write(&Record::Gone(digest), false);
    }

    /// A held manifest names these.
    pub(super) fn image(&self, digest: &Digest, children: &[Digest]) {
        if self.index().image(digest, children) {
            self.write(&Record::Fact(Fact::Image(digest, children.to_vec())), true);
        }
    }

    /// A blob, or an image, is used.
    pub(super) fn touch(&self, digest: &Digest, now: u32) {
        if self.index().touch(digest, now) {
            self.write(&Record::Used(digest, now), false);
        }
    }

    /// A pinned reference stands for this.
    pub(super) fn pin(&self, name: &str, digest: &Digest) {
        if self.index().pin(name, digest) {
            self.write(&Record::Fact(Fact::Pin(name, digest)), true);
        }
    }

    pub(super) fn held(&self, digest: &Digest) -> Option<Held> {
        self.index().held(digest)
    }

    /// All that is held.
    pub(super) fn stock(&self) -> Stock {
        self.index().stock().collect()
    }

    /// As [`evict`](Self::evict), and in memory it is gone at once: no file is removed and nothing is written.
    pub(super) fn imagine_evicted(&self, waits: impl Fn(&Digest) -> bool) -> Option<Victims> {
        let mut index = self.index();
        let victims = index.evict(waits)?;
        for (digest, _) in &victims {
            index.remove(digest);
        }
        Some(victims)
    }

    /// Lets another process be the one that evicts and scrubs.
    pub(super) fn leave_keeping(&self) {
        if let Some(journal) = self.journal().as_mut() {
            journal.leave_keeping();
        }
    }

    /// Whether a held manifest names a blob.
    pub(super) fn is_needed(&self, digest: &Digest) -> bool {
        self.index().is_needed(digest)
    }

    /// Bytes and number of what is held; zero before the index was read. Never waits for that.
    pub(super) fn usage(&self) -> Usage {
        let index = self.index.get();
        index.map_or_else(Usage::default, |index| lock(index).usage())
    }

    /// What is recorded of a blob that a walk over the files met.
    pub(super) fn see(&self, digest: &Digest, seen: &mut Seen) -> Option<Held> {
        self.index().see(digest, seen)
    }

    /// What is held and was not met.
    pub(super) fn unseen(&self, seen: &Seen) -> Vec<Digest> {
        self.index().unseen(seen)
    }

    /// Held blobs that name nothing and that no held manifest names.
    pub(super) fn orphans(&self) -> Vec<(Digest, Stamp)> {
        self.index().orphans()
    }

    /// The blob that was hashed longest ago; of those that are not trusted, any.
    pub(super) fn stalest(&self) -> Option<(Digest, Held)> {
        self.index().stalest()
    }

    pub(super) fn evict(&self, waits: impl Fn(&Digest) -> bool) -> Option<Victims> {
        self.index().evict(waits)
    }

    pub(super) fn put_back(&self, digest: &Digest) {
        self.index().put_back(digest);
    }

    /// Hands what was written to the system, and replaces the journal by a snapshot when `now` or when it is long.
    pub(super) fn save(&self, now: bool) -> io::Result<()> {
        let (bytes, folder, old) = {
            let mut journal = self.journal();
            let Some(journal) = journal.as_mut() else {
                return Ok(());
            };
            journal.flush()?;
            if !journal.is_keeper() || !(journal.is_long() || now && journal.is_changed()) {
                return Ok(());
            }
            // What happens from here on is in the new journal, and perhaps in the snapshot too.
            let old = journal.rotate()?;
            let bytes = encode_all(&self.index());
            (bytes, journal.folder().to_owned(), old)
        };
        write_snapshot(&folder, &bytes, old)
    }

    /// Whether the recorded blob is exactly this file.
    pub(super) fn trusts(&self, digest: &Digest, stamp: &Stamp) -> bool {
        let held = self.held(digest);
        held.is_some_and(|held| held.trusted && held.stamp == *stamp)
    }

    fn write(&self, record: &Record<'_>, at_once: bool) {
        let mut journal = self.journal();
        let Some(journal) = journal.as_mut() else {
            return;
        };
        let written = journal.append(record);
        let written = written.and_then(|()| match at_once {
            true => journal.flush(),
            false => Ok(()),
        });
        if let Err(cause) = written {
            tracing::debug!(%cause, "the index could not be written");
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        lock(self.index.get_or_init(|| self.read()))
    }

    fn journal(&self) -> MutexGuard<'_, Option<Journal>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(index: &Mutex<Index>) -> MutexGuard<'_, Index> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}
