//! The local tier: the one owner of the local files. Each is whole or absent, and none is served that is not what was
//! committed.
//!
//! `open()` of a file is the look-up. What was recorded when a blob was committed says whether the file is still the
//! same; one that is not is hashed before anybody gets it. Content is evicted by whole images when there is too much
//! of it.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_reference::{Digest, Reference, Verifier};
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::catalog::Catalog;
use self::files::{Files, Found, absent, make_parents, read_all};
use self::index::Held;
use self::outbox::Outbox;
use self::pins::Pins;
use self::recent::Recent;
use self::room::{Limits, Room};
use crate::error::Error;
use crate::flights::Flights;

mod catalog;
mod codec;
mod files;
mod housekeeping;
mod images;
mod index;
mod inspect;
mod journal;
pub(crate) mod layout;
pub(crate) mod outbox;
mod pins;
mod policy;
mod recent;
mod room;
mod spool;
mod stamp;
mod stock;

pub(crate) use self::images::children;
pub use self::pins::{Pin, PinError};
pub use self::room::{Amount, Reason};
pub(crate) use self::stamp::Stamp;
pub(crate) use self::stock::{Finding, Stock};

/// Bytes of a file that are hashed at once: 512 KiB.
const READ_BYTES: usize = 512 << 10;
/// Files that are hashed at once because they are not what was committed.
const CHECKS_MAX: usize = 4;
/// Damaged files that are remembered because they could not be moved away; others are hashed again.
const DAMAGED_MAX: usize = 1000;
/// How often a file is hashed that changes meanwhile, before it counts as damaged.
const CHECK_TRIES: usize = 3;

/// What the local tier is opened with.
pub(crate) struct Settings {
    /// How much it may hold; by default what it holds and half of what is free.
    pub(crate) capacity: Option<Amount>,
    /// How much of the file system stays free.
    pub(crate) min_free: Amount,
    /// How long a round takes in which every file is hashed; zero: none is made.
    pub(crate) scrub: Duration,
    /// What is never evicted.
    pub(crate) pins: Vec<Pin>,
    pub(crate) clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    pub(crate) observer: Arc<dyn Fn(Event) + Send + Sync>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: None,
            min_free: Amount::Bytes(0),
            scrub: Duration::from_secs(30 * 24 * 3600),
            pins: Vec::new(),
            clock: Arc::new(SystemTime::now),
            observer: Arc::new(|_| {}),
        }
    }
}

/// Something that happened in the local tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A damaged file was moved out of the way.
    Quarantined,
    /// Content was evicted.
    Evicted { reason: Reason, bytes: u64 },
    /// A file could not be opened, written, moved or removed.
    Failed { action: &'static str },
}

/// Hears of a blob.
type Hear = Box<dyn Fn(&Digest) + Send + Sync>;

/// The local tier. Cheap to clone.
///
/// *Invariants*: a name below `blobs/` appears by a rename of synced, verified content, and only so. A manifest is
/// evicted before what it names.
#[derive(Clone)]
pub(crate) struct Tier(Arc<Inner>);

struct Inner {
    files: Files,
    catalog: Catalog,
    /// Held while a blob's name appears or disappears, so that the index agrees with the files.
    moves: Mutex<()>,
    /// Files that are hashed because they are not what was committed.
    checks: Flights<(Digest, Stamp), bool>,
    checking: Arc<Semaphore>,
    /// Damaged files that could not be moved away: they are not hashed again.
    damaged: Mutex<Vec<(Digest, Stamp)>>,
    capacity: Option<Amount>,
    min_free: Amount,
    scrub: Duration,
    limits: OnceLock<Limits>,
    reserved: AtomicU64,
    free: AtomicU64,
    evictions: AtomicU64,
    room_wanted: Arc<Notify>,
    /// Another process has changed the files.
    changed: AtomicBool,
    /// Ends the work in the background.
    closed: CancellationToken,
    tracker: TaskTracker,
    pins: Arc<Pins>,
    recent: Recent,
    hasher: RandomState,
    /// Called with a manifest or blob that was evicted or quarantined, before what it names goes.
    gone: OnceLock<Hear>,
    /// What the bucket does not have yet, and must not be evicted.
    outbox: Option<Arc<Outbox>>,
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    observer: Arc<dyn Fn(Event) + Send + Sync>,
}

/// A blob that was opened, and that has the digest's bytes.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) stamp: Stamp,
}

/// What there is of a blob.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// All of it: its bytes are the digest's.
    Whole(Opened),
    /// A file that was cut. Whether what is left of it is right is not known.
    Cut(Opened),
    Nothing,
}

/// What is held and how much may be, in bytes and blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) bytes: u64,
    pub(crate) objects: u64,
    pub(crate) reserved: u64,
    /// Zero until the files were counted after the start.
    pub(crate) capacity: u64,
    /// Free on the file system when that was last looked at.
    pub(crate) free: u64,
}

/// Room that a fill has reserved. It is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    tier: Tier,
    bytes: u64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.tier
            .0
            .reserved
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Tier {
    /// Opens or makes the store below `root`, and removes what crashed processes left in the spool.
    pub(crate) fn open(
        root: &Path,
        spool: Option<&Path>,
        settings: Settings,
        tracker: TaskTracker,
    ) -> Result<Self, Error> {
        Self::open_tier(root, spool, settings, tracker, false)
    }

    /// As [`open`](Self::open), in front of a bucket: what is committed and written is listed in the outbox.
    pub(crate) fn open_before_bucket(
        root: &Path,
        spool: Option<&Path>,
        settings: Settings,
        tracker: TaskTracker,
    ) -> Result<Self, Error> {
        Self::open_tier(root, spool, settings, tracker, true)
    }

    fn open_tier(
        root: &Path,
        spool: Option<&Path>,
        settings: Settings,
        tracker: TaskTracker,
        before_bucket: bool,
    ) -> Result<Self, Error> {
        let files = Files::open(root, spool)?;
        let outbox = before_bucket
            .then(|| Outbox::open(root).map(Arc::new))
            .transpose()
            .map_err(|e| Error::local("make folder", &root.join(layout::OUTBOX), e))?;
        let pins = Arc::new(Pins::new(settings.pins));
        let catalog = Catalog::open(&files.path(layout::INDEX), Arc::clone(&pins));
        Ok(Self(Arc::new(Inner {
            files,
            catalog,
            moves: Mutex::default(),
            checks: Flights::new(tracker.clone()),
            checking: Arc::new(Semaphore::new(CHECKS_MAX)),
            damaged: Mutex::default(),
            capacity: settings.capacity,
            min_free: settings.min_free,
            scrub: settings.scrub,
            limits: OnceLock::new(),
            reserved: AtomicU64::new(0),
            free: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            room_wanted: Arc::default(),
            changed: AtomicBool::new(false),
            closed: CancellationToken::new(),
            tracker,
            pins,
            recent: Recent::default(),
            hasher: RandomState::new(),
            gone: OnceLock::new(),
            outbox,
            clock: settings.clock,
            observer: settings.observer,
        })))
    }

    /// A tier in front of a bucket, everything else by default, without work in the background.
    #[cfg(test)]
    pub(crate) fn before_bucket(root: &Path) -> Result<Self, Error> {
        Self::open_before_bucket(root, None, Settings::default(), TaskTracker::new())
    }

    /// A tier in this folder, everything else by default, without work in the background.
    #[cfg(test)]
    pub(crate) fn of(root: &Path, spool: Option<&Path>) -> Result<Self, Error> {
        Self::open(root, spool, Settings::default(), TaskTracker::new())
    }

    /// Calls this with every blob that is evicted or quarantined.
    pub(crate) fn on_gone(&self, gone: impl Fn(&Digest) + Send + Sync + 'static) {
        drop(self.0.gone.set(Box::new(gone)));
    }

    /// What the bucket lacks; `None` without a bucket.
    pub(crate) fn outbox(&self) -> Option<&Arc<Outbox>> {
        self.0.outbox.as_ref()
    }

    /// Runs blocking file work away from the runtime's threads.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let tier = self.clone();
        spawn_blocking(move || work(&tier))
            .await
            .map_err(io::Error::other)?
    }

    /// A new file in the spool, readable and writable.
    pub(crate) fn create_spooled(&self) -> io::Result<(PathBuf, File)> {
        self.0.files.create_spooled()
    }

    /// Counts room that a fill will need against the capacity.
    ///
    /// # Errors
    /// `FileTooLarge` for more than the store could hold if all else went.
    pub(crate) fn reserve(&self, bytes: u64) -> io::Result<Reservation> {
        let capacity = self
            .0
            .limits
            .get()
            .map_or(u64::MAX, |limits| limits.capacity);
        if bytes > capacity {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.reserved.fetch_add(bytes, Ordering::Relaxed);
        self.0.room_wanted.notify_one();
        Ok(Reservation {
            tier: self.clone(),
            bytes,
        })
    }

    /// Syncs a spooled file of verified content and gives it its name. After this the content is there whatever
    /// happens, and unless the bucket has it already, it will be uploaded.
    pub(crate) fn commit(
        &self,
        spooled: &Path,
        file: &File,
        digest: &Digest,
        in_bucket: bool,
    ) -> io::Result<()> {
        let outbox = self.0.outbox.as_ref().filter(|_| !in_bucket);
        if let Some(Err(cause)) = outbox.map(|outbox| outbox.list_blob(digest)) {
            tracing::error!(%digest, %cause, "not in the outbox: a crash may leave it out of the bucket");
        }
        let committed = self.give_name(spooled, file, digest);
        // Only now: whoever uploads it must find it.
        if let Some(outbox) = outbox.filter(|_| committed.is_ok()) {
            outbox.queue_blob(digest);
        }
        if committed.is_err() {
            self.failed("commit");
        }
        self.0.room_wanted.notify_one();
        committed
    }

    fn give_name(&self, spooled: &Path, file: &File, digest: &Digest) -> io::Result<()> {
        file.sync_data()?;
        let target = self.0.files.blob(digest);
        let folder = make_parents(&target)?;
        {
            let _moving = self.moves();
            self.clear(digest, &target)?;
            fs::rename(spooled, &target)?;
            self.believe(digest, Stamp::of(file)?);
        }
        File::open(folder)?.sync_all()
    }

    /// Moves away what no file can replace: a folder.
    fn clear(&self, digest: &Digest, target: &Path) -> io::Result<()> {
        match fs::symlink_metadata(target) {
            Ok(found) if found.is_dir() => self.0.files.quarantine(digest),
            _ => Ok(()),
        }
    }

    /// Opens a blob whose bytes are the digest's. A file that is not what was committed is hashed first, once for all
    /// who ask; a damaged one is moved to quarantine, and there is none.
    ///
    /// # Errors
    /// The process may open no more files, or the task was cut off.
    pub(crate) async fn open_blob(&self, digest: &Digest) -> io::Result<Option<Opened>> {
        Ok(match self.find_blob(digest).await? {
            Lookup::Whole(opened) => Some(opened),
            Lookup::Cut(_) | Lookup::Nothing => None,
        })
    }

    /// As [`open_blob`](Self::open_blob), and what is left of a file that was cut: it is in quarantine, and its bytes
    /// were not hashed.
    ///
    /// # Errors
    /// The process may open no more files, or the task was cut off.
    pub(crate) async fn find_blob(&self, digest: &Digest) -> io::Result<Lookup> {
        let digest = *digest;
        let looked = self.run(move |tier| {
            let looked = tier.look(&digest)?;
            if let Look::Cut(cut) = &looked {
                tier.quarantine(&digest, &cut.stamp);
            }
            Ok(looked)
        });
        Ok(match looked.await? {
            Look::Nothing => Lookup::Nothing,
            Look::Cut(opened) => Lookup::Cut(opened),
            Look::Trusted(opened) => Lookup::Whole(opened),
            Look::Doubtful(opened) => match self.check(digest, &opened).await? {
                true => Lookup::Whole(opened),
                false => Lookup::Nothing,
            },
        })
    }

    /// Size of a blob whose bytes are the digest's.
    ///
    /// # Errors
    /// The process may open no more files, or the task was cut off.
    pub(crate) async fn size_of(&self, digest: &Digest) -> io::Result<Option<u64>> {
        let digest = *digest;
        Ok(match self.run(move |tier| tier.look(&digest)).await? {
            Look::Nothing | Look::Cut(_) => None,
            Look::Trusted(opened) => Some(opened.stamp.size),
            Look::Doubtful(opened) => {
                let right = self.check(digest, &opened).await?;
                right.then_some(opened.stamp.size)
            }
        })
    }

    /// Whether a blob is held, without a look at its bytes.
    pub(crate) fn holds(&self, digest: &Digest) -> bool {
        self.held_bytes(digest).is_some()
    }

    /// The length of a blob's file, unless it was cut.
    pub(crate) fn held_bytes(&self, digest: &Digest) -> Option<u64> {
        match self.look(digest) {
            Ok(Look::Trusted(opened) | Look::Doubtful(opened)) => Some(opened.stamp.size),
            Ok(Look::Nothing | Look::Cut(_)) | Err(_) => None,
        }
    }

    /// Whether a blob is recorded as held, without a look at the disk.
    pub(crate) fn is_recorded(&self, digest: &Digest) -> bool {
        self.0.catalog.held(digest).is_some()
    }

    /// Reads a blob of at most `bytes_max` bytes. It is hashed: a damaged one is moved to quarantine, and there is none.
    ///
    /// # Errors
    /// `FileTooLarge`; or the file cannot be read.
    pub(crate) fn read_blob(&self, digest: &Digest, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let opened = match self.look(digest)? {
            Look::Nothing => return Ok(None),
            Look::Trusted(opened) | Look::Doubtful(opened) | Look::Cut(opened) => opened,
        };
        let stamp = opened.stamp;
        let bytes = match read_all(opened.file, bytes_max) {
            Err(cause) if cause.kind() == io::ErrorKind::FileTooLarge => return Err(cause),
            Ok(bytes) if Digest::of(digest.algorithm(), &bytes) == *digest => Some(bytes),
            Ok(_) | Err(_) => None,
        };
        match bytes {
            Some(_) if !self.0.catalog.trusts(digest, &stamp) => self.confirm(digest, stamp),
            Some(_) => {}
            None => {
                self.quarantine(digest, &stamp);
            }
        }
        Ok(bytes)
    }

    /// Moves a damaged file to quarantine, if it still is the one with this stamp. Returns false when it is not.
    pub(crate) fn quarantine(&self, digest: &Digest, stamp: &Stamp) -> bool {
        let moving = self.moves();
        let moved = match self.0.files.stamp(digest) {
            Ok(Some(found)) if found.is_same_file(stamp) => self.0.files.quarantine(digest),
            Ok(_) => return false,
            Err(cause) => Err(cause),
        };
        self.0.catalog.remove(digest);
        if let Err(cause) = &moved {
            tracing::error!(%digest, %cause, "damaged content could not be moved: it is passed over");
            self.failed("quarantine");
            let mut damaged = self.damaged();
            damaged.retain(|(other, _)| other != digest);
            if damaged.len() >= DAMAGED_MAX {
                damaged.remove(0);
            }
            damaged.push((*digest, *stamp));
        } else {
            tracing::error!(%digest, "kept content is damaged: moved to quarantine");
            (self.0.observer)(Event::Quarantined);
        }
        drop(moving);
        self.tell_gone(digest);
        true
    }

    /// A held manifest names these blobs and manifests. `reference` is what it was asked for by.
    pub(crate) fn image(&self, reference: &Reference, stored: &Digest, children: &[Digest]) {
        {
            // Nothing that it names is evicted between a look at what names it and the removal of its file.
            let _moving = self.moves();
            self.0.catalog.image(stored, children);
        }
        self.pin(reference, stored);
    }

    /// A manifest was served: what it names is used too.
    pub(crate) fn served(&self, reference: &Reference, stored: &Digest) {
        let now = self.now();
        // A pin may be by tag or repository: without pins one use of a digest is as good as another.
        let salt = match self.0.pins.is_empty() {
            true => 0,
            false => RandomState::hash_one(&self.0.hasher, reference),
        };
        if self.0.recent.is_news(stored, salt, now) {
            self.0.catalog.touch(stored, now);
            self.pin(reference, stored);
        }
    }

    /// A blob was served.
    pub(crate) fn touch(&self, digest: &Digest) {
        let now = self.now();
        if self.0.recent.is_news(digest, 0, now) {
            self.0.catalog.touch(digest, now);
        }
    }

    fn pin(&self, reference: &Reference, stored: &Digest) {
        if !self.0.pins.is_empty() && self.0.pins.hold(reference) {
            self.0.catalog.pin(&reference.to_string(), stored);
        }
    }

    /// Reads a record; one of more than `bytes_max` is an error.
    pub(crate) fn read(&self, key: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        self.0.files.read(key, bytes_max)
    }

    /// Names of what is in a folder; none where it does not exist.
    pub(crate) fn names(&self, key: &str) -> io::Result<Vec<String>> {
        let Some(entries) = absent(fs::read_dir(self.0.files.path(key)))? else {
            return Ok(Vec::new());
        };
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().ok());
        entries
            .filter_map(|entry| name(entry).transpose())
            .collect()
    }

    /// Replaces a record. Readers see the old or the new one; a crash may lose the new one, which costs one question.
    pub(crate) fn write_record(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        self.copy_record(key, bytes)?;
        self.list_record(key, false)
    }

    /// Replaces a record by what the bucket has.
    pub(crate) fn copy_record(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let written = self.0.files.write_record(key, bytes);
        written.inspect_err(|_| self.failed("write record"))
    }

    /// Removes a record, here and in the bucket; one that is not there is removed already.
    pub(crate) fn remove(&self, key: &str) -> io::Result<()> {
        self.drop_record(key)?;
        self.list_record(key, true)
    }

    /// Removes a record here alone.
    pub(crate) fn drop_record(&self, key: &str) -> io::Result<()> {
        self.0.files.remove(key)
    }

    fn list_record(&self, key: &str, removed: bool) -> io::Result<()> {
        let Some(outbox) = &self.0.outbox else {
            return Ok(());
        };
        outbox.add_record(key, removed)
    }

    /// Where the object of a key is.
    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.0.files.path(key)
    }

    /// What is held and how much may be.
    pub(crate) fn usage(&self) -> Usage {
        let held = self.0.catalog.usage();
        Usage {
            bytes: held.bytes,
            objects: held.objects,
            reserved: self.0.reserved.load(Ordering::Relaxed),
            capacity: self.0.limits.get().map_or(0, |limits| limits.capacity),
            free: self.0.free.load(Ordering::Relaxed),
        }
    }

    /// Opens a file, and compares it with what was recorded when it was committed.
    fn look(&self, digest: &Digest) -> io::Result<Look> {
        let found = self.0.files.look(digest);
        let (file, stamp) = match found.inspect_err(|_| self.failed("open"))? {
            Some(Found::File(file, stamp)) => (file, stamp),
            Some(Found::Obstacle(stamp)) => {
                self.quarantine(digest, &stamp);
                return Ok(Look::Nothing);
            }
            None => {
                self.forget_absent(digest);
                return Ok(Look::Nothing);
            }
        };
        let opened = Opened { file, stamp };
        match self.0.catalog.held(digest) {
            Some(held) if held.trusted && held.stamp == stamp => Ok(Look::Trusted(opened)),
            Some(held) if held.trusted && held.stamp.size > stamp.size => Ok(Look::Cut(opened)),
            Some(held) if held.trusted && held.stamp.size < stamp.size => {
                self.quarantine(digest, &stamp);
                Ok(Look::Nothing)
            }
            _ if self.damaged().contains(&(*digest, stamp)) => Ok(Look::Nothing),
            _ => Ok(Look::Doubtful(opened)),
        }
    }

    /// The file of a recorded blob was removed by somebody else.
    fn forget_absent(&self, digest: &Digest) {
        if self.0.catalog.held(digest).is_none() {
            return;
        }
        let _moving = self.moves();
        if matches!(self.0.files.stamp(digest), Ok(None)) {
            self.0.catalog.remove(digest);
        }
    }

    /// Hashes a file, once for all who ask at once; a damaged one is moved away.
    async fn check(&self, digest: Digest, opened: &Opened) -> io::Result<bool> {
        let file = opened.file.try_clone()?;
        let (flight, _) = self.0.checks.join(&(digest, opened.stamp), || {
            let tier = self.clone();
            let turns = Arc::clone(&self.0.checking);
            async move {
                let _turn = turns.acquire_owned().await;
                tracing::info!(%digest, "a kept file is not what was committed: hashing it");
                let checked = tier.run(move |tier| Ok(tier.check_now(&digest, &file)));
                checked.await.unwrap_or(false)
            }
        });
        flight
            .answer()
            .await
            .ok_or_else(|| io::Error::other("the check of a file was cut off"))
    }

    /// Hashes a file and records what came of it. Returns whether its bytes are the digest's.
    fn check_now(&self, digest: &Digest, file: &File) -> bool {
        for _ in 0..CHECK_TRIES {
            let Ok(before) = Stamp::of(file) else {
                return false;
            };
            let right = has_digest(file, digest).unwrap_or_else(|cause| {
                tracing::error!(%digest, %cause, "kept content cannot be read");
                false
            });
            if !matches!(Stamp::of(file), Ok(after) if after == before) {
                continue;
            }
            match right {
                true => self.confirm(digest, before),
                false => {
                    self.quarantine(digest, &before);
                }
            }
            return right;
        }
        false
    }

    /// A file that was hashed and was right is the recorded one from now on, if it still bears the name.
    fn confirm(&self, digest: &Digest, stamp: Stamp) {
        let _moving = self.moves();
        if matches!(self.0.files.stamp(digest), Ok(Some(found)) if found == stamp) {
            self.believe(digest, stamp);
        }
    }

    fn believe(&self, digest: &Digest, stamp: Stamp) {
        let now = self.now();
        let used = self.0.catalog.held(digest).map_or(now, |held| held.used);
        let held = Held {
            stamp,
            trusted: true,
            used,
            scrubbed: now,
        };
        self.0.catalog.insert(digest, held);
    }

    fn room(&self) -> io::Result<Room> {
        let free = self.0.files.space()?.free;
        self.0.free.store(free, Ordering::Relaxed);
        Ok(Room {
            held: self.0.catalog.usage().bytes,
            reserved: self.0.reserved.load(Ordering::Relaxed),
            free,
        })
    }

    fn now(&self) -> u32 {
        let since = (self.0.clock)().duration_since(UNIX_EPOCH);
        u32::try_from(since.unwrap_or_default().as_secs()).unwrap_or(u32::MAX)
    }

    /// How many blobs were evicted or quarantined since the start.
    pub(crate) fn evictions(&self) -> u64 {
        self.0.evictions.load(Ordering::Acquire)
    }

    fn tell_gone(&self, digest: &Digest) {
        self.0.evictions.fetch_add(1, Ordering::AcqRel);
        if let Some(gone) = self.0.gone.get() {
            gone(digest);
        }
    }

    /// Counts something that the disk refused.
    pub(crate) fn failed(&self, action: &'static str) {
        (self.0.observer)(Event::Failed { action });
    }

    fn moves(&self) -> MutexGuard<'_, ()> {
        self.0.moves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn damaged(&self) -> MutexGuard<'_, Vec<(Digest, Stamp)>> {
        self.0
            .damaged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a look at a blob's file came to.
enum Look {
    Nothing,
    /// It is shorter than it was.
    Cut(Opened),
    /// It is what was committed.
    Trusted(Opened),
    /// It must be hashed.
    Doubtful(Opened),
}

/// Whether a file's bytes have the digest. Reads all of them.
fn has_digest(file: &File, digest: &Digest) -> io::Result<bool> {
    let mut verifier = Verifier::new(*digest);
    let mut buffer = vec![0; READ_BYTES];
    let mut at = 0;
    loop {
        let len = file.read_at(&mut buffer, at)?;
        let Some(bytes) = buffer.get(..len).filter(|bytes| !bytes.is_empty()) else {
            return Ok(verifier.verify());
        };
        verifier.update(bytes);
        at += len as u64;
    }
}

impl std::fmt::Debug for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tier")
            .field("files", &self.0.files)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
