//! Why a command on the store failed.

use std::io;
use std::path::Path;

use longshore_reference::Digest;

use crate::error::Error;

/// Why a command on the store failed. Requests never meet any of these, so they are apart from [`Error`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InventoryError {
    /// The local tier cannot be used.
    #[error(transparent)]
    Store(#[from] Error),
    /// The folder holds no store.
    #[error("there is no store in {path}: name one with --store or --config")]
    NoStore {
        /// The folder.
        path: String,
    },
    /// The store does not have what was named.
    #[error("{reference} is not in the store: `longshore store ls` lists what is")]
    Absent {
        /// What was named.
        reference: String,
    },
    /// Parts of an image are not held.
    #[error(
        "{reference} is not whole: {missing} of its blobs are not held, the first is {first}; pull it through the server first"
    )]
    NotWhole {
        /// The image.
        reference: String,
        /// How many blobs are not held.
        missing: usize,
        /// One of them.
        first: Digest,
    },
    /// An image cannot be written in the wanted form.
    #[error("cannot export {reference}: {reason}")]
    Unsupported {
        /// The image.
        reference: String,
        /// Why not.
        reason: &'static str,
    },
    /// What is to be imported cannot be understood.
    #[error("cannot import {path}: {reason}")]
    Archive {
        /// The file or folder.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes are not the digest's.
    #[error("{place} is damaged: the bytes of {digest} have another digest")]
    Mismatch {
        /// The archive or the store.
        place: String,
        /// What the bytes should have.
        digest: Digest,
    },
    /// A document in an archive or in the store cannot be understood.
    #[error("cannot understand {name}")]
    Document {
        /// Its name or digest.
        name: String,
        /// What is wrong.
        #[source]
        cause: longshore_manifest::Error,
    },
    /// Something is where an export would be written.
    #[error("{path} exists: remove it, or choose another name")]
    Exists {
        /// The file or folder.
        path: String,
    },
    /// A file could not be used.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
}

impl InventoryError {
    pub(super) fn file(action: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::File {
            action,
            path: path.display().to_string(),
            cause,
        }
    }

    /// Whether what was named is not in the store.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }
}
