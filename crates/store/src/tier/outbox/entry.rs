//! The files of the outbox: which entry each stands for.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use longshore_reference::Digest;

use crate::tier::layout;

/// Bytes of a file in the outbox that are read: a key is shorter.
pub(super) const ENTRY_BYTES_MAX: u64 = 4096;
/// Start of the names of records.
pub(super) const RECORD: &str = "record-";

/// What is to be sent to the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Item {
    /// The bytes of a blob.
    Blob(Digest),
    /// The record under this key: its bytes, or its removal.
    Record(Box<str>),
}

/// The two lanes of the outbox: records do not wait behind large blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Blobs.
    Blobs,
    /// Records.
    Records,
}

impl Item {
    /// The lane that it goes in.
    pub(super) fn lane(&self) -> Lane {
        match self {
            Self::Blob(_) => Lane::Blobs,
            Self::Record(_) => Lane::Records,
        }
    }
}

/// The entry that a file stands for, and when it was added. `None` for other files.
pub(super) fn read_entry(path: &Path) -> io::Result<Option<(Item, bool, SystemTime)>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(None);
    };
    if !name.starts_with(RECORD) {
        let digest = name.replacen('-', ":", 1).parse::<Digest>().ok();
        let Some(digest) = digest else {
            return Ok(None);
        };
        let added = fs::metadata(path)?.modified()?;
        return Ok(Some((Item::Blob(digest), false, added)));
    }
    let file = File::open(path)?;
    let added = file.metadata()?.modified()?;
    let mut text = String::new();
    file.take(ENTRY_BYTES_MAX).read_to_string(&mut text)?;
    let entry = text
        .strip_suffix('\n')
        .and_then(|line| line.split_once(' '))
        .and_then(|(verb, key)| match verb {
            "put" => Some((key, false)),
            "remove" => Some((key, true)),
            _ => None,
        });
    let Some((key, removed)) = entry.filter(|(key, _)| layout::is_record(key)) else {
        // The process ended while it wrote this: the record was not written either.
        remove_all(&[path.to_path_buf()]);
        return Ok(None);
    };
    Ok(Some((Item::Record(key.into()), removed, added)))
}

/// A name that no other file has.
pub(super) fn unique() -> String {
    format!("{}-{:016x}", std::process::id(), rand::random::<u64>())
}

/// Removes files that stand for entries that are done.
pub(super) fn remove_all(files: &[PathBuf]) {
    for path in files {
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %cause, "entry of the outbox could not be removed");
            }
            _ => {}
        }
    }
}
