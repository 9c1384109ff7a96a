//! The local tier: plain files, each whole or absent.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use longshore_reference::{Digest, Verifier};
use tokio::task::spawn_blocking;

use crate::error::Error;

pub(crate) mod layout;
pub(crate) mod outbox;
mod spool;

use self::outbox::Outbox;

/// Bytes of a file that are hashed at once: 512 KiB.
const READ_BYTES: usize = 512 << 10;

/// The folder of the store, and this process's own folder in the spool. Cheap to clone.
///
/// *Invariant*: a name below `blobs/` appears by a rename of synced, verified content, and only so.
#[derive(Clone, Debug)]
pub(crate) struct Tier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    spool: PathBuf,
    /// What a bucket behind this tier lacks.
    outbox: Option<Arc<Outbox>>,
    /// Held for the life of the process: others remove only folders whose lock is free.
    _lock: File,
    next: AtomicU64,
}

/// Bytes and number of the blobs that are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) bytes: u64,
    pub(crate) objects: u64,
}

impl Tier {
    /// Opens or makes the store below `root`, and removes what crashed processes left in the spool.
    pub(crate) fn open(root: &Path, spool: Option<&Path>) -> Result<Self, Error> {
        Self::open_tier(root, spool, false)
    }

    /// As [`open`](Self::open), in front of a bucket: what is committed and written is listed in the outbox.
    pub(crate) fn open_before_bucket(root: &Path, spool: Option<&Path>) -> Result<Self, Error> {
        Self::open_tier(root, spool, true)
    }

    fn open_tier(root: &Path, spool: Option<&Path>, before_bucket: bool) -> Result<Self, Error> {
        let spools = spool.map_or_else(|| root.join(layout::SPOOL), Path::to_path_buf);
        for folder in [root, &root.join(layout::BLOBS), &spools] {
            fs::create_dir_all(folder).map_err(|e| Error::local("make folder", folder, e))?;
        }
        if spool::is_among_content(root, &spools)
            .map_err(|e| Error::local("look at", &spools, e))?
        {
            return Err(Error::SpoolInStore {
                spool: spools.display().to_string(),
                store: root.display().to_string(),
            });
        }
        mark(root)?;
        let device = |path: &Path| {
            fs::metadata(path)
                .map(|found| found.dev())
                .map_err(|e| Error::local("look at", path, e))
        };
        if device(root)? != device(&spools)? {
            return Err(Error::SpoolElsewhere {
                spool: spools.display().to_string(),
                store: root.display().to_string(),
            });
        }
        let (spool, lock) =
            spool::enter(&spools).map_err(|e| Error::local("lock a folder in", &spools, e))?;
        let outbox = before_bucket
            .then(|| Outbox::open(root).map(Arc::new))
            .transpose()
            .map_err(|e| Error::local("make folder", &root.join(layout::OUTBOX), e))?;
        Ok(Self(Arc::new(Inner {
            root: root.to_path_buf(),
            spool,
            outbox,
            _lock: lock,
            next: AtomicU64::new(0),
        })))
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
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let path = self.0.spool.join(number.to_string());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok((path, file))
    }

    /// Syncs a spooled file and gives it its name. After this the content is there whatever happens, and unless the
    /// bucket has it already, it will be uploaded.
    pub(crate) fn commit(
        &self,
        spooled: &Path,
        file: &File,
        digest: &Digest,
        in_bucket: bool,
    ) -> io::Result<()> {
        file.sync_data()?;
        let outbox = self.0.outbox.as_ref().filter(|_| !in_bucket);
        if let Some(Err(cause)) = outbox.map(|outbox| outbox.list_blob(digest)) {
            tracing::error!(%digest, %cause, "not in the outbox: a crash may leave it out of the bucket");
        }
        let target = self.path(&layout::blob(digest));
        let folder = make_parents(&target)?;
        fs::rename(spooled, &target)?;
        // Only now: whoever uploads it must find it.
        if let Some(outbox) = outbox {
            outbox.queue_blob(digest);
        }
        File::open(folder)?.sync_all()
    }

    /// Opens a blob for reading. This is the look-up: there is no index that could disagree.
    pub(crate) fn open_blob(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        let Some(file) = absent(File::open(self.path(&layout::blob(digest))))? else {
            return Ok(None);
        };
        let size = file.metadata()?.len();
        Ok(Some((file, size)))
    }

    /// Whether a file's bytes have the digest. Reads all of them.
    pub(crate) fn has_digest(file: &File, digest: &Digest) -> io::Result<bool> {
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

    /// Reads a small object whole; one of more than `bytes_max` is an error.
    pub(crate) fn read(&self, key: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = absent(File::open(self.path(key)))? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = file.take(bytes_max + 1).read_to_end(&mut bytes)?;
        if read as u64 > bytes_max {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "larger than it may be",
            ));
        }
        Ok(Some(bytes))
    }

    /// Names of what is in a folder; none where it does not exist.
    pub(crate) fn names(&self, key: &str) -> io::Result<Vec<String>> {
        let Some(entries) = absent(fs::read_dir(self.path(key)))? else {
            return Ok(Vec::new());
        };
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().ok());
        entries
            .filter_map(|entry| name(entry).transpose())
            .collect()
    }

    /// Replaces a record, here and in the bucket. Readers see the old or the new one; a crash may lose the new one, which
    /// costs one request to upstream.
    pub(crate) fn write_record(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        self.copy_record(key, bytes)?;
        self.list_record(key, false)
    }

    /// Replaces a record by what the bucket has.
    pub(crate) fn copy_record(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let (spooled, mut file) = self.create_spooled()?;
        let target = self.path(key);
        let written = file
            .write_all(bytes)
            .and_then(|()| make_parents(&target))
            .and_then(|_| fs::rename(&spooled, &target));
        if written.is_err() {
            drop(fs::remove_file(&spooled));
        }
        written
    }

    /// Removes a record, here and in the bucket; one that is not there is removed already.
    pub(crate) fn remove(&self, key: &str) -> io::Result<()> {
        self.drop_record(key)?;
        self.list_record(key, true)
    }

    /// Removes a record here alone.
    pub(crate) fn drop_record(&self, key: &str) -> io::Result<()> {
        absent(fs::remove_file(self.path(key))).map(|_| ())
    }

    fn list_record(&self, key: &str, removed: bool) -> io::Result<()> {
        let Some(outbox) = &self.0.outbox else {
            return Ok(());
        };
        outbox.add_record(key, removed)
    }

    /// Moves a blob that cannot be trusted out of the way. Returns false when it is gone already.
    pub(crate) fn quarantine(&self, digest: &Digest) -> io::Result<bool> {
        let target = self.path(&layout::quarantine(digest));
        make_parents(&target)?;
        Ok(absent(fs::rename(self.path(&layout::blob(digest)), target))?.is_some())
    }

    /// Counts what is held, by walking the folders.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        let mut usage = Usage::default();
        for algorithm in fs::read_dir(self.0.root.join(layout::BLOBS))? {
            for fan in fs::read_dir(algorithm?.path())? {
                for blob in fs::read_dir(fan?.path())? {
                    // One that was evicted meanwhile does not count.
                    if let Ok(found) = blob?.metadata() {
                        usage.bytes += found.len();
                        usage.objects += 1;
                    }
                }
            }
        }
        Ok(usage)
    }

    /// Where the object of a key is.
    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.0.root.join(key)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Best effort: what is left is removed by the next start.
        drop(fs::remove_dir_all(&self.spool));
    }
}

/// `None` where nothing is there; every other error stays an error.
fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Makes the folders above a file and syncs the one above a new folder, so that a committed file is not lost with it.
fn make_parents(target: &Path) -> io::Result<&Path> {
    let folder = target.parent().unwrap_or(target);
    if !folder.exists() {
        fs::create_dir_all(folder)?;
        if let Some(above) = folder.parent() {
            File::open(above)?.sync_all()?;
        }
    }
    Ok(folder)
}

/// Writes the marker into a new store; refuses a folder whose marker says something else.
fn mark(root: &Path) -> Result<(), Error> {
    let marker = root.join(layout::MARKER);
    match fs::read_to_string(&marker) {
        Ok(text) if text == layout::MARKER_TEXT => Ok(()),
        Ok(text) => Err(Error::Foreign {
            path: root.display().to_string(),
            found: text.lines().next().unwrap_or("an empty marker").to_owned(),
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            // Two processes may start at once: both write the same text, and the rename is atomic.
            let fresh = root.join(format!("{}.{}", layout::MARKER, std::process::id()));
            fs::write(&fresh, layout::MARKER_TEXT)
                .and_then(|()| fs::rename(&fresh, &marker))
                .map_err(|e| Error::local("write", &marker, e))
        }
        Err(e) => Err(Error::local("read", &marker, e)),
    }
}

#[cfg(test)]
mod tests;
