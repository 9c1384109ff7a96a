//! A write under way: bytes land in the spool at any offset and become visible only through `commit`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use longshore_reference::{Algorithm, Digest, Hasher};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::tier::{Reservation, Tier};

/// Bytes on their way into the local tier. Dropped before `commit`, it is aborted and leaves nothing.
#[derive(Debug)]
pub(crate) struct Ingest {
    tier: Tier,
    path: PathBuf,
    file: Arc<File>,
    committed: AtomicBool,
    /// Room that counts against the capacity until the bytes are committed.
    reservation: Mutex<Option<Reservation>>,
    /// Waits for the removal of the file, which takes long where it is large.
    tracker: TaskTracker,
}

/// Hashes the bytes of an ingest in their order.
#[derive(Debug)]
pub(crate) struct Hashing {
    hasher: Hasher,
    len: u64,
}

/// What all bytes of an ingest are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashed {
    pub(crate) digest: Digest,
    pub(crate) len: u64,
    /// All of them came from the bucket: they need no upload.
    pub(crate) in_bucket: bool,
}

impl Hashing {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self {
            hasher: algorithm.hasher(),
            len: 0,
        }
    }

    /// How many bytes were hashed.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
    }

    pub(crate) fn finish(self) -> Hashed {
        Hashed {
            digest: self.hasher.finish(),
            len: self.len,
            in_bucket: false,
        }
    }
}

impl Ingest {
    /// Starts a write.
    pub(crate) fn start(tier: &Tier, tracker: &TaskTracker) -> io::Result<Self> {
        let (path, file) = tier.create_spooled()?;
        Ok(Self {
            tier: tier.clone(),
            path,
            file: Arc::new(file),
            committed: AtomicBool::new(false),
            reservation: Mutex::default(),
            tracker: tracker.clone(),
        })
    }

    /// Keeps bytes that are all in memory.
    ///
    /// # Errors
    /// Refuses bytes that are not the digest's.
    pub(crate) fn put(tier: &Tier, digest: Digest, bytes: Bytes) -> io::Result<u64> {
        let mut hashing = Hashing::new(digest.algorithm());
        hashing.update(&bytes);
        let hashed = hashing.finish();
        if hashed.digest != digest {
            let wrong = "commit of unverified bytes";
            return Err(io::Error::new(io::ErrorKind::InvalidData, wrong));
        }
        let ingest = Self::start(tier, &TaskTracker::new())?;
        ingest.write_at(&[bytes], 0)?;
        ingest.commit(&hashed)
    }

    /// Keeps a blob that is whole in memory, unless it is held.
    pub(crate) async fn keep(tier: &Tier, digest: Digest, bytes: Bytes) -> io::Result<()> {
        let kept = tier.run(move |tier| match tier.holds(&digest) {
            true => Ok(None),
            false => Self::put(tier, digest, bytes).map(Some),
        });
        kept.await.map(drop)
    }

    /// Takes the room for `size` bytes now, so that a full disk is known before headers go out.
    ///
    /// A file system that cannot reserve is believed to have the room.
    pub(crate) fn reserve(&self, size: u64) -> io::Result<()> {
        if size == 0 {
            return Ok(());
        }
        if i64::try_from(size).is_err() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        *self.reservation() = Some(self.tier.reserve(size)?);
        match fallocate(&*self.file, FallocateFlags::KEEP_SIZE, 0, size) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) | Ok(()) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// The file, for readers that follow the write and outlive it.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Writes chunks one after the other, the first one at this offset. Several threads may write at once.
    pub(crate) fn write_at(&self, chunks: &[Bytes], mut offset: u64) -> io::Result<()> {
        for chunk in chunks {
            self.file.write_all_at(chunk, offset)?;
            offset += chunk.len() as u64;
        }
        Ok(())
    }

    /// Makes the content visible under the digest of its bytes: the one gate through which it becomes visible.
    ///
    /// # Errors
    /// Refuses a file that is not as long as what was hashed.
    pub(crate) fn commit(&self, hashed: &Hashed) -> io::Result<u64> {
        if self.file.metadata()?.len() != hashed.len {
            let wrong = "commit of a file that is not what was hashed";
            return Err(io::Error::new(io::ErrorKind::InvalidData, wrong));
        }
        let Hashed {
            digest, in_bucket, ..
        } = hashed;
        self.tier
            .commit(&self.path, &self.file, digest, *in_bucket)?;
        self.reservation().take();
        self.committed.store(true, Ordering::Release);
        Ok(hashed.len)
    }

    fn reservation(&self) -> MutexGuard<'_, Option<Reservation>> {
        let reservation = self.reservation.lock();
        reservation.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if self.committed.load(Ordering::Acquire) {
            return;
        }
        let (path, file) = (std::mem::take(&mut self.path), Arc::clone(&self.file));
        // What cannot be removed now is removed at the next start.
        let remove = move || {
            drop(fs::remove_file(path));
            drop(file);
        };
        match Handle::try_current() {
            Ok(runtime) => drop(self.tracker.spawn_blocking_on(remove, &runtime)),
            Err(_) => remove(),
        }
    }
}
