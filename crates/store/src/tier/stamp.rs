//! What tells a file from any other, and from itself after it was changed.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

/// Nanoseconds of a second.
const NANOS: i64 = 1_000_000_000;

/// A file's identity and the state it was in: what is recorded when a blob is committed, and compared when it is opened.
///
/// The time of the last change of its status cannot be set by anybody, so that bytes that were changed in place show
/// even where size and modification time were restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    pub(crate) inode: u64,
    pub(crate) size: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: i64,
    /// Nanoseconds since 1970.
    pub(crate) changed: i64,
}

impl Stamp {
    /// The stamp of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from(&file.metadata()?))
    }

    /// Whether both are of one file, in whatever state.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        self.inode == other.inode
    }
}

impl From<&Metadata> for Stamp {
    fn from(found: &Metadata) -> Self {
        let nanos = |seconds: i64, nanos: i64| seconds.wrapping_mul(NANOS).wrapping_add(nanos);
        Self {
            inode: found.ino(),
            size: found.len(),
            modified: nanos(found.mtime(), found.mtime_nsec()),
            changed: nanos(found.ctime(), found.ctime_nsec()),
        }
    }
}
