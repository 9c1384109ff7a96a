//! Files that are read again when they change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells that a file was written or replaced, through symbolic links, as Kubernetes mounts secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    dev: u64,
    ino: u64,
    mtime: (i64, i64),
    len: u64,
}

impl Stamp {
    /// `None` for a file that is not there.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            dev: file.dev(),
            ino: file.ino(),
            mtime: (file.mtime(), file.mtime_nsec()),
            len: file.len(),
        })
    }
}
