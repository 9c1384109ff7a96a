//! Why a pull failed.

use std::{io, sync::Arc};

use longshore_reference::{Canonical, Digest, Named, Parsed};

use crate::{Error as Asked, auth::authorizer::NO_BASIC_AUTH, error::Fault};

/// Why a pull failed, in docker's words where it has some. What the registry said is the source.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Whoever asks may not have it, or it is not there.
    #[error(
        "pull access denied for {name}, repository does not exist or may require 'docker login'"
    )]
    Denied {
        /// The repository, as people write it.
        name: Box<str>,
        /// What the registry said.
        #[source]
        source: Asked,
    },
    /// The registry wants a user name and a password, and there are none.
    #[error("{NO_BASIC_AUTH}")]
    NoBasicAuth {
        /// What the registry said.
        #[source]
        source: Asked,
    },
    /// The manifest is not there.
    #[error("manifest for {reference} not found")]
    ManifestUnknown {
        /// As people write it.
        reference: Box<str>,
        /// What the registry said.
        #[source]
        source: Asked,
    },
    /// The reference stands for nothing, in containerd's words.
    #[error("{reference}: not found")]
    NotFound {
        /// The reference.
        reference: Box<Parsed>,
        /// What the registry said.
        #[source]
        source: Asked,
    },
    /// The repository is not there.
    #[error("repository {name} not found")]
    NameUnknown {
        /// As people write it.
        name: Box<str>,
        /// What the registry said.
        #[source]
        source: Asked,
    },
    /// The registry could not be asked, or answered something else.
    #[error(transparent)]
    Registry(Asked),
    /// The registry does not know the manifest by its digest, and the pull by tag failed too.
    #[error("error after falling back to get manifest by tag")]
    Fallback(#[source] Box<Self>),
    /// The configuration could not be pulled.
    #[error("error pulling image configuration")]
    Config(#[source] Box<Self>),
    /// The last of several tries failed.
    #[error("download failed after attempts={attempts}")]
    Attempts {
        /// How many tries there were.
        attempts: u32,
        /// Why the last failed.
        #[source]
        source: Asked,
    },
    /// Content is not what its digest says.
    #[error("{what} verification failed for digest {digest}")]
    Verification {
        /// `manifest`, `image config`, or `filesystem layer`.
        what: &'static str,
        /// The digest.
        digest: Digest,
    },
    /// A document cannot be used, or does not go with another.
    #[error(transparent)]
    Document(Arc<longshore_manifest::Error>),
    /// The index has nothing for the platform, in containerd's words.
    #[error(
        "no matching manifest for {platform} in the manifest list entries: no match for platform in manifest {digest}: not found"
    )]
    NoMatch {
        /// The platform that was asked for.
        platform: Box<str>,
        /// The index.
        digest: Digest,
    },
    /// A document of a kind that is no image's.
    #[error("unsupported manifest format")]
    Format,
    /// A manifest with the configuration of something else.
    #[error("Encountered remote {media_type:?}({class}) when fetching")]
    Class {
        /// Of the configuration.
        media_type: Box<str>,
        /// `plugin`, or `unknown`.
        class: &'static str,
    },
    /// A manifest of schema 1, which the options refuse.
    #[error("invalid manifest: not schema2")]
    NotSchema2,
    /// A manifest of schema 1, which containerd takes only where the options say so.
    #[error("{}", crate::docker::schema1_refused(.0))]
    Schema1Refused(Box<Parsed>),
    /// A layer has a digest that is none.
    #[error("could not validate layer digest {digest:?}")]
    LayerDigest {
        /// As the manifest has it.
        digest: Box<str>,
    },
    /// The registry listed a tag that is none.
    #[error("invalid tag {tag:?}")]
    InvalidTag {
        /// As the registry has it.
        tag: Box<str>,
        /// What is wrong with it.
        #[source]
        source: longshore_reference::Error,
    },
    /// One of all tags failed.
    #[error("error pulling {reference}")]
    OfTag {
        /// The tag.
        reference: Box<Parsed>,
        /// Why.
        #[source]
        source: Box<Self>,
    },
    /// Content that came for another repository is not in this one.
    #[error("{} is not in repository {}", blob.digest(), blob.named())]
    OtherRepository {
        /// The repository and the content.
        blob: Box<Canonical>,
        /// What the registry said.
        #[source]
        source: Asked,
    },
    /// A layer cannot be unpacked.
    #[error("failed to register layer")]
    Unpack(#[source] Arc<io::Error>),
    /// Content cannot be read or written.
    #[error("failed to {action}")]
    Content {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: Arc<io::Error>,
    },
    /// The transfer was ended from elsewhere.
    #[error("layer download cancelled")]
    Cancelled,
}

/// What kind of failure it is: for exit codes and retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// It is not there, or not for this platform.
    NotFound,
    /// Access is denied.
    Denied,
    /// The registry failed, or could not be reached.
    Upstream,
    /// Content is not what it says it is.
    Verification,
    /// The options refuse what is there.
    Refused,
    /// Content cannot be kept here.
    Local,
}

impl Error {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Denied { .. } | Self::NoBasicAuth { .. } => ErrorKind::Denied,
            Self::ManifestUnknown { .. }
            | Self::NameUnknown { .. }
            | Self::NotFound { .. }
            | Self::NoMatch { .. }
            | Self::OtherRepository { .. } => ErrorKind::NotFound,
            Self::Registry(error) | Self::Attempts { source: error, .. } => kind_of(error),
            Self::Fallback(error) | Self::Config(error) | Self::OfTag { source: error, .. } => {
                error.kind()
            }
            Self::Document(error) => match **error {
                longshore_manifest::Error::NoMatch { .. } => ErrorKind::NotFound,
                longshore_manifest::Error::RootFs | longshore_manifest::Error::LayerMismatch => {
                    ErrorKind::Verification
                }
                _ => ErrorKind::Upstream,
            },
            Self::Verification { .. } | Self::Unpack(_) => ErrorKind::Verification,
            Self::Class { .. } | Self::NotSchema2 | Self::Schema1Refused(_) => ErrorKind::Refused,
            Self::Format | Self::LayerDigest { .. } | Self::InvalidTag { .. } => {
                ErrorKind::Upstream
            }
            Self::Content { .. } | Self::Cancelled => ErrorKind::Local,
        }
    }

    /// Of a call for a manifest.
    pub(super) fn of_manifest(reference: &Parsed, error: Asked) -> Self {
        match is_not_found(&error) {
            true => Self::ManifestUnknown {
                reference: reference.familiar().to_string().into(),
                source: error,
            },
            false => Self::of_call(reference.named(), error),
        }
    }

    /// Of a call for the tags of a repository.
    pub(super) fn of_tags(named: &Named, error: Asked) -> Self {
        match is_not_found(&error) {
            true => Self::NameUnknown {
                name: named.familiar().to_string().into(),
                source: error,
            },
            false => Self::of_call(named, error),
        }
    }

    /// Of any other call.
    pub(super) fn of_call(named: &Named, error: Asked) -> Self {
        match error {
            Asked::Denied { ref detail, .. }
                if detail.as_deref().is_some_and(|d| d.contains(NO_BASIC_AUTH)) =>
            {
                Self::NoBasicAuth { source: error }
            }
            Asked::Denied { .. } => Self::Denied {
                name: named.familiar().to_string().into(),
                source: error,
            },
            error => Self::Registry(error),
        }
    }

    pub(super) fn content(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Content {
            action,
            source: Arc::new(source),
        }
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::ManifestUnknown { .. })
    }
}

impl From<longshore_manifest::Error> for Error {
    fn from(error: longshore_manifest::Error) -> Self {
        Self::Document(Arc::new(error))
    }
}

/// Whether the registry answered that it does not have it.
pub(super) fn is_not_found(error: &Asked) -> bool {
    matches!(error, Asked::NotFound { .. })
}

/// Whether content was not what its digest says.
pub(super) fn is_wrong(error: &Asked) -> bool {
    matches!(error, Asked::Misbehaved { fault, .. } if *fault == Fault::Digest)
}

/// Whether another try is of no use. Connections that fail and bodies that end short are tried again; what the registry
/// decided is not.
pub(super) fn is_final(error: &Asked) -> bool {
    match error {
        Asked::Unreachable { .. } | Asked::TimedOut { .. } | Asked::OutOfRange { .. } => false,
        Asked::Misbehaved { fault, .. } => !matches!(
            fault,
            Fault::Length { .. } | Fault::Header(_) | Fault::Status(416)
        ),
        _ => true,
    }
}

fn kind_of(error: &Asked) -> ErrorKind {
    match error {
        error if is_not_found(error) => ErrorKind::NotFound,
        error if is_wrong(error) => ErrorKind::Verification,
        Asked::Denied { .. } | Asked::Rejected { .. } => ErrorKind::Denied,
        Asked::Reserved { .. } | Asked::NotSupported { .. } => ErrorKind::NotFound,
        _ => ErrorKind::Upstream,
    }
}
