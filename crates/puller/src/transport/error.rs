//! What can go wrong between an image's source and its destination.

use std::{io, path::PathBuf};

use longshore_reference::Digest;

use crate::{goal, image_name, policy, registries::SourceError, short_names};

/// Why an image cannot be read, written or copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A registry's answer, or none.
    #[error(transparent)]
    Registry(#[from] crate::Error),
    /// `registries.conf` blocks the registry, or leads nowhere.
    #[error("no source for {reference}")]
    Sources {
        /// What was asked for.
        reference: String,
        /// Why not.
        #[source]
        source: SourceError,
    },
    /// A file or a folder cannot be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried: "read", "create", ….
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An archive or a folder whose content contradicts itself, or was made to harm.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The archive or the folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An archive or a folder does not have this image.
    #[error("{}: no image {image}", path.display())]
    NoImage {
        /// The archive or the folder.
        path: PathBuf,
        /// What was looked for.
        image: String,
    },
    /// An archive has several images, or none, and no name says which one is meant.
    #[error("{}: Unexpected tar manifest.json: expected 1 item, got {images}", path.display())]
    NotOneImage {
        /// The archive.
        path: PathBuf,
        /// How many it has.
        images: usize,
    },
    /// A document that cannot be used.
    #[error("unusable {what}")]
    Document {
        /// Which one.
        what: String,
        /// What is wrong with it.
        #[source]
        source: longshore_manifest::Error,
    },
    /// Bytes that do not have the digest they are named by.
    #[error("content does not match its digest {0}")]
    Digest(Digest),
    /// A layer that cannot be unpacked.
    #[error("cannot unpack a layer")]
    Unpack(#[source] io::Error),
    /// A folder with something else in it.
    #[error("{}: not a containers image directory, don't want to overwrite important data", .0.display())]
    NotOurs(PathBuf),
    /// A file of `docker save` is never changed.
    #[error("{}: docker-archive doesn't support modifying existing images", .0.display())]
    Exists(PathBuf),
    /// The copy is not possible.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The policy does not allow the image.
    #[error("{image} is refused by the policy")]
    Policy {
        /// Its name.
        image: String,
        /// Why.
        #[source]
        source: Box<policy::Rejection>,
    },
    /// The image lacks a label; in libpod's words.
    #[error("{}", goal::no_label(image, label))]
    NoLabel {
        /// Its name.
        image: String,
        /// The label.
        label: String,
    },
    /// A name that stands for no image.
    #[error("error determining pull goal for image {name:?}")]
    Goal {
        /// The name.
        name: String,
        /// Why not.
        #[source]
        source: goal::Error,
    },
    /// A short name that cannot be resolved.
    #[error(transparent)]
    ShortName(#[from] short_names::Error),
    /// A name that cannot be used there.
    #[error(transparent)]
    Name(#[from] image_name::Error),
}

impl Error {
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.into(),
            source,
        }
    }

    pub(super) fn malformed(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.into(),
            problem: problem.into(),
        }
    }

    pub(super) fn document(what: impl Into<String>, source: longshore_manifest::Error) -> Self {
        Self::Document {
            what: what.into(),
            source,
        }
    }

    /// Whether the image was looked for and is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Registry(crate::Error::NotFound { .. }) | Self::NoImage { .. } => true,
            Self::File { action, source, .. } => {
                *action == "read" && source.kind() == io::ErrorKind::NotFound
            }
            Self::Document { source, .. } => matches!(
                source,
                longshore_manifest::Error::NoMatch { .. }
                    | longshore_manifest::Error::NoSuchName { .. }
            ),
            _ => false,
        }
    }
}
