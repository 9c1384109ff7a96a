//! The folder of the store: plain files, read, written and renamed by their keys.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use longshore_reference::{Algorithm, Digest};
use rustix::fs::OFlags;

use super::layout;
use super::spool;
use super::stamp::Stamp;
use crate::error::Error;

/// Files in quarantine: the oldest go first.
const QUARANTINE_FILES_MAX: usize = 32;
/// Bytes in quarantine: 1 GiB.
const QUARANTINE_BYTES_MAX: u64 = 1 << 30;

/// The folder of the store, and this process's own folder in the spool.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    spool: PathBuf,
    /// Held for the life of the process: others remove only folders whose lock is free.
    _lock: File,
    next: AtomicU64,
}

/// What stands where a blob should be.
#[derive(Debug)]
pub(super) enum Found {
    /// A file that can be read.
    File(File, Stamp),
    /// Something that cannot be served: a folder, a link, a file that may not be read.
    Obstacle(Stamp),
}

/// Room on the file system, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) total: u64,
    pub(super) free: u64,
}

impl Files {
    /// Opens or makes the store below `root`, and removes what crashed processes left in the spool.
    pub(super) fn open(root: &Path, spool: Option<&Path>) -> Result<Self, Error> {
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
        Ok(Self {
            root: root.to_path_buf(),
            spool,
            _lock: lock,
            next: AtomicU64::new(0),
        })
    }

    pub(super) fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.path(&layout::blob(digest))
    }

    #[cfg(test)]
    pub(super) fn spool(&self) -> &Path {
        &self.spool
    }

    /// A name in the spool that nothing has.
    pub(super) fn spare(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.spool.join(number.to_string())
    }

    /// A new file in the spool, readable and writable.
    pub(super) fn create_spooled(&self) -> io::Result<(PathBuf, File)> {
        let path = self.spare();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok((path, file))
    }

    /// Looks at what stands where a blob should be. A link is never followed, and nothing is waited for.
    pub(super) fn look(&self, digest: &Digest) -> io::Result<Option<Found>> {
        let path = self.blob(digest);
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(&path);
        let cause = match opened {
            Ok(file) => {
                let found = file.metadata()?;
                let stamp = Stamp::from(&found);
                return Ok(Some(match found.is_file() {
                    true => Found::File(file, stamp),
                    false => Found::Obstacle(stamp),
                }));
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => cause,
        };
        // Too many open files say nothing about this one.
        if matches!(cause.raw_os_error(), Some(23 | 24)) {
            return Err(cause);
        }
        match absent(fs::symlink_metadata(&path)) {
            Ok(Some(found)) => {
                tracing::warn!(%digest, %cause, "kept content cannot be opened");
                Ok(Some(Found::Obstacle(Stamp::from(&found))))
            }
            Ok(None) => Ok(None),
            Err(_) => Err(cause),
        }
    }

    /// The stamp of what bears a blob's name now.
    pub(super) fn stamp(&self, digest: &Digest) -> io::Result<Option<Stamp>> {
        let found = absent(fs::symlink_metadata(self.blob(digest)))?;
        Ok(found.as_ref().map(Stamp::from))
    }

    /// Reads a small object whole; one of more than `bytes_max` is an error.
    pub(super) fn read(&self, key: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = absent(File::open(self.path(key)))? else {
            return Ok(None);
        };
        read_all(file, bytes_max).map(Some)
    }

    /// Replaces a record. Readers see the old or the new one; a crash may lose the new one, which costs one question.
    pub(super) fn write_record(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
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

    /// Removes a record; one that is not there is removed already.
    pub(super) fn remove(&self, key: &str) -> io::Result<()> {
        absent(fs::remove_file(self.path(key))).map(|_| ())
    }

    /// Moves what bears a blob's name into quarantine, and keeps that folder small.
    pub(super) fn quarantine(&self, digest: &Digest) -> io::Result<()> {
        let target = self.path(&layout::quarantine(digest));
        let folder = make_parents(&target)?;
        if fs::symlink_metadata(&target).is_ok_and(|found| found.is_dir()) {
            fs::remove_dir_all(&target)?;
        }
        absent(fs::rename(self.blob(digest), &target))?;
        if let Err(cause) = bound(folder, QUARANTINE_FILES_MAX, QUARANTINE_BYTES_MAX) {
            tracing::warn!(%cause, "quarantine could not be cleared");
        }
        Ok(())
    }

    /// All blobs' names and stamps. What bears no blob's name is passed over.
    pub(super) fn walk(&self, mut visitor: impl FnMut(Digest, Stamp)) -> io::Result<()> {
        let blobs = self.root.join(layout::BLOBS);
        for algorithm in Algorithm::ALL {
            let Some(fans) = absent(fs::read_dir(blobs.join(algorithm.as_str())))? else {
                continue;
            };
            for fan in fans {
                let fan = fan?;
                if !fan.file_type()?.is_dir() {
                    continue;
                }
                for entry in fs::read_dir(fan.path())? {
                    let entry = entry?;
                    let name = entry.file_name();
                    let digest = name
                        .to_str()
                        .and_then(|hex| Digest::from_hex(algorithm, hex).ok());
                    // One that went meanwhile does not count.
                    if let (Some(digest), Ok(found)) = (digest, entry.metadata()) {
                        visitor(digest, Stamp::from(&found));
                    }
                }
            }
        }
        Ok(())
    }

    /// Room on the file system.
    pub(super) fn space(&self) -> io::Result<Space> {
        let found = rustix::fs::statvfs(&self.root)?;
        Ok(Space {
            total: found.f_blocks.saturating_mul(found.f_frsize),
            free: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Best effort: what is left is removed by the next start.
        drop(fs::remove_dir_all(&self.spool));
    }
}

/// `None` where nothing is there; every other error stays an error.
pub(super) fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads a file to its end; one of more than `bytes_max` is an error.
pub(super) fn read_all(file: File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if read as u64 > bytes_max {
        let what = "larger than it may be";
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// Makes the folders above a file, and syncs the folder above each new one, so that a committed file is not lost with it.
pub(super) fn make_parents(target: &Path) -> io::Result<&Path> {
    let folder = target.parent().unwrap_or(target);
    let missing: Vec<_> = folder.ancestors().take_while(|at| !at.exists()).collect();
    fs::create_dir_all(folder)?;
    for made in missing.iter().rev() {
        if let Some(above) = made.parent() {
            File::open(above)?.sync_all()?;
        }
    }
    Ok(folder)
}

/// Removes the oldest entries of a folder until it is as small as it should be.
fn bound(folder: &Path, files_max: usize, bytes_max: u64) -> io::Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        let stamp = Stamp::from(&found);
        entries.push((stamp.changed, stamp.size, found.is_dir(), entry.path()));
    }
    entries.sort();
    let mut bytes: u64 = entries.iter().map(|(_, size, ..)| size).sum();
    let mut files = entries.len();
    for (_, size, is_folder, path) in entries {
        if files <= files_max && bytes <= bytes_max {
            return Ok(());
        }
        match is_folder {
            true => fs::remove_dir_all(&path)?,
            false => fs::remove_file(&path)?,
        }
        files -= 1;
        bytes -= size;
    }
    Ok(())
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
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_from_a_folder_that_is_too_large() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c", "d"] {
            fs::write(folder.path().join(name), [0; 10]).unwrap();
        }
        bound(folder.path(), 3, 100).unwrap();
        assert!(!folder.path().join("a").exists());
        bound(folder.path(), 3, 15).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert!(folder.path().join("d").exists());
        bound(folder.path(), 3, 0).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
