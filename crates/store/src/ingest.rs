//! A write under way: bytes land in the spool, are hashed, and become visible only through `commit`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use longshore_reference::{Algorithm, Digest, Hasher};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::tier::Tier;
use crate::tier::layout;

/// Bytes on their way into the local tier. Dropped before `commit`, it is aborted and leaves nothing.
#[derive(Debug)]
pub(crate) struct Ingest {
    tier: Tier,
    /// What the bytes must be; `None` where only they can tell.
    digest: Option<Digest>,
    path: PathBuf,
    file: Arc<File>,
    hasher: Hasher,
    len: u64,
    committed: bool,
}

impl Ingest {
    /// Starts a write of the digest's bytes.
    pub(crate) fn start(tier: &Tier, digest: Digest) -> io::Result<Self> {
        Self::begin(tier, Some(digest), digest.algorithm())
    }

    /// Starts a write of bytes whose sha256 is not known before they are there.
    pub(crate) fn start_unnamed(tier: &Tier) -> io::Result<Self> {
        Self::begin(tier, None, Algorithm::Sha256)
    }

    fn begin(tier: &Tier, digest: Option<Digest>, algorithm: Algorithm) -> io::Result<Self> {
        let (path, file) = tier.create_spooled()?;
        Ok(Self {
            tier: tier.clone(),
            digest,
            path,
            file: Arc::new(file),
            hasher: algorithm.hasher(),
            len: 0,
            committed: false,
        })
    }

    /// Takes the room for `size` bytes now, so that a full disk is known before headers go out.
    ///
    /// A file system that cannot reserve is believed to have the room.
    pub(crate) fn reserve(&self, size: u64) -> io::Result<()> {
        if size == 0 {
            return Ok(());
        }
        match fallocate(&*self.file, FallocateFlags::KEEP_SIZE, 0, size) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) | Ok(()) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// The file, for readers that follow the write and outlive it.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// How many bytes have landed.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends to the file. The bytes are not hashed yet, so that readers can have them first.
    pub(crate) fn append(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all_at(chunk, self.len)?;
        self.len += chunk.len() as u64;
        Ok(())
    }

    /// Hashes bytes that were appended, in their order.
    pub(crate) fn hash(&mut self, chunks: &[Bytes]) {
        for chunk in chunks {
            self.hasher.update(chunk);
        }
    }

    /// Hands the hasher out, so that one thread hashes while another one appends. Until it is back, nothing can be
    /// committed: the bytes are not those of the hasher that is left.
    pub(crate) fn lend_hasher(&mut self) -> Hasher {
        let fresh = self.found().algorithm().hasher();
        std::mem::replace(&mut self.hasher, fresh)
    }

    /// Takes the hasher back.
    pub(crate) fn take_hasher(&mut self, hasher: Hasher) {
        self.hasher = hasher;
    }

    /// The digest of all bytes that were hashed.
    pub(crate) fn found(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Makes verified content visible under its digest.
    ///
    /// # Errors
    /// Refuses bytes that are not the digest's: this is the one gate through which content becomes visible.
    pub(crate) fn commit(mut self) -> io::Result<u64> {
        let found = self.found();
        if self.digest.is_some_and(|digest| digest != found) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "commit of unverified bytes",
            ));
        }
        self.tier
            .commit(&self.path, &self.file, &layout::blob(&found))?;
        self.committed = true;
        Ok(self.len)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if !self.committed {
            // What cannot be removed now is removed at the next start.
            drop(fs::remove_file(&self.path));
        }
    }
}
